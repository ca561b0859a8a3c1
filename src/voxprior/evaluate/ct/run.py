"""The X-ray evaluation: settings of the baselines, cases, contenders, and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.contender import Contender, Resolve
from voxprior.evaluate.ct.acquire import acquire
from voxprior.evaluate.ct.contenders import ct_contenders, ct_method, runs_on
from voxprior.evaluate.ct.measure import key, measure, told
from voxprior.evaluate.ct.protocols import ct_cases
from voxprior.evaluate.ct.tuning import tune
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.resume import fill, plan
from voxprior.evaluate.store import Store

TUNING = "ct-tuning.jsonl"
"""What the search over the settings gave, in the folder of the results."""


def evaluate_ct(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = ct_method,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Measure every contender on every case of ``data``, append to ``out``/ct.jsonl, and write ``page``.

    Without ``contenders`` the settings of the baselines are chosen first, on the training volume's top fifth, which
    takes a while once. Results are known by case, method, resolved options and weights; known ones are not made again.
    ``only``: words that must all occur in ``SUBJECT KIND LABEL``. Returns the new results. Raises :class:`InputError`
    for missing data, weights, or words that match nothing.
    """
    store = results(out, "ct")
    chosen = ct_contenders(tune(data, Store(out / TUNING), report)) if contenders is None else contenders
    made = fill(
        store,
        plan(ct_cases(data), chosen, runs_on, only),
        lambda case, contender: key(case, contender, resolve),
        lambda case: acquire(data, case),
        lambda case, contender, problem: measure(case, contender, problem, resolve),
        lambda record: report(told(record)),
    )
    write_page(page, out)
    return made
