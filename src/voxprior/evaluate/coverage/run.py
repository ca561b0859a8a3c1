"""The evaluation of intervals: cases, contenders, and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.coverage.measure import degrade, key, measure
from voxprior.evaluate.coverage.protocols import contenders, runs_on, test_cases
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.resume import fill, plan


def evaluate_coverage(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    chosen: Sequence[Contender] | None = None,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Count what the intervals of every contender hold on ``data``, append to ``out``/coverage.jsonl, write ``page``.

    Results are known by case, options, weights and the factors of their card; known ones are not made again. ``only``:
    words that must all occur in ``SUBJECT KIND EDGE DIRECTIONS LABEL``. Returns the new results. Raises
    :class:`InputError` for missing data, weights, or words that match nothing.
    """
    made = fill(
        results(out, "coverage"),
        plan(test_cases(data), contenders() if chosen is None else chosen, runs_on, only),
        key,
        lambda case: degrade(data, case),
        measure,
        lambda record: report(_line(record)),
    )
    write_page(page, out)
    return made


def _line(record: dict[str, Any]) -> str:
    f = record["figures"]
    found = f["widened"] or f["nominal"]
    shares = ", ".join(f"{share:.1%} of {level}" for level, share in found["coverage"].items())
    return f"{record['name']}  {record['label']}: {shares}; {f['seconds']:.1f} s"
