"""The evaluation of ``enhance``: cases, contenders, and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.enhance.measure import coarse, contenders, key, measure, runs_on, told
from voxprior.evaluate.enhance.protocols import EDGE, enhance_cases
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.resume import fill, plan


def evaluate_enhance(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    chosen: Sequence[Contender] | None = None,
    edge: int = EDGE,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Measure every contender on every block of ``data``, append to ``out``/enhance.jsonl, and write ``page``.

    Results are known by case, options and weights; known ones are not made again. ``only``: words that must all occur
    in ``SUBJECT KIND DIRECTIONS LABEL``. ``edge``: of a block, voxels. Returns the new results. Raises
    :class:`InputError` for missing data, weights, or words that match nothing.
    """
    made = fill(
        results(out, "enhance"),
        plan(enhance_cases(data), contenders() if chosen is None else chosen, runs_on, only),
        key,
        lambda case: coarse(data, case, edge),
        measure,
        lambda record: report(told(record)),
    )
    write_page(page, out)
    return made
