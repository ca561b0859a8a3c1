"""The evaluation of tissue volumes: cases, contenders, page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.contender import Contender, Resolve
from voxprior.evaluate.downstream.measure import key, measure, tissue_contenders
from voxprior.evaluate.downstream.protocols import Case, tissue_cases
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.resume import fill, plan
from voxprior.evaluate.sr.contenders import sr_method
from voxprior.evaluate.sr.degrade import Problem, Truth, thicken


def evaluate_downstream(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = sr_method,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Measure every contender on every case of ``data``, append to ``out``/downstream.jsonl, and write ``page``.

    Known results are not made again. ``only``: words that must all occur in ``SUBJECT KIND DIRECTION LABEL``. Returns
    the new results. Raises :class:`InputError` for missing data, weights, or words that match nothing.
    """

    def prepare(case: Case) -> Problem:
        thickened = case.thickened()
        return thicken(Truth.read(data, thickened), thickened)

    made = fill(
        results(out, "downstream"),
        plan(tissue_cases(data), tissue_contenders() if contenders is None else contenders, lambda *_: True, only),
        lambda case, contender: key(case, contender, resolve),
        prepare,
        lambda case, contender, problem: measure(case, contender, problem, resolve),
        lambda record: report(_line(record)),
    )
    write_page(page, out)
    return made


def _line(record: dict[str, Any]) -> str:
    errors = ", ".join(f"{name} {value:+.1%}" for name, value in record["figures"]["error"].items())
    return f"{record['name']}  {record['label']}: {errors}"
