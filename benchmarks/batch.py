"""What a folder saves: five scans in one run of `voxprior sr`, against five runs of one scan each.

    python benchmarks/batch.py [--threads 2]

The demo head is made thick in five ways. The one run comes amid the single ones; each is a process of its own, whose
time and memory the system tells. Writes the table of docs/scale.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/scale.md"
DEMO = ROOT / "src/voxprior/demo/head.nii.gz"
MARKS = "<!-- batch.py -->", "<!-- end -->"
WAYS = ((0, 5), (1, 5), (2, 5), (2, 4), (2, 3))
"""Axis and factor of each scan."""
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes; systems differ in what they count."""


@dataclass(frozen=True)
class Cost:
    """Of a process: seconds on the clock and of processors, and peak memory in bytes."""

    wall: float
    processor: float
    peak: float


def thicken(folder: Path) -> list[Path]:
    """The demo head in thick slices, one file for each of ``WAYS``."""
    source = nibabel.load(DEMO)
    data = np.asarray(source.dataobj, dtype=np.float32)
    paths = []
    for axis, factor in WAYS:
        count = data.shape[axis] // factor
        fine = np.moveaxis(data, axis, 0)[: count * factor]
        thick = np.moveaxis(fine.reshape(count, factor, *fine.shape[1:]).mean(axis=1), 0, axis)
        affine = source.affine.copy()
        affine[:3, 3] += affine[:3, axis] * (factor - 1) / 2
        affine[:3, axis] *= factor
        paths.append(folder / f"{'ijk'[axis]}{factor}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(thick, affine), paths[-1])
    return paths


def run(source: Path, target: Path, threads: int) -> Cost:
    words = ["sr", "-i", source, "-o", target, "--threads", threads, "-q"]
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "voxprior", *map(str, words)])
    _, status, usage = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"voxprior sr ended with {code}")
    return Cost(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_UNIT)


def table(single: list[Cost], batch: Cost, threads: int) -> list[str]:
    n = len(single)
    wall, processor = sum(c.wall for c in single), sum(c.processor for c in single)
    peak = max(c.peak for c in single)
    return [
        f"{n} scans of one head, made thick in {n} ways, {threads} thread{'s' * (threads > 1)}; "
        "both ways give the same voxels:",
        "",
        f"| | {n} runs of one scan | one run of {n} scans | ratio |",
        "| --- | --- | --- | --- |",
        f"| time | {wall:.1f} s | {batch.wall:.1f} s | {batch.wall / wall:.2f} |",
        f"| processor time | {processor:.1f} s | {batch.processor:.1f} s | {batch.processor / processor:.2f} |",
        f"| peak memory | {peak / 1e9:.2f} GB | {batch.peak / 1e9:.2f} GB | {batch.peak / peak:.2f} |",
        "",
        f"Each start and loading of the weights that is saved is {(processor - batch.processor) / (n - 1):.1f} s of a "
        "processor.\nTime on the clock also depends on what else the machine did.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        thick, alone, together = (Path(name, part) for part in ("thick", "alone", "together"))
        thick.mkdir()
        alone.mkdir()
        scans = thicken(thick)
        half = len(scans) // 2
        single = [run(scan, alone / scan.name, asked.threads) for scan in scans[:half]]
        batch = run(thick, together, asked.threads)  # in the middle, for what else the machine does
        single += [run(scan, alone / scan.name, asked.threads) for scan in scans[half:]]
        for scan in scans:
            pair = [np.asarray(nibabel.load(folder / scan.name).dataobj) for folder in (alone, together)]
            assert np.array_equal(*pair), scan.name
    lines = table(single, batch, asked.threads)
    begin, end = MARKS
    text = PAGE.read_text()
    start = text.index(begin) + len(begin)
    PAGE.write_text(text[:start] + "\n" + "\n".join(lines) + "\n" + text[text.index(end, start) :])
    print("\n".join(lines))


if __name__ == "__main__":
    main()
