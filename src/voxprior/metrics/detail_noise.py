"""The noise of an image from its finest detail, for images without air around the head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NORMAL_MEDIAN = 0.6745
"""Median of the magnitude of a normal variable of unit std."""
BRIGHT = 0.1
"""Part of the 99.9th percentile below which a voxel is background."""
LEAST_BLOCKS = 200


def detail_noise(data: NDArray[np.floating], normal: int) -> float | None:
    """Noise std of ``data`` (i, j, k), its units, from the finest diagonal detail of its slices normal to ``normal``.

    Of every 2 x 2 voxels in the slice d = (a - b - c + e) / 2, a Haar wavelet's diagonal coefficient, has the std of
    the noise and next to nothing of the image; its median magnitude is not moved by the edges that are left (Donoho
    and Johnstone 1994). Blocks that touch the background are left out. Too low where voxels are interpolated, which
    smooths the noise. None for too few blocks.
    """
    x = np.moveaxis(data, normal, 0)
    rows, columns = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    a, b, c, e = (x[:, i:rows:2, j:columns:2].astype(np.float64) for i in (0, 1) for j in (0, 1))
    level = BRIGHT * float(np.percentile(np.abs(data), 99.9))
    bright = np.minimum(np.minimum(a, b), np.minimum(c, e)) > level
    if np.count_nonzero(bright) < LEAST_BLOCKS:
        return None
    return float(np.median(np.abs(a - b - c + e)[bright]) / 2 / NORMAL_MEDIAN)
