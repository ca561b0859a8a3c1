"""A fine volume is measured in thick slices, so that what a method restores can be compared with the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from voxprior.errors import InputError
from voxprior.jobs.cubic import cubic
from voxprior.jobs.options import SrOptions
from voxprior.jobs.slices import read_profile
from voxprior.metrics import data_range, foreground, psnr, ssim
from voxprior.volume import (
    GRID_SLACK,
    PROFILES,
    SPACING_TOLERANCE,
    SliceGeometry,
    Volume,
    slice_affine,
    thick_axis,
)

if TYPE_CHECKING:
    from voxprior.jobs.sr import Restored

DEFAULT_FACTOR = 5.0
MAX_FACTOR = 64.0


@dataclass(frozen=True, eq=False)
class Simulated:
    """A thick-slice measurement, the truth on the grid that it will be restored to, and the options to do so."""

    measurement: Volume
    truth: Volume
    options: SrOptions


def simulate(fine: Volume, options: SrOptions, factor: float | None = None) -> Simulated:
    """Measure ``fine`` in slices ``factor`` voxels apart, or as ``options.thickness`` and ``gap`` (mm) say.

    The truth is ``fine`` cropped to what the slices cover. ``axis`` auto takes the coarsest, or k when none is.
    Raises :class:`InputError` for lengths that contradict each other or leave fewer than two slices.
    """
    if options.spacing is not None:
        raise InputError("--spacing does not go with --simulate; the output has the spacing of the truth")
    axis = _axis(fine, options.axis)
    step, count = fine.spacing[axis], fine.data.shape[axis]
    distance, width = _lengths(options, step, factor)
    slices = math.floor((count * step - width) / distance + 1e-6) + 1
    if slices < 2:
        raise InputError(
            f"slices {distance:g} mm apart leave fewer than two in {count * step:.4g} mm; make them thinner"
        )
    covered = min(count, math.ceil(((slices - 1) * distance + width) / step - GRID_SLACK))
    profile = read_profile(options.profile)
    if isinstance(profile, str) and profile not in PROFILES:
        raise InputError(f"--profile {profile} is unknown; give {', '.join(PROFILES)} or a file of samples")
    geometry = SliceGeometry(axis, slices, distance, width, covered, step, profile)
    truth = _crop(fine, axis, (count - covered) // 2, covered)
    data = np.tensordot(geometry.matrix(), truth.data.astype(np.float64), axes=(1, axis))
    measured = np.moveaxis(data, 0, axis).astype(np.float32)
    restore = {"axis": "ijk"[axis], "spacing": step, "thickness": width, "gap": None}
    return Simulated(
        Volume(measured, slice_affine(truth.affine, geometry), truth.header, truth.source),
        truth,
        options.model_copy(update=restore),
    )


def compare(restored: Restored, truth: Volume, method: str) -> Mapping[str, Any]:
    """PSNR (dB; whole volume, foreground) and 3-D SSIM of ``method`` and of cubic interpolation against ``truth``."""
    return figures_of({"cubic": cubic(restored.measurement, restored.geometry), method: restored.image}, truth)


def figures_of(images: Mapping[str, Volume], truth: Volume) -> Mapping[str, Any]:
    """PSNR (dB; whole volume, foreground) and 3-D SSIM of ``images``, by name, against ``truth``."""
    reach = data_range(truth.data)
    head = foreground(truth.data)
    figures = {}
    for name, image in images.items():
        figures[name] = {
            "psnr": _finite(psnr(image.data, truth.data, reach)),
            "psnr_foreground": _finite(psnr(image.data, truth.data, reach, head)),
            "ssim": ssim(image.data, truth.data, reach) if min(truth.data.shape) >= 11 else None,
        }
    return {
        "protocol": "range: 99.9th percentile of the truth; SSIM 3-D, sigma 1.5",
        "range": reach,
        "methods": figures,
    }


def _axis(fine: Volume, axis: str) -> int:
    try:
        return thick_axis(fine.spacing, axis)
    except InputError:
        if axis != "auto":
            raise
        return 2


def _lengths(options: SrOptions, step: float, factor: float | None) -> tuple[float, float]:
    """Distance and thickness of the simulated slices, mm."""
    thickness, gap = options.thickness, options.gap
    for name, value in (("--thickness", thickness), ("--gap", gap), ("--factor", factor)):
        if value is not None and not math.isfinite(value):
            raise InputError(f"{name} {value} is not a finite number")
    if factor is None and thickness is not None:
        distance = thickness + (gap or 0.0)
    else:
        distance = (DEFAULT_FACTOR if factor is None else factor) * step
    width = distance - (gap or 0.0) if thickness is None else thickness
    if thickness is not None and gap is not None and abs(thickness + gap - distance) > SPACING_TOLERANCE:
        raise InputError(
            f"--thickness {thickness:g} and --gap {gap:g} do not add up to --factor {factor:g} times {step:.4g} mm; "
            "leave one of them out"
        )
    if not (width > 0 and 1 <= distance / step <= MAX_FACTOR and width <= 4 * distance):
        raise InputError(
            f"slices of {width:g} mm, {distance:g} mm apart, cannot be simulated from voxels of {step:.4g} mm; "
            f"the distance must be 1 to {MAX_FACTOR:g} voxels, the thickness above 0 and at most 4 distances"
        )
    return distance, width


def _crop(fine: Volume, axis: int, start: int, count: int) -> Volume:
    """``count`` voxels of ``fine`` from ``start`` along ``axis``, in the same place in space."""
    window = [slice(None)] * 3
    window[axis] = slice(start, start + count)
    affine = fine.affine.copy()
    affine[:3, 3] += start * fine.affine[:3, axis]
    return Volume(fine.data[tuple(window)], affine, fine.header, fine.source)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
