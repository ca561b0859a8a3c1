"""Normalised mean squared error, without rescaling either image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.metrics.psnr import mean_square, require_comparable


def nmse(x: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """``|x - truth|^2 / |truth|^2``: a gain error counts, NMSE(2 x, x) = 1.

    ``x``, ``truth``: arrays of one shape and unit. Raises :class:`InputError` for different shapes or an
    all-zero truth.
    """
    require_comparable(x, truth, 1.0)
    power = mean_square(np.zeros((), truth.dtype), truth)
    if power == 0:
        raise InputError("the truth is zero everywhere, so a relative error is undefined; give another image")
    return mean_square(x, truth) / power
