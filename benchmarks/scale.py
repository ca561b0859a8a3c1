"""What many scans cost: seconds and memory a scan, measured here, and a plan for a cohort.

    python benchmarks/scale.py --data DIR [--scans 5] [--cohort 100000] [--threads 2]

Measures `voxprior bids` on copies of one thick scan, made from the demo head or the first T1w of the test split, in one
worker process, and writes the table of docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import nibabel
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/scale.md"
DEMO = ROOT / "src/voxprior/demo/head.nii.gz"
MARKS = "<!-- scale.py -->", "<!-- end -->"
NODES = (1, 16, 128)


def make(folder: Path, scans: int, factor: int) -> tuple[int, ...]:
    """A data set of one head in slices ``factor`` voxels thick, under other names; the shape of the restored volume."""
    source = nibabel.load(DEMO)
    data = np.asarray(source.dataobj, dtype=np.float32)
    count = data.shape[2] // factor
    thick = data[:, :, : count * factor].reshape(*data.shape[:2], count, factor).mean(axis=3)
    affine = source.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (factor - 1) / 2
    affine[:3, 2] *= factor
    about = {"Name": "scale", "BIDSVersion": "1.9.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(about))
    for number in range(scans):
        path = folder / f"sub-{number:03d}/anat/sub-{number:03d}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        scale = np.float32(1 + 0.01 * number)
        nibabel.save(nibabel.Nifti1Image(thick * scale, affine), path)
    return data.shape


def run(raw: Path, out: Path, threads: int) -> float:
    begin = time.perf_counter()
    words = ["bids", raw, out, "participant", "--workers", "1", "--worker-threads", threads, "-q"]
    subprocess.run([sys.executable, "-m", "voxprior", *map(str, words)], check=True)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=5)
    parser.add_argument("--factor", type=int, default=5)
    parser.add_argument("--cohort", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        raw, out = Path(name, "raw"), Path(name, "out")
        raw.mkdir()
        shape = make(raw, asked.scans, asked.factor)
        whole, again = run(raw, out, asked.threads), run(raw, out, asked.threads)
        told = [json.loads(p.read_text()) for p in sorted(out.glob("sub-*/anat/*_desc-restored_T1w.json"))]
        size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / asked.scans
    assert len(told) == asked.scans
    restoring = median(one["seconds"] for one in told)
    peak = max(one["peak_memory_bytes"] for one in told) / 1e9
    each = (whole - again) / asked.scans
    lines = [
        f"Measured with {asked.scans} scans restored to {' x '.join(map(str, shape))} voxels, x{asked.factor}, "
        f"{asked.threads} threads a worker:",
        "",
        "| | |",
        "| --- | --- |",
        f"| restoring a scan, median | {restoring:.1f} s |",
        f"| a scan from file to files, with its page | {each:.1f} s |",
        f"| start of scheduler and worker, and a look at every finished scan | {again:.1f} s |",
        f"| peak memory of a worker | {peak:.2f} GB |",
        f"| derivatives of a scan | {size / 1e6:.1f} MB |",
        "",
        f"So {asked.cohort:,} scans take {each * asked.cohort / 3600 * asked.threads:,.0f} core hours and "
        f"{size * asked.cohort / 1e12:.2f} TB:",
        "",
        "| workers | days |",
        "| --- | --- |",
        *(f"| {n} | {each * asked.cohort / n / 86400:.1f} |" for n in NODES),
    ]
    begin, end = MARKS
    text = PAGE.read_text()
    before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
    PAGE.write_text(before + "\n" + "\n".join(lines) + "\n" + after)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
