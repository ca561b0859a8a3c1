"""The comparison of samplers: blocks, contenders, and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.contender import Contender, Resolve
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.resume import fill, plan
from voxprior.evaluate.samplers.contenders import STEPS, runs_on, sampler_contenders, sampler_method
from voxprior.evaluate.samplers.measure import key, measure, told
from voxprior.evaluate.samplers.protocols import EDGE, sampler_cases
from voxprior.evaluate.sr.degrade import Truth, thicken


def evaluate_samplers(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    tpdm_steps: Sequence[int] = STEPS,
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = sampler_method,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Measure every contender on the blocks of ``data``, append to ``out``/samplers.jsonl, and write ``page``.

    ``tpdm_steps``: noise levels of TPDM, each a row; 2000 are the published ones and take more than an hour. Results
    are known by case, method, resolved options and weights; known ones are not made again. ``only``: words that must
    all occur in ``SUBJECT KIND DIRECTION LABEL``. Returns the new results. Raises :class:`InputError` for missing
    data, weights, or words that match nothing.
    """
    store = results(out, "samplers")
    chosen = sampler_contenders(tpdm_steps) if contenders is None else contenders
    made = fill(
        store,
        plan(sampler_cases(data), chosen, runs_on, only),
        lambda case, contender: key(case, contender, resolve),
        lambda case: thicken(Truth.read(data, case), case, EDGE),
        lambda case, contender, problem: measure(case, contender, problem, resolve),
        lambda record: report(told(record)),
    )
    write_page(page, out)
    return made
