"""The out-of-distribution score on scans and on what is none: scored case by case, and the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from voxprior.errors import InputError
from voxprior.evaluate.ood.inputs import PROTOCOL, SR, Case, test_cases
from voxprior.evaluate.ood.measure import JUDGES, Figures, kind_of
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.store import key_of
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.familiarity import Familiar, familiar_of, score
from voxprior.priors.weights import Weights, load


def evaluate_ood(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    weights: str | None = None,
    report: Callable[[str], None] = print,
    jobs: Sequence[str] = (SR,),
) -> list[dict[str, Any]]:
    """Score every case of ``data``, append to ``out``/ood.jsonl, and write ``page``; known results are not made again.

    ``only``: words that must all occur in ``KIND SUBJECT xFACTOR``, of other jobs than sr in what :attr:`Case.name`
    says. ``weights``: by default those of each job. Raises :class:`InputError` for missing data, and for weights whose
    card has no threshold.
    """
    chosen = {job: [c for c in test_cases(data, job) if all(word in c.name for word in only)] for job in jobs}
    if not any(chosen.values()):
        raise InputError(f"--only {' '.join(only)} matches no case; words are parts of 'KIND SUBJECT xFACTOR'")
    store = results(out, "ood")
    done = {record["key"] for record in store.records()}
    made = []
    for job, cases in chosen.items():
        for record in _scored(data, job, cases, load(weights or JUDGES[job].weights), done):
            store.append(record)
            made.append(record)
            report(f"{record['name']}: {record['score']:.2f} of {record['threshold']:.2f}")
    write_page(page, out)
    return made


def _scored(
    data: Path, job: str, cases: Sequence[Case], known: Weights[SlicePrior], done: set[str]
) -> Iterator[dict[str, Any]]:
    for case in cases:
        familiar = familiar_of(known.card, JUDGES[job].figures, kind_of(case))
        if familiar is None:
            raise InputError(
                f"{known.name}: its card has no threshold; run voxprior evaluate ood --job {job} --calibrate first"
            )
        key = key_of({"protocol": PROTOCOL, "case": case.to_dict(), "weights": known.sha256, **familiar.to_dict()})
        if key not in done:
            begin = time.perf_counter()
            found = _record(case, known, familiar, JUDGES[job].find(data, case, known))
            yield {"key": key, **found, "seconds": time.perf_counter() - begin}


def _record(
    case: Case, known: Weights[SlicePrior], familiar: Familiar, found: tuple[Figures, float]
) -> Mapping[str, Any]:
    figures, beyond = found
    return {
        "name": case.name,
        "case": case.to_dict(),
        "weights": {"name": known.name, "sha256": known.sha256},
        "score": score(figures, beyond, familiar),
        "without_header": score(figures, 0.0, familiar),
        "threshold": familiar.threshold,
        "figures": dict(figures),
        "outside": beyond,
    }
