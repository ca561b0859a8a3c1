"""Similarity plane by plane: what a volume looks like to who leafs through its slices."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.metrics.psnr import psnr, require_comparable
from voxprior.metrics.ssim import ssim


def plane_ssim(
    x: NDArray[np.floating], truth: NDArray[np.floating], data_range: float, normals: Mapping[str, int]
) -> dict[str, float]:
    """Mean over slices of their 2-D SSIM, for each plane by the array axis that it is normal to.

    ``x``, ``truth``: volumes of one shape; ``data_range``: in their units, one for all slices. Windows as in
    :func:`voxprior.metrics.ssim.ssim`. Raises :class:`InputError` for what is not a volume, and as that does.
    """
    require_comparable(x, truth, data_range)
    if truth.ndim != 3:
        raise InputError(f"an image of {truth.ndim} axes; planes need a volume of three")
    found = {}
    for name, axis in normals.items():
        slices = zip(np.moveaxis(x, axis, 0), np.moveaxis(truth, axis, 0), strict=True)
        found[name] = float(np.mean([ssim(a, b, data_range) for a, b in slices]))
    return found


def plane_psnr(
    x: NDArray[np.floating], truth: NDArray[np.floating], data_range: float, normals: Mapping[str, int]
) -> dict[str, float]:
    """Mean over slices of the PSNR of each, dB, for each plane by the array axis that it is normal to.

    Arguments and errors as :func:`plane_ssim`. The volume's own PSNR knows no planes: this one does, since slices weigh
    alike however large their error is. Slices that equal the truth do not count; inf when all do.
    """
    require_comparable(x, truth, data_range)
    if truth.ndim != 3:
        raise InputError(f"an image of {truth.ndim} axes; planes need a volume of three")
    found = {}
    for name, axis in normals.items():
        slices = zip(np.moveaxis(x, axis, 0), np.moveaxis(truth, axis, 0), strict=True)
        values = [psnr(a, b, data_range) for a, b in slices]
        finite = [value for value in values if np.isfinite(value)]
        found[name] = float(np.mean(finite)) if finite else math.inf
    return found
