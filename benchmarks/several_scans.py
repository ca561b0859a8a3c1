"""Three orthogonal thick scans made from one truth: each alone, the best of them, and all together.

    python benchmarks/several_scans.py --data DIR [--split test] [--motion none|known|registered] [--noise 0.01] ...

Writes docs/results/several.jsonl, a line a subject, and the table of docs/how-to/several-scans.md. A subject that is
there already is not measured again. The slices have a Gaussian profile of their own where --profile says so, while the
restoration assumes a box. --motion: the second and third scan are turned by some degrees and moved by some millimetres
between the scans; their headers know it, or do not and the scans are registered. --noise: std, part of the range.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

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
AXES = (2, 1, 0)
TURN, SHIFT = 4.0, 3.0
"""Degrees and millimetres by which the head moves before the second and the third scan."""
SCALES = (1.0, 1.4, 0.7)
"""Intensities of the scans: no two scanners' gains agree."""
MOTIONS = {"none": "none", "known": "in the headers", "registered": "registered"}


def cut(volume: Volume, edge: int, factor: int) -> Volume:
    """A cube in the head whose sides are whole slices."""
    edge -= edge % factor
    window = block(foreground(volume.data), 1, edge)
    affine = np.array(volume.affine)
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in window]
    return Volume(np.array(volume.data[tuple(window)]), affine)


def poses(subject: str, truth: Volume) -> list[np.ndarray]:
    """World to world: none for the first scan, a turn about the centre of the cube and a shift for the others."""
    rng = np.random.default_rng(zlib.crc32(subject.encode()))
    centre = (truth.affine @ [*(np.array(truth.data.shape) - 1) / 2, 1])[:3]
    found = [np.eye(4)]
    for _ in AXES[1:]:
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec(np.deg2rad(TURN) * unit(rng)).as_matrix()
        pose[:3, 3] = centre - pose[:3, :3] @ centre + SHIFT * unit(rng)
        found.append(pose)
    return found


def unit(rng: np.random.Generator) -> np.ndarray:
    v = rng.standard_normal(3)
    return np.asarray(v / np.linalg.norm(v))


def seen(whole: Volume, truth: Volume, pose: np.ndarray) -> Volume:
    """The cube of the head after it moved: the cube's voxels, moved by ``pose``, of the whole volume (cubic spline)."""
    if np.array_equal(pose, np.eye(4)):
        return truth
    to = np.linalg.inv(whole.affine) @ pose @ truth.affine
    at = np.indices(truth.data.shape).reshape(3, -1)
    values = map_coordinates(whole.data.astype(np.float64), to[:3, :3] @ at + to[:3, 3:], order=3, mode="constant")
    return Volume(values.reshape(truth.data.shape).astype(np.float32), truth.affine)


def thicken(fine: Volume, axis: int, factor: int, profile: str, scale: float, noise: float) -> Volume:
    n, step = fine.data.shape[axis], fine.spacing[axis]
    g = SliceGeometry(axis, n // factor, factor * step, factor * step, n, step, profile)
    data = np.moveaxis(np.tensordot(g.matrix(), fine.data, axes=(1, axis)), 0, axis)
    data = scale * (data + noise * np.random.default_rng(axis).standard_normal(data.shape))
    return Volume(data.astype(np.float32), slice_affine(fine.affine, g))


def figures(image: np.ndarray, truth: Volume, reach: float) -> dict[str, float]:
    head = foreground(truth.data)
    return {
        "psnr": psnr(image, truth.data, reach),
        "psnr_foreground": psnr(image, truth.data, reach, head),
        "ssim": ssim(image, truth.data, reach),
    }


def measure(path: Path, subject: str, wanted: argparse.Namespace) -> dict[str, object]:
    whole = read_volume(path)
    truth, reach = cut(whole, wanted.edge, wanted.factor), data_range(whole.data)
    moves = poses(subject, truth) if wanted.motion != "none" else [np.eye(4)] * len(AXES)
    fine = [seen(whole, truth, pose) for pose in moves]
    how = wanted.factor, wanted.profile
    scans = [thicken(f, a, *how, s, wanted.noise * reach) for f, a, s in zip(fine, AXES, SCALES)]
    spacing = [truth.spacing[axis] for axis in AXES]
    options = [SrOptions(threads=wanted.threads, spacing=v, axis="ijk"[a]) for a, v in zip(AXES, spacing)]
    alone = {}
    for scan, one, scale, own in zip(scans, fine, SCALES, options):
        alone[f"scan along {own.axis}"] = figures(restore_slices(scan, own).image.data / scale, one, reach)
    if wanted.motion == "known":
        scans = [replace(scan, affine=pose @ scan.affine) for scan, pose in zip(scans, moves)]
    with tempfile.TemporaryDirectory() as folder:
        own = options[0].model_copy(update={"axis": "auto"})
        together = restore_several([(s, Path(folder)) for s in scans], own, wanted.motion == "registered")
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
    columns = "subject", "slices", "motion", "best scan alone, dB", "all three, dB", "gain, dB", "inside 90 %"
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    gains: list[float] = []
    for row in rows:
        best = max(one["psnr"] for one in row["alone"].values())
        gains.append(row["together"]["psnr"] - best)
        slices = f"x{row['factor']} {row['profile']}" + (f", noise {row['noise']:.0%}" if row["noise"] else "")
        cells = row["subject"], slices, MOTIONS[row["motion"]], f"{best:.2f}", f"{row['together']['psnr']:.2f}"
        lines.append(f"| {' | '.join(cells)} | {gains[-1]:+.2f} | {row['coverage_of_90']:.2f} |")
    if not rows:
        return ""
    return "\n".join([*lines, f"| mean of {len(rows)} | | | | | {mean(gains):+.2f} | |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--edge", type=int, default=96)
    parser.add_argument("--factor", type=int, default=5)
    parser.add_argument("--profile", default="box")
    parser.add_argument("--motion", choices=MOTIONS, default="none")
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--subjects", nargs="*", default=[])
    wanted = parser.parse_args()
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.is_file() else []
    for entry in read_manifest(wanted.data):
        key = {name: getattr(wanted, name) for name in ("edge", "factor", "profile", "motion", "noise")}
        key["subject"] = entry["subject"]
        known = any(all(row.get(k) == v for k, v in key.items()) for row in rows)
        chosen = not wanted.subjects or entry["subject"] in wanted.subjects
        head = entry["modality"] in ("T1w", "T2w", "FLAIR") and entry["split"] == wanted.split
        if known or not chosen or not head:
            continue
        row = {**key, "split": wanted.split}
        row |= measure(wanted.data / entry["file"], entry["subject"], wanted)
        print(json.dumps(row), flush=True)
        if "skipped" not in row:
            rows.append(row)
            ROWS.write_text("".join(json.dumps(one, sort_keys=True) + "\n" for one in rows))
    begin, end = MARKS
    text = PAGE.read_text()
    before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
    tables = [table([r for r in rows if r["split"] == "test" and r["motion"] == motion]) for motion in MOTIONS]
    PAGE.write_text(f"{before}\n" + "\n\n".join(t for t in tables if t) + f"\n{after}")


if __name__ == "__main__":
    main()
