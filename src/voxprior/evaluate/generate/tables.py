"""The part of the page about generated volumes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from voxprior.evaluate.generate.protocols import SCAN
from voxprior.evaluate.generate.statistics import PLANES
from voxprior.evaluate.markdown import number, provenance, section, table, unique
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.statistics import Record, latest

_HEAD = """## Generated volumes

`voxprior evaluate generate --data DIR`, beside three blocks of each training volume with voxels of 1 mm: both ends of
the head and its middle. Means over seeds, or over such blocks of the scans of the training split that no network was
fitted to. Histogram: how far intensity must be moved to have the mean histogram of the blocks, in units of the 99th
percentile of the foreground. Spectrum: root mean square difference of the log power of the slices of a plane from its
mean, over frequencies. Nearest: the largest correlation with a training block.
"""


def part(folder: Path) -> str:
    """The part of the page, from ``folder``/generate.jsonl and what lies beside it; empty without results."""
    found = results(folder, "generate").records()
    return render(found, remarks_of(folder, "generate")) if found else ""


def render(records: Iterable[Record], remarks: str = "") -> str:
    """The part as Markdown, a table a size."""
    found = latest(records)
    parts = [f"{_HEAD}\n{provenance(found)}\n"]
    for kind in unique(r["kind"] for r in found):
        parts.append(section(kind, _table([r for r in found if r["kind"] == kind])))
    return "\n".join(part for part in (*parts, remarks.strip() + "\n" if remarks.strip() else "") if part)


def _table(records: Sequence[Record]) -> str:
    rows = []
    for label in unique(r["label"] for r in records):
        mine = [r["figures"] for r in records if r["label"] == label and "histogram" in r["figures"]]
        if not mine:
            continue
        spectra = " / ".join(number(float(np.mean([f["spectrum"][p] for f in mine])), 1) for p in PLANES)
        calls = str(mine[0]["network_calls"]) if label != SCAN else "-"
        seconds = number(float(np.mean([f["seconds"] for f in mine])), 1) if label != SCAN else "-"
        means = [number(float(np.mean([f[name] for f in mine])), 3) for name in ("histogram", "nearest", "mean", "std")]
        rows.append([label, str(sum(f["volumes"] for f in mine)), means[0], spectra, *means[1:], calls, seconds])
    planes = " / ".join(PLANES)
    header = ["block", "how many", "histogram", f"spectrum {planes}, dB", "nearest", "mean", "std", "calls", "seconds"]
    return table(header, rows)
