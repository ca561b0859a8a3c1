"""The evaluation with lesions: cases, contenders, page, pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.contender import Contender, Resolve
from voxprior.evaluate.lesions.contenders import lesion_contenders, runs_on
from voxprior.evaluate.lesions.measure import Task, key, measure
from voxprior.evaluate.lesions.protocols import EDGE, lesion_cases
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.resume import fill, plan
from voxprior.evaluate.sr.contenders import sr_method


def evaluate_lesions(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = sr_method,
    report: Callable[[str], None] = print,
    edge: int = EDGE,
) -> list[dict[str, Any]]:
    """Measure every contender on every case of ``data``, append to ``out``/lesions.jsonl, and write ``page``.

    Results are known by case, method, resolved options and weights; known ones are not made again. ``only``: words that
    must all occur in ``SUBJECT KIND DIRECTION LABEL``. Returns the new results. Raises :class:`InputError` for missing
    data, weights, or words that match nothing.
    """
    chosen = lesion_contenders() if contenders is None else contenders
    made = fill(
        results(out, "lesions"),
        plan(lesion_cases(data), chosen, runs_on, only),
        lambda case, contender: key(case, contender, resolve),
        lambda case: Task.read(data, case, edge),
        lambda case, contender, task: measure(case, contender, task, resolve),
        lambda record: report(_line(record)),
    )
    write_page(page, out)
    return made


def _line(record: dict[str, Any]) -> str:
    f = record["figures"]
    sizes = ", ".join(f"{d} mm {sum(v['recovered']) / len(v['recovered']):.2f}" for d, v in f["insertions"].items())
    return f"{record['name']}  {record['label']}: {sizes}; blobs {f['false']}, {f['seconds']:.1f} s"
