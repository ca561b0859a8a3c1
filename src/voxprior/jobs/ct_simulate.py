"""A volume in HU is measured by a simulated scanner, so that what a method reconstructs can be compared with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.sinogram import Sinogram, to_mu
from voxprior.metrics import data_range, foreground, psnr, ssim
from voxprior.metrics.planes import plane_psnr, plane_ssim
from voxprior.operators.projection_cache import matrix
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.volume import Volume

VACUUM = -1000.0
NO_AIR = -200.0
"""A volume in HU has voxels below this, of air, lungs or bowels; without any its values are doubted."""
LEAST_COUNT = 0.5
"""Counts that stand for none: the logarithm of 0 is no line integral."""
SOURCE, DETECTOR = 541.0, 949.0
"""Of common scanners: mm from the source to the centre, and to the detector."""


def truth_of(volume: Volume, relative: bool = False) -> Volume:
    """What is measured: no voxel is below the -1000 HU of vacuum. ``relative``: voxels are multiples of water's 1."""
    data = (volume.data - 1) * np.float32(1000) if relative else volume.data
    header = dict(volume.header)
    if data.min() > NO_AIR:
        doubt = f"no voxel is below {NO_AIR:g}: are these Hounsfield units?"
        header["warnings"] = (*header.get("warnings", ()), doubt)
    return Volume(np.maximum(data, np.float32(VACUUM)), volume.affine, header, volume.source)


@dataclass(frozen=True)
class Fan:
    """A point source ``source`` mm from the centre and ``detector`` mm from its detector, straight or about it."""

    beam: Literal["fan-flat", "fan-arc"] = "fan-arc"
    source: float = SOURCE
    detector: float = DETECTOR


def scanner(
    volume: Volume, views: int, turn: float, axis: str = "auto", fan: Fan | None = None
) -> tuple[ProjectionGeometry, int]:
    """``views`` angles evenly over ``turn`` degrees, of parallel beams or a ``fan``, and the array axis of the slices.

    ``axis``: i, j, k, or auto for the one along the patient. The detector covers the corners of the slices, with bins
    as wide as the smaller pixel, in a fan as it is enlarged from the centre onto the detector.
    """
    if axis not in ("auto", "i", "j", "k"):
        raise InputError(f"--axis {axis} is none of i, j, k, auto")
    along = "ijk".index(axis) if axis != "auto" else next(a for a in range(3) if volume.axcodes[a] in "IS")
    plane = [a for a in range(3) if a != along]
    rows, columns = (volume.data.shape[a] for a in plane)
    height, width = (volume.spacing[a] for a in plane)
    corner, bin_width = math.hypot(rows * height, columns * width) / 2, min(height, width)
    angles = tuple(turn * k / views for k in range(views))
    if fan is None:
        bins = math.ceil(2 * corner / bin_width) + 1
        return ProjectionGeometry((rows, columns), (height, width), angles, bins, bin_width), along
    if fan.source <= corner:
        raise InputError(
            f"--source-mm {fan.source:g}: corners of the slices are {corner:.0f} mm from the centre; the source must "
            "be outside"
        )
    bin_width *= fan.detector / fan.source
    half = math.asin(corner / fan.source)
    reach = fan.detector * (math.tan(half) if fan.beam == "fan-flat" else half)
    bins = math.ceil(2 * reach / bin_width) + 1
    where = ((rows, columns), (height, width), angles, bins, bin_width, 0.0)
    return ProjectionGeometry(*where, fan.beam, fan.source, fan.detector), along


def simulate(
    truth: Volume,
    geometry: ProjectionGeometry,
    axis: int,
    mu_water: float,
    photons: float | None,
    rng: np.random.Generator,
) -> Sinogram:
    """The views of ``truth`` (HU); with ``photons``, ``-log(counts / photons)`` of Poisson counts."""
    a = matrix(geometry)
    slices = np.moveaxis(truth.data, axis, 0)
    size = (len(slices), geometry.views, geometry.bins)
    data = np.empty(size, dtype=np.float32)
    for index, image in enumerate(slices):
        data[index] = (a @ to_mu(image, mu_water).ravel().astype(np.float32)).reshape(size[1:])
    if photons is not None:
        counts = rng.poisson(photons * np.exp(-data.astype(np.float64)))
        data = -np.log(np.maximum(counts, LEAST_COUNT) / photons).astype(np.float32)
    held = None if photons is None else np.asarray(photons, dtype=np.float64)
    warnings = tuple(truth.header.get("warnings", ()))
    return Sinogram(data, geometry, truth.affine, axis, held, mu_water, warnings, truth.source)


def compare(
    images: Mapping[str, NDArray[np.float32]], truth: NDArray[np.float32], normals: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """PSNR, SSIM and mean HU error of ``images`` (HU) by name, against ``truth``; PSNR and HU error in the body too.

    ``normals``: planes by the array axis that each is normal to; then both figures of every plane's slices as well.
    """
    above = truth - np.float32(VACUUM)
    reach, body = data_range(above), foreground(above)
    figures: dict[str, dict[str, Any]] = {}
    for name, image in images.items():
        found = image - np.float32(VACUUM)
        figures[name] = {
            "psnr": _finite(psnr(found, above, reach)),
            "psnr_foreground": _finite(psnr(found, above, reach, body)),
            "ssim": ssim(found, above, reach) if min(truth.shape) >= 11 else None,
            "hu_error": float(np.abs(image - truth)[body].mean(dtype=np.float64)),
        }
        if normals is not None:
            figures[name]["planes"] = _planes(found, above, reach, normals)
    return {
        "protocol": "HU above vacuum; range: 99.9th percentile of the truth; SSIM 3-D, sigma 1.5; mean absolute HU "
        "error in the body (above 10 % of the range)",
        "range": reach,
        "methods": figures,
    }


def _planes(
    found: NDArray[np.float32], above: NDArray[np.float32], reach: float, normals: Mapping[str, int]
) -> dict[str, dict[str, float | None]]:
    """Means over the slices of each plane; no SSIM of slices that are smaller than its window."""
    large = min(found.shape) >= 11
    similar = plane_ssim(found, above, reach, normals) if large else dict.fromkeys(normals, None)
    decibels = plane_psnr(found, above, reach, normals)
    return {name: {"psnr": _finite(decibels[name]), "ssim": similar[name]} for name in normals}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
