"""The part of the page about volumes that are coarse in plane, and a weak field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from voxprior.evaluate.markdown import listed, provenance, section, table, unique
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.statistics import Record, latest, paired

BICUBIC = "bicubic"

_HEAD = """## Enhancement

`voxprior evaluate enhance --data DIR`. Blocks of 128 voxels a side at the centre of the test subjects (less where the
head is smaller), twice coarser along two directions of true resolution: means of 2 x 2 voxels (`box`), a truncated
k-space, or a **simulated** scan at 1.5 T, whose contrast, noise and blur differ too (`1.5t`; no scan at 1.5 T is among
the data). PSNR (range: 99.9th percentile of the truth) and 3-D SSIM of the whole block. Published for twice in plane,
on other data: + 1.7 dB over bicubic by EDSR and Swin2SR, + 3.9 by a 3-D EDM of 50 million parameters.
"""


def part(folder: Path) -> str:
    """The part of the page, from ``folder``/enhance.jsonl; empty without results."""
    found = results(folder, "enhance").records()
    return render(found, remarks_of(folder, "enhance")) if found else ""


def render(records: Iterable[Record], remarks: str = "") -> str:
    """The part as Markdown."""
    own = latest(records)
    parts = [f"{_HEAD}\n{provenance(own)}\n"]
    for kind in unique(r["kind"] for r in own):
        mine = [r for r in own if r["kind"] == kind]
        subjects = len({r["case"]["subject"] for r in mine})
        parts.append(section(f"{kind[0].upper()}{kind[1:]}: {subjects} subjects", _contest(mine)))
    parts.append(remarks.strip() + "\n" if remarks.strip() else "")
    return "\n".join(part for part in parts if part)


def _contest(records: Sequence[Record]) -> str:
    subject = {r["name"]: r["case"]["subject"] for r in records}
    gains = paired(records, "psnr")
    rows = []
    for label in unique(r["label"] for r in records):
        mine = [r for r in records if r["label"] == label]

        def over(figure: str, digits: int, mine: Sequence[Record] = mine) -> str:
            known = [(r["case"]["subject"], r["figures"][figure]) for r in mine if r["figures"][figure] is not None]
            return listed(known, digits)

        better = [
            (subject[name], by_label[label] - by_label[BICUBIC])
            for name, by_label in gains.items()
            if label in by_label and BICUBIC in by_label
        ]
        residuals = [r["figures"]["residual"] for r in mine if r["figures"]["residual"] is not None]
        rows.append([
            label, over("psnr", 2), listed(better, sign="+"), over("psnr_foreground", 2), over("ssim", 4),
            f"{max(residuals):.1e}" if residuals else "-", str(mine[0]["figures"]["network_calls"] or "-"),
            over("seconds", 1),
        ])
    header = ("method", "PSNR, dB", "over bicubic", "in the foreground", "SSIM", "largest residual", "calls", "seconds")
    return table(header, rows)
