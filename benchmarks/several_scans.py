"""Three orthogonal thick scans made from one truth: each alone, the best of them, and all together.

    python benchmarks/several_scans.py --data DIR [--split test] [--edge 96] [--factor 5] [--subjects NAME ...]

Writes docs/results/several.jsonl, a line a subject, and the table of docs/how-to/several-scans.md. A subject that is
there already is not measured again. The slices have a Gaussian profile of their own where --profile says so, while the
restoration assumes a box.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import mean

import numpy as np

from voxprior.evaluate.manifest import read_manifest
from voxprior.evaluate.sr.degrade import block
from voxprior.io.nifti import read_volume
from voxprior.jobs.options import SrOptions
from voxprior.jobs.several import restore_several
from voxprior.jobs.sr import restore_slices
from voxprior.metrics import data_range, foreground, psnr, ssim
from voxprior.volume import SliceGeometry, Volume, slice_affine

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "docs/results/several.jsonl"
PAGE = ROOT / "docs/how-to/several-scans.md"
MARKS = "<!-- several_scans.py -->", "<!-- end -->"
SCALES = (1.0, 1.4, 0.7)
"""Intensities of the scans: no two scanners' gains agree."""


def cut(volume: Volume, edge: int, factor: int) -> Volume:
    """A cube in the head whose sides are whole slices."""
    edge -= edge % factor
    window = block(foreground(volume.data), 1, edge)
    affine = np.array(volume.affine)
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in window]
    return Volume(np.array(volume.data[tuple(window)]), affine)


def thicken(truth: Volume, axis: int, factor: int, profile: str, scale: float) -> Volume:
    n, step = truth.data.shape[axis], truth.spacing[axis]
    g = SliceGeometry(axis, n // factor, factor * step, factor * step, n, step, profile)
    data = np.moveaxis(np.tensordot(g.matrix(), truth.data, axes=(1, axis)), 0, axis) * scale
    return Volume(data.astype(np.float32), slice_affine(truth.affine, g))


def figures(image: np.ndarray, truth: Volume, reach: float) -> dict[str, float]:
    head = foreground(truth.data)
    return {
        "psnr": psnr(image, truth.data, reach),
        "psnr_foreground": psnr(image, truth.data, reach, head),
        "ssim": ssim(image, truth.data, reach),
    }


def measure(path: Path, edge: int, factor: int, profile: str, threads: int) -> dict[str, object]:
    whole = read_volume(path)
    truth, reach = cut(whole, edge, factor), data_range(whole.data)
    scans = [thicken(truth, axis, factor, profile, s) for axis, s in zip((2, 1, 0), SCALES)]
    options = [SrOptions(threads=threads, spacing=truth.spacing[axis], axis="ijk"[axis]) for axis in (2, 1, 0)]
    alone = {}
    for scan, scale, own in zip(scans, SCALES, options):
        alone[f"scan along {own.axis}"] = figures(restore_slices(scan, own).image.data / scale, truth, reach)
    with tempfile.TemporaryDirectory() as folder:
        own = options[0].model_copy(update={"axis": "auto"})
        together = restore_several([(s, Path(folder)) for s in scans], own, False)
    found = together.restored
    if found.image.data.shape != truth.data.shape:  # the grid of the first scan is not the truth's along its slices
        return {"skipped": "voxels are not cubes"}
    error = np.abs(found.image.data - truth.data)
    assert found.std is not None
    return {
        "alone": alone,
        "together": figures(found.image.data, truth, reach),
        "coverage_of_90": float((error <= 1.645 * found.std.data).mean()),
        "scales": [scan.scale for scan in together.scans],
        "seconds": found.seconds,
    }


def table(rows: list[dict]) -> str:
    lines = ["| subject | slices | best scan alone, dB | all three, dB | gain, dB | inside 90 % |", "| --- " * 6 + "|"]
    gains: list[float] = []
    for row in rows:
        best = max(one["psnr"] for one in row["alone"].values())
        gains.append(row["together"]["psnr"] - best)
        lines.append(
            f"| {row['subject']} | x{row['factor']} {row['profile']} | {best:.2f} | {row['together']['psnr']:.2f} "
            f"| {gains[-1]:+.2f} | {row['coverage_of_90']:.2f} |"
        )
    if not rows:
        return ""
    return "\n".join([*lines, f"| mean of {len(rows)} | | | | {mean(gains):+.2f} | |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--edge", type=int, default=96)
    parser.add_argument("--factor", type=int, default=5)
    parser.add_argument("--profile", default="box")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--subjects", nargs="*", default=[])
    wanted = parser.parse_args()
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.is_file() else []
    for entry in read_manifest(wanted.data):
        key = {"subject": entry["subject"], "edge": wanted.edge, "factor": wanted.factor, "profile": wanted.profile}
        known = any(all(row.get(k) == v for k, v in key.items()) for row in rows)
        chosen = not wanted.subjects or entry["subject"] in wanted.subjects
        head = entry["modality"] in ("T1w", "T2w", "FLAIR") and entry["split"] == wanted.split
        if known or not chosen or not head:
            continue
        row = {**key, "split": wanted.split}
        row |= measure(wanted.data / entry["file"], wanted.edge, wanted.factor, wanted.profile, wanted.threads)
        print(json.dumps(row), flush=True)
        if "skipped" not in row:
            rows.append(row)
            ROWS.write_text("".join(json.dumps(one, sort_keys=True) + "\n" for one in rows))
    begin, end = MARKS
    text = PAGE.read_text()
    before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
    PAGE.write_text(f"{before}\n{table([r for r in rows if r['split'] == 'test'])}\n{after}")


if __name__ == "__main__":
    main()
