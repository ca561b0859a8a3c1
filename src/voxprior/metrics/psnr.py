"""Peak signal-to-noise ratio on a stated range."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError


def psnr(
    x: NDArray[np.floating], truth: NDArray[np.floating], data_range: float, mask: NDArray[np.bool_] | None = None
) -> float:
    """``10 log10(range^2 / mean((x - truth)^2))`` in dB over all voxels, or those of ``mask``; inf when they
    are equal.

    ``x``, ``truth``, ``mask``: arrays of one shape; ``data_range``: in their units. Raises
    :class:`InputError` for different shapes, an empty mask, or a range that is not positive and finite.
    """
    require_comparable(x, truth, data_range)
    if mask is not None and mask.shape != truth.shape:
        raise InputError(f"a mask {mask.shape} does not fit an image {truth.shape}; give it on the same grid")
    if truth.size == 0 or (mask is not None and not mask.any()):
        raise InputError("no voxel to compare; give an image and a mask that are not empty")
    error = mean_square(x, truth) if mask is None else mean_square(x[mask], truth[mask])
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def mean_square(x: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Mean squared difference; the sum runs in float64 so that a large volume loses no digits."""
    difference = np.subtract(x, truth, dtype=np.result_type(x, truth))
    return float(np.square(difference, out=difference).sum(dtype=np.float64)) / truth.size


def require_comparable(x: NDArray[np.floating], truth: NDArray[np.floating], data_range: float) -> None:
    """Raise :class:`InputError` unless the shapes agree and the range is positive and finite."""
    if x.shape != truth.shape:
        raise InputError(f"an image {x.shape} does not fit a truth {truth.shape}; bring both to one grid")
    if not (math.isfinite(data_range) and data_range > 0):
        raise InputError(f"a data range of {data_range} is not positive and finite; give that of the truth")
