"""The through-plane evaluation, case by case: what is done is skipped, what is new is appended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from voxprior.errors import InputError
from voxprior.evaluate.contenders import Contender, Resolve, sr_contenders, sr_method
from voxprior.evaluate.degrade import Truth, thicken
from voxprior.evaluate.measure import key, measure
from voxprior.evaluate.protocols import Case, sr_cases
from voxprior.evaluate.readme import write_readme
from voxprior.evaluate.store import Store
from voxprior.evaluate.tables import write_page

RESULTS = Path("docs/results")
PAGE = Path("docs/results.md")
LINES = "sr.jsonl"


def evaluate_sr(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = sr_method,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Measure every contender on every case of ``data``, append to ``out``/sr.jsonl, and write ``page`` and
    the block of figures in the README beside its folder.

    A result is known by the case (with the sha256 of its file), the method, its resolved options and the
    sha256 of its weights; known ones are not made again. ``only``: words that must all occur in ``SUBJECT
    KIND DIRECTION LABEL``. Returns the new results. Raises :class:`InputError` for missing data, weights, or
    words that match nothing.
    """
    store = Store(out / LINES)
    done = {record["key"] for record in store.records()}
    plan = _plan(sr_cases(data), sr_contenders() if contenders is None else contenders, only)
    truth: tuple[str, Truth] | None = None
    made = []
    for case, chosen in plan:
        missing = [c for c in chosen if key(case, c, resolve) not in done]
        if not missing:
            continue
        if truth is None or truth[0] != case.file:
            truth = (case.file, Truth.read(data, case))
        problem = thicken(truth[1], case)
        for contender in missing:
            record = measure(case, contender, problem, resolve)
            store.append(record)
            made.append(record)
            report(_line(record))
    write_page(page, store.records(), out)
    write_readme(page.parent.parent / "README.md", store.records())
    return made


def _plan(
    cases: Sequence[Case], contenders: Sequence[Contender], only: Sequence[str]
) -> list[tuple[Case, list[Contender]]]:
    """Each case with the contenders that run on it and match all words of ``only``."""
    plan = []
    for case in cases:
        chosen = [c for c in contenders if c.runs_on(case) and all(word in f"{case.name} {c.label}" for word in only)]
        if chosen:
            plan.append((case, chosen))
    if not plan:
        raise InputError(f"--only {' '.join(only)} matches no case; words are parts of 'SUBJECT KIND DIRECTION METHOD'")
    return plan


def _line(record: Mapping[str, Any]) -> str:
    f = record["figures"]
    shown = "exact" if f["psnr"] is None else f"{f['psnr']:.2f} dB"
    return f"{record['name']}  {record['label']}: {shown}, SSIM {f['ssim']:.4f}, {f['seconds']:.1f} s"
