"""The figures in the README: a marked block that the results command rewrites."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from voxprior.evaluate.markdown import table
from voxprior.evaluate.sr.contenders import CUBIC, MEAN
from voxprior.evaluate.sr.tables import GROUPS, gain
from voxprior.evaluate.statistics import Record, latest

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
KINDS = ("x2 box", "x3 box", "x4 box", "x5 box", "x8 box")


def write_readme(readme: Path, records: Iterable[Record]) -> None:
    """Replace the block between the marks of ``readme`` by the mean mode's gains; without marks nothing is done."""
    if not readme.is_file():
        return
    text = readme.read_text(encoding="utf-8")
    block = summary(records)
    if not block or BEGIN not in text or END not in text:
        return
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    temporary = readme.with_name(readme.name + ".part")
    temporary.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}", encoding="utf-8")
    os.replace(temporary, readme)


def summary(records: Iterable[Record]) -> str:
    """Gain over cubic in dB of PSNR, a factor and group of subjects; empty without results of the mean mode."""
    whole = [r for r in latest(records) if not r["case"]["crop"] and r["label"] in (CUBIC, MEAN)]
    rows = []
    for kind in KINDS:
        mine = [r for r in whole if r["kind"] == kind]
        cells = [gain([r for r in mine if r["case"]["group"] == group], "psnr") for group in GROUPS]
        if any(cell != "-" for cell in cells):
            rows.append([kind, *cells])
    if not rows:
        return ""
    return (
        "Gain of the mean mode over cubic interpolation, dB of PSNR on test subjects that no network was trained on\n"
        "(box profile; `voxprior evaluate sr --data DIR` writes this block and [the whole table](docs/results.md)):\n\n"
        + table(["slices", *GROUPS], rows)
    )
