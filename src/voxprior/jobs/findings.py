"""What was understood of a scan, as values: axes, slices, resolution, intensities, doubts, and what a run needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.background import estimate_background_noise
from voxprior.jobs.needs import machine, needs
from voxprior.jobs.options import SrOptions
from voxprior.jobs.slices import stated_thickness, understand
from voxprior.metrics.detail_noise import detail_noise
from voxprior.metrics.resolution import cut_off
from voxprior.volume import SliceGeometry, Volume

COPY = 0.02
"""A slice that differs from the one before by less than this part of its own contrast is taken for a copy."""
FULL = 0.25
"""Part of the largest contrast of a slice below which two slices at the end of a head may well be alike."""
NAMED = 8
"""Slices that a sentence names."""


def findings(volume: Volume, options: SrOptions) -> dict[str, Any]:
    """All that is known of ``volume`` before it is restored, as JSON values; lengths in mm, intensities in its units.

    ``slices``, ``grid`` and ``machine`` are null, and ``needs`` empty, where the scan cannot be restored as it is;
    ``hindrance`` says why.
    """
    geometry, hindrance = None, None
    try:
        geometry = understand(volume, options)
    except InputError as error:
        hindrance = str(error)
    normal = int(np.argmax(volume.spacing)) if geometry is None else geometry.axis
    place = None if geometry is None else machine(options)
    axes = _axes(volume)
    empty, copies = odd_slices(volume.data, normal)
    found = {
        "source": volume.source,
        "axes": axes,
        "oblique_degrees": _tilt(volume),
        "forms": _forms(volume),
        "field_of_view": _field(volume, geometry),
        "slices": None if geometry is None else _slices(volume, geometry, options),
        "grid": None if geometry is None else _grid(geometry, volume),
        "hindrance": hindrance,
        "intensity": _intensity(volume.data),
        "noise": {"air": estimate_background_noise(volume.data), "detail": detail_noise(volume.data, normal)},
        "empty_slices": empty,
        "repeated_slices": copies,
        "machine": place,
        "needs": [] if geometry is None or place is None else needs(volume, geometry, options, place),
    }
    return {**found, "warnings": [*volume.header.get("warnings", ()), *doubts(found)]}


def doubts(found: dict[str, Any]) -> list[str]:
    """Sentences about what looks wrong in ``found``: interpolated axes, slices without content, and copies."""
    texts = [
        f"axis {axis['name']} looks interpolated by the scanner: {axis['spacing']:.3g} mm voxels hold about "
        f"{axis['resolution']:.3g} mm of detail"
        for axis in found["axes"]
        if axis["cut_off"] is not None
    ]
    if found["empty_slices"]:
        texts.append(f"slices without content: {_numbers(found['empty_slices'])} (counted from 0); they may be missing")
    if found["repeated_slices"]:
        shown = _numbers(found["repeated_slices"])
        texts.append(f"slices equal to the one before: {shown} (counted from 0); they may be copies")
    return texts


def odd_slices(data: NDArray[np.float32], normal: int) -> tuple[list[int], list[int]]:
    """Numbers of the slices of one value between others, and of those that repeat the one before."""
    slices = np.moveaxis(data, normal, 0)
    blank = np.array([s.min() == s.max() for s in slices])
    filled = np.flatnonzero(~blank)
    if not filled.size:
        return [], []
    inner = [k for k in range(int(filled[0]), int(filled[-1])) if blank[k]]
    contrast = np.array([float(s.std()) for s in slices])
    full = contrast > FULL * contrast.max()
    copies = [
        k for k in range(1, len(slices)) if full[k] and np.abs(slices[k] - slices[k - 1]).mean() <= COPY * contrast[k]
    ]
    return inner, copies


def _axes(volume: Volume) -> list[dict[str, Any]]:
    axes = []
    direction = volume.affine[:3, :3] / volume.spacing
    for a, (count, step, code) in enumerate(zip(volume.data.shape, volume.spacing, volume.axcodes, strict=True)):
        end = cut_off(volume.data, a)
        axes.append(
            {
                "name": "ijk"[a],
                "count": count,
                "spacing": step,
                "length": count * step,
                "towards": code,
                "direction": [float(v) for v in direction[:, a]],
                "cut_off": None if end is None else {"of_nyquist": end.frequency, "drop_db": end.drop},
                "resolution": step if end is None else step * end.voxels,
            }
        )
    return axes


def _tilt(volume: Volume) -> float:
    direction = volume.affine[:3, :3] / volume.spacing
    return float(np.degrees(np.arccos(np.clip(np.abs(direction).max(axis=0), 0, 1))).max())


def _forms(volume: Volume) -> dict[str, Any] | None:
    """What a NIfTI header says of its place: codes, and by how much the two forms differ; None of other formats."""
    if "forms" not in volume.header:  # DICOM has codes too, but only for the NIfTI that is made of it
        return None
    codes = {name: int(volume.header[name]) for name in ("qform_code", "sform_code")}
    return {**codes, "difference": volume.header["forms"]}


def _field(volume: Volume, g: SliceGeometry | None) -> list[float]:
    """What was seen along each axis, from edge to edge."""
    lengths = [n * s for n, s in zip(volume.data.shape, volume.spacing, strict=True)]
    if g is not None:
        lengths[g.axis] = (g.count - 1) * g.spacing + g.thickness
    return lengths


def _slices(volume: Volume, g: SliceGeometry, options: SrOptions) -> dict[str, Any]:
    said = options.thickness is not None or options.gap is not None
    header = stated_thickness(volume, options) is not None
    return {
        **g.to_dict(),
        "gap": g.gap,
        "thickness_from": "options" if said else "header" if header else "assumed",
    }


def _grid(g: SliceGeometry, volume: Volume) -> dict[str, Any]:
    voxels = g.fine_count * int(np.prod([n for a, n in enumerate(volume.data.shape) if a != g.axis]))
    return {"count": g.fine_count, "spacing": g.fine_spacing, "factor": g.spacing / g.fine_spacing, "voxels": voxels}


def _intensity(data: NDArray[np.float32]) -> dict[str, Any]:
    low, first, middle, last, high = (float(v) for v in np.percentile(data, (0, 1, 50, 99, 100)))
    return {"lowest": low, "percentile_1": first, "median": middle, "percentile_99": last, "highest": high}


def _numbers(values: list[int]) -> str:
    return ", ".join(map(str, values[:NAMED])) + (f" and {len(values) - NAMED} more" if len(values) > NAMED else "")
