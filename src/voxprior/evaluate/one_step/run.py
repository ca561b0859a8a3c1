"""The evaluation of one step: cases, contenders, and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.one_step.contenders import one_step_contenders, runs_on
from voxprior.evaluate.one_step.measure import key, measure, told
from voxprior.evaluate.one_step.protocols import EDGE, one_step_cases
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.resume import fill, plan
from voxprior.evaluate.sr.degrade import Truth, thicken


def evaluate_one_step(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    contenders: Sequence[Contender] | None = None,
    edge: int = EDGE,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Measure every contender on every block of ``data``, append to ``out``/one-step.jsonl, and write ``page``.

    Results are known by case, options and weights; known ones are not made again. ``only``: words that must all occur
    in ``SUBJECT KIND DIRECTION LABEL``. ``edge``: of a block, voxels. Returns the new results. Raises
    :class:`InputError` for missing data, weights, or words that match nothing.
    """
    chosen = one_step_contenders() if contenders is None else contenders
    made = fill(
        results(out, "one-step"),
        plan(one_step_cases(data), chosen, runs_on, only),
        key,
        lambda case: thicken(Truth.read(data, case), case, edge),
        measure,
        lambda record: report(told(record)),
    )
    write_page(page, out)
    return made
