"""The bench tests: phantoms, contenders, page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.bench.measure import bench_contenders, key, measure, runs_on
from voxprior.evaluate.bench.protocols import bench_cases
from voxprior.evaluate.contender import Contender, Resolve
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.resume import fill, plan
from voxprior.evaluate.sr.contenders import sr_method


def evaluate_bench(
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = sr_method,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Measure every contender on every phantom, append to ``out``/bench.jsonl, and write ``page``.

    Known results are not made again. ``only``: words that must all occur in ``KIND LABEL``. Returns the new results.
    Raises :class:`InputError` for missing weights, or words that match nothing.
    """
    chosen = bench_contenders() if contenders is None else contenders
    made = fill(
        results(out, "bench"),
        plan(bench_cases(), chosen, runs_on, only),
        lambda case, contender: key(case, contender, resolve),
        lambda case: case,
        lambda case, contender, _: measure(case, contender, resolve),
        lambda record: report(f"{record['name']}  {record['label']}: {record['figures']}"),
    )
    write_page(page, out)
    return made
