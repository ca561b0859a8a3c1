"""A volume in HU is measured by a simulated scanner, so that what a method reconstructs can be compared with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.sinogram import Sinogram, to_mu
from voxprior.metrics import data_range, foreground, psnr, ssim
from voxprior.operators.projection_cache import matrix
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.volume import Volume

VACUUM = -1000.0
NO_AIR = -200.0
"""A volume in HU has voxels below this, of air, lungs or bowels; without any its values are doubted."""
LEAST_COUNT = 0.5
"""Counts that stand for none: the logarithm of 0 is no line integral."""


def truth_of(volume: Volume, relative: bool = False) -> Volume:
    """What is measured: no voxel is below the -1000 HU of vacuum. ``relative``: voxels are multiples of water's 1."""
    data = (volume.data - 1) * np.float32(1000) if relative else volume.data
    header = dict(volume.header)
    if data.min() > NO_AIR:
        doubt = f"no voxel is below {NO_AIR:g}: are these Hounsfield units?"
        header["warnings"] = (*header.get("warnings", ()), doubt)
    return Volume(np.maximum(data, np.float32(VACUUM)), volume.affine, header, volume.source)


def scanner(volume: Volume, views: int, turn: float, axis: str = "auto") -> tuple[ProjectionGeometry, int]:
    """Parallel beams of ``views`` angles evenly over ``turn`` degrees, and the array axis that they turn about.

    ``axis``: i, j, k, or auto for the one along the patient. The detector covers the corners of the slices, with bins
    as wide as the smaller pixel.
    """
    if axis not in ("auto", "i", "j", "k"):
        raise InputError(f"--axis {axis} is none of i, j, k, auto")
    along = "ijk".index(axis) if axis != "auto" else next(a for a in range(3) if volume.axcodes[a] in "IS")
    plane = [a for a in range(3) if a != along]
    rows, columns = (volume.data.shape[a] for a in plane)
    height, width = (volume.spacing[a] for a in plane)
    bin_width = min(height, width)
    bins = math.ceil(math.hypot(rows * height, columns * width) / bin_width) + 1
    angles = tuple(turn * k / views for k in range(views))
    return ProjectionGeometry((rows, columns), (height, width), angles, bins, bin_width), along


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


def compare(images: Mapping[str, NDArray[np.float32]], truth: NDArray[np.float32]) -> dict[str, Any]:
    """PSNR, SSIM and mean HU error of ``images`` (HU) by name, against ``truth``; PSNR and HU error in the body too."""
    above = truth - np.float32(VACUUM)
    reach, body = data_range(above), foreground(above)
    figures = {}
    for name, image in images.items():
        found = image - np.float32(VACUUM)
        figures[name] = {
            "psnr": _finite(psnr(found, above, reach)),
            "psnr_foreground": _finite(psnr(found, above, reach, body)),
            "ssim": ssim(found, above, reach) if min(truth.shape) >= 11 else None,
            "hu_error": float(np.abs(image - truth)[body].mean(dtype=np.float64)),
        }
    return {
        "protocol": "HU above vacuum; range: 99.9th percentile of the truth; SSIM 3-D, sigma 1.5; mean absolute HU "
        "error in the body (above 10 % of the range)",
        "range": reach,
        "methods": figures,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
