"""Structural similarity in the dimensions that the image has, over whole windows only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from voxprior.errors import InputError
from voxprior.metrics.psnr import require_comparable

SIGMA = 1.5
"""Standard deviation of the Gaussian window, voxels."""
RADIUS = 5
"""The window reaches this many voxels to each side: 11 along every axis."""
K1, K2 = 0.01, 0.03
SLAB = 24
"""Rows of the first axis that are held at once, beside the halo of the window."""

Array = NDArray[np.float32]


def ssim(x: NDArray[np.floating], truth: NDArray[np.floating], data_range: float) -> float:
    """Mean SSIM of Wang et al. (2004) with an 11-voxel Gaussian window (sigma 1.5) along every axis.

    ``x``, ``truth``: arrays of one shape; ``data_range``: in their units. Only windows that lie wholly inside
    count. Axes of length 1 are dropped, so that a single slice has its 2-D SSIM and not one padded with
    zeros. Raises :class:`InputError` for different shapes, an axis of 2 to 10 voxels, or a range that is not
    positive.
    """
    require_comparable(x, truth, data_range)
    x, truth = np.squeeze(x), np.squeeze(truth)
    if x.ndim == 0 or min(x.shape) < 2 * RADIUS + 1:
        raise InputError(f"an image {truth.shape} is smaller than the SSIM window of {2 * RADIUS + 1} voxels")
    valid = x.shape[0] - 2 * RADIUS
    total, count = 0.0, 0
    for start in range(0, valid, SLAB):
        rows = slice(start, min(start + SLAB, valid) + 2 * RADIUS)
        # Full scale 1, so that float32 variances are good to 1e-7 whatever the unit.
        part = _similarity(*((v[rows] / data_range).astype(np.float32) for v in (x, truth)))
        total += float(part.sum(dtype=np.float64))
        count += part.size
    return total / count


def _similarity(x: Array, t: Array) -> Array:
    mx, mt = _mean(x), _mean(t)
    product, power = mx * mt, mx * mx + mt * mt
    covariance = _mean(x * t) - product
    variances = _mean(x * x + t * t) - power
    above = (2 * product + K1**2) * (2 * covariance + K2**2)
    return np.asarray(above / ((power + K1**2) * (variances + K2**2)), dtype=np.float32)


def _mean(v: Array) -> Array:
    offsets = np.arange(-RADIUS, RADIUS + 1)
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    for axis in range(v.ndim):
        v = correlate1d(v, weights / weights.sum(), axis=axis, output=np.float32)
        keep = [slice(None)] * v.ndim
        keep[axis] = slice(RADIUS, -RADIUS)
        v = v[tuple(keep)]
    return v
