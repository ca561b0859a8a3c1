"""What was understood of a scan, in millimetres and patient directions, and what looks wrong with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.background import estimate_background_noise
from voxprior.jobs.options import SrOptions
from voxprior.jobs.plan import plan
from voxprior.jobs.slices import stated_thickness, understand
from voxprior.volume import SliceGeometry, Volume

TOWARDS = {"L": "left", "R": "right", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
DRAWN_SLICES = 4
DRAWN_COLUMNS = 64
EMPTY_BAND = 0.1
"""Outer part of the spectrum that is looked at for zero-filling, of each axis."""
EMPTY_POWER = 8e-3
"""Power near the highest frequencies, as a part of that at half of them, below which nothing was measured there."""


def describe(volume: Volume, options: SrOptions) -> list[str]:
    """Lines about ``volume``: axes, slices, grid to restore, intensities, doubts, and what a run needs.

    A scan without a clear slice axis is described as far as it goes, and the last line says what is missing.
    """
    lines = _axes(volume)
    low, middle, high = (float(v) for v in np.percentile(volume.data, (0, 50, 100)))
    lines.append(f"intensity: {low:.4g} to {high:.4g}, median {middle:.4g}")
    noise = estimate_background_noise(volume.data)
    lines.append(
        "noise: not measurable, no air around the head" if noise is None else f"noise: std {noise:.3g} in the air"
    )
    geometry = None
    try:
        geometry = understand(volume, options)
    except InputError as error:
        lines.append(f"cannot be restored as it is: {error}")
    if geometry is not None:
        lines += _slices(volume, geometry, options)
        lines += ["", *drawing(geometry), ""]
    return lines + [f"warning: {text}" for text in (*volume.header.get("warnings", ()), *doubts(volume, geometry))]


def _axes(volume: Volume) -> list[str]:
    shown = []
    for a, (count, step, code) in enumerate(zip(volume.data.shape, volume.spacing, volume.axcodes, strict=True)):
        shown.append(f"axis {'ijk'[a]}: {count} x {step:.4g} mm = {count * step:.4g} mm, towards {TOWARDS[code]}")
    direction = volume.affine[:3, :3] / volume.spacing
    angle = float(np.degrees(np.arccos(np.clip(np.abs(direction).max(axis=0), 0, 1))).max())
    return [
        *shown,
        f"orientation: {'along the patient axes' if angle < 0.1 else f'oblique by {angle:.1f} degrees'}",
    ]


def _slices(volume: Volume, g: SliceGeometry, options: SrOptions) -> list[str]:
    profile = g.profile if isinstance(g.profile, str) else f"{len(g.profile)} samples"
    between = "no gap" if abs(g.gap) < 1e-6 else f"gap {g.gap:.4g} mm" if g.gap > 0 else f"overlap {-g.gap:.4g} mm"
    said = options.thickness is not None or options.gap is not None
    header = stated_thickness(volume, options) is not None
    assumed = "" if said else " (as the header says)" if header else " (assumed: the image does not say)"
    need = plan(g, (volume.data.shape[0], volume.data.shape[1], volume.data.shape[2]), options)
    return [
        f"slices: {g.count} along {'ijk'[g.axis]}, centres {g.spacing:.4g} mm apart, {g.thickness:.4g} mm thick, "
        f"{between}{assumed}, profile {profile}",
        f"restored: {g.fine_count} x {g.fine_spacing:.4g} mm, factor {g.spacing / g.fine_spacing:.3g}, "
        f"{need.voxels / 1e6:.3g} million voxels",
        f"needs about {need.memory / 2**20:.0f} MB and {need.seconds:.0f} s "
        f"with --method {options.method} on two cores",
    ]


def drawing(g: SliceGeometry) -> list[str]:
    """The first slices to scale, the fine voxels below them, and a ruler in mm from the first slice's edge."""
    count = min(g.count, DRAWN_SLICES)
    length = (count - 1) * g.spacing + g.thickness
    scale = DRAWN_COLUMNS / length
    rows = [[" "] * DRAWN_COLUMNS for _ in range(2 if g.gap < -1e-6 else 1)]
    for k in range(count):
        first = round(k * g.spacing * scale)
        last = max(first + 1, round((k * g.spacing + g.thickness) * scale) - 1)
        row = rows[k % len(rows)]
        row[first:last] = "#" * (min(last, DRAWN_COLUMNS) - first)
    step = g.fine_spacing * scale
    fine = [" "] * DRAWN_COLUMNS
    for j in range(int(DRAWN_COLUMNS / step) + 1):
        fine[min(DRAWN_COLUMNS - 1, round(j * step))] = "|"
    marks = sorted({0.0, g.thickness, g.spacing, length})
    ruler = ""
    for mark in marks:
        text = f"{mark:.3g}"
        place = min(round(mark * scale), DRAWN_COLUMNS)
        if place >= len(ruler) + 1 or not ruler:
            ruler = ruler.ljust(place) + text
    more = "" if g.count == count else f"  ... {g.count} slices"
    names = ["slices  ", "        "]
    drawn = [names[i] + "".join(row) + (more if i == 0 else "") for i, row in enumerate(rows)]
    return [*drawn, "voxels  " + "".join(fine), "mm      " + ruler]


def doubts(volume: Volume, geometry: SliceGeometry | None) -> list[str]:
    """Sentences about what looks wrong: zero-filled axes, empty slices, and slices that repeat their neighbour."""
    found = []
    for axis in range(3):
        if geometry is not None and axis == geometry.axis:
            continue
        true = _measured_spacing(volume.data, axis) * volume.spacing[axis]
        if true > 1.1 * volume.spacing[axis]:
            found.append(
                f"axis {'ijk'[axis]} looks interpolated by the scanner: {volume.spacing[axis]:.3g} mm voxels "
                f"hold about {true:.3g} mm of detail"
            )
    if geometry is not None:
        slices = np.moveaxis(volume.data, geometry.axis, 0)
        empty = [k for k, s in enumerate(slices) if s.min() == s.max()]
        inner = [k for k in empty if 0 < k < len(slices) - 1]
        if inner:
            found.append(f"slices without content: {_numbers(inner)} (counted from 0); they may be missing")
        same = [k for k in range(1, len(slices)) if k not in empty and np.array_equal(slices[k], slices[k - 1])]
        if same:
            found.append(f"slices equal to the one before: {_numbers(same)} (counted from 0); they may be copies")
    return found


def _measured_spacing(data: NDArray[np.float32], axis: int) -> float:
    """How many voxels of ``axis`` one measured voxel takes: 1 unless the outer part of its spectrum is empty."""
    count = data.shape[axis]
    if count < 32:
        return 1.0
    lines = np.moveaxis(data, axis, -1)
    lines = lines[tuple(slice(n // 4, max(n // 4 + 1, 3 * n // 4), max(1, n // 64)) for n in lines.shape[:2])]
    power = np.square(np.abs(np.fft.rfft(lines * np.hanning(count), axis=-1))).mean(axis=(0, 1))
    middle = float(np.median(power[len(power) // 3 : len(power) // 2]))
    outer = power[int(len(power) * (1 - EMPTY_BAND)) :]
    if middle == 0 or float(outer.mean()) > EMPTY_POWER * middle:
        return 1.0
    filled = np.flatnonzero(power > 0.05 * middle)
    return float((len(power) - 1) / max(1, filled[-1]))


def _numbers(values: list[int]) -> str:
    return ", ".join(map(str, values[:8])) + (f" and {len(values) - 8} more" if len(values) > 8 else "")
