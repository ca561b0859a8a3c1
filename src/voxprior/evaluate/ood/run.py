"""The out-of-distribution score on scans and on what is none: scored case by case, and the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from voxprior.errors import InputError
from voxprior.evaluate.ood.inputs import PROTOCOL, Case, bind, prepare, test_cases
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.store import key_of
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.familiarity import Familiar, familiar_of, figures, outside, score
from voxprior.priors.weights import DEFAULT, Weights, load


def evaluate_ood(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    weights: str = DEFAULT,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Score every case of ``data``, append to ``out``/ood.jsonl, and write ``page``; known results are not made again.

    ``only``: words that must all occur in ``KIND SUBJECT xFACTOR``. Raises :class:`InputError` for missing data, and
    for weights whose card has no threshold.
    """
    known = load(weights)
    familiar = familiar_of(known.card)
    if familiar is None:
        raise InputError(f"{known.name}: its card has no threshold; run voxprior evaluate ood --calibrate first")
    cases = [case for case in test_cases(data) if all(word in case.name for word in only)]
    if not cases:
        raise InputError(f"--only {' '.join(only)} matches no case; words are parts of 'KIND SUBJECT xFACTOR'")
    store = results(out, "ood")
    done = {record["key"] for record in store.records()}
    made = []
    for case in cases:
        key = key_of({"protocol": PROTOCOL, "case": case.to_dict(), "weights": known.sha256, **familiar.to_dict()})
        if key in done:
            continue
        record = {"key": key, **_measure(data, case, known, familiar)}
        store.append(record)
        made.append(record)
        report(f"{case.name}: {record['score']:.2f} of {familiar.threshold:.2f}")
    write_page(page, out)
    return made


def _measure(data: Path, case: Case, known: Weights[SlicePrior], familiar: Familiar) -> dict[str, Any]:
    begin = time.perf_counter()
    bound = bind(*prepare(data, case), known.prior)
    found, beyond = figures(bound), outside(known.card, bound)
    return {
        "name": case.name,
        "case": case.to_dict(),
        "weights": {"name": known.name, "sha256": known.sha256},
        "score": score(found, beyond, familiar),
        "without_header": score(found, 0.0, familiar),
        "threshold": familiar.threshold,
        "figures": found,
        "outside": beyond,
        "seconds": time.perf_counter() - begin,
    }
