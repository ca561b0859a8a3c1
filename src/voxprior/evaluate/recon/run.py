"""The k-space evaluation: cases, contenders, pictures of what has no truth, and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.contender import Contender, Resolve
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.recon.acquire import Problem, Slice, acquire, undersample
from voxprior.evaluate.recon.contenders import recon_contenders, recon_method, runs_on
from voxprior.evaluate.recon.measure import key, measure
from voxprior.evaluate.recon.protocols import Case, recon_cases, undersampled_cases
from voxprior.evaluate.recon.stack import Stack, stack
from voxprior.evaluate.resume import fill, plan


def evaluate_recon(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = recon_method,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Measure every contender on every case of ``data``, append to ``out``/recon.jsonl, and write ``page``.

    A result is known by the case (with the sha256 of its file), the method, its resolved options and the sha256 of its
    weights; known ones are not made again. ``only``: words that must all occur in ``SUBJECT KIND DIRECTION LABEL``.
    Returns the new results. Raises :class:`InputError` for missing data, weights, or words that match nothing.
    """
    store = results(out, "recon")
    chosen = recon_contenders() if contenders is None else contenders
    planned = plan([*recon_cases(data), *undersampled_cases(data)], chosen, runs_on, only)
    full: dict[tuple[str, int], Slice] = {}

    def prepare(case: Case) -> Problem | Stack:
        if case.slices > 1:
            return stack(data, case)
        which = (case.file, case.matrix)
        if which not in full:
            full.clear()  # cases come slice by slice
            full[which] = acquire(data, case)
        return undersample(full[which], case)

    made = fill(
        store,
        planned,
        lambda case, contender: key(case, contender, resolve),
        prepare,
        lambda case, contender, problem: measure(case, contender, problem, resolve),
        lambda record: report(_line(record)),
    )
    write_page(page, out)
    return made


def _line(record: Mapping[str, Any]) -> str:
    f = record["figures"]
    found = [f"true R {f['acceleration']:.2f}"]
    for name, unit in (("psnr", " dB"), ("ssim", ""), ("nmse", ""), ("residual", "")):
        if f.get(name) is not None:
            found.append(f"{name} {f[name]:.4g}{unit}")
    return f"{record['name']}  {record['label']}: {', '.join(found)}, {f['seconds']:.1f} s"
