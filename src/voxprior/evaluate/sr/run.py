"""The through-plane evaluation: cases, contenders, page, and the figures in the README."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from voxprior.evaluate.contender import Contender, Resolve
from voxprior.evaluate.page import PAGE, RESULTS, results, write_page
from voxprior.evaluate.resume import fill, plan
from voxprior.evaluate.sr.contenders import runs_on, sr_contenders, sr_method
from voxprior.evaluate.sr.degrade import Problem, Truth, thicken
from voxprior.evaluate.sr.measure import key, measure
from voxprior.evaluate.sr.protocols import Case, sr_cases
from voxprior.evaluate.sr.readme import write_readme


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
    store = results(out, "sr")
    planned = plan(sr_cases(data), sr_contenders() if contenders is None else contenders, runs_on, only)
    truth: dict[str, Truth] = {}

    def prepare(case: Case) -> Problem:
        if case.file not in truth:
            truth.clear()  # cases come subject by subject, and a volume is large
            truth[case.file] = Truth.read(data, case)
        return thicken(truth[case.file], case)

    made = fill(
        store,
        planned,
        lambda case, contender: key(case, contender, resolve),
        prepare,
        lambda case, contender, problem: measure(case, contender, problem, resolve),
        lambda record: report(_line(record)),
    )
    write_page(page, out)
    write_readme(page.parent.parent / "README.md", store.records())
    return made


def _line(record: Mapping[str, Any]) -> str:
    f = record["figures"]
    shown = "exact" if f["psnr"] is None else f"{f['psnr']:.2f} dB"
    return f"{record['name']}  {record['label']}: {shown}, SSIM {f['ssim']:.4f}, {f['seconds']:.1f} s"
