"""Whether sensitivities that were found in the data explain the data."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.io.kspace.file import Complex
from voxprior.operators.fourier import Fourier

FULL = 0.97
"""Part of the places at which a coil is found to see something, above which an object fills the field of view."""
BEYOND_NOISE = 0.02
"""Part of |y| that maps of such an object may leave above the noise. Heads cropped until they fill it leave .028 to .1
(4 to 9 coils, R = 1 to 8) with an error several times that of the zero-filled image.
"""
WEIGHT = 1e-3
"""Of the image's own norm in the fit: small, so that what is left is the fault of the maps."""


def map_doubts(y: Complex, keep: NDArray[np.bool_], maps: Complex, noise: float | None) -> tuple[str, ...]:
    """A sentence where an object fills the field of view and no image explains ``y`` (coil, *space), else nothing.

    Found ``maps`` (coil, *space) are then wrong where the object meets itself across the border. ``noise``: std of a
    real component of a sample, None counts as none. Of a volume the middle of the read-out is looked at; nothing is
    said of one whose mask changes along all axes.
    """
    if len(maps) == 1:
        return ()
    if keep.ndim == 3:
        axis = read_out(keep)
        if axis is None:
            return ()
        middle = keep.shape[axis] // 2
        y = (y.sum(axis + 1) / np.sqrt(keep.shape[axis])).astype(np.complex64)  # the inverse transform at its centre
        keep, maps = keep.take(middle, axis), maps.take(middle, axis + 1)
    if float((maps != 0).any(0).mean()) < FULL:
        return ()
    left = beyond_noise(y, keep, maps, noise or 0.0)
    if left <= BEYOND_NOISE:
        return ()
    return (
        f"the object fills the field of view, and the coil sensitivities that were found leave {100 * left:.0f} % of "
        "the data unexplained; the image may be worse than the zero-filled one: give --maps, or a larger field of view",
    )


def beyond_noise(y: Complex, keep: NDArray[np.bool_], maps: Complex, noise: float) -> float:
    """``|A x - y| / |y|`` of the least-squares image x (SENSE) of a slice, less the noise's part of the square."""
    operator, data = Fourier(torch.from_numpy(keep), torch.from_numpy(maps)), torch.from_numpy(y)[None]
    x = operator.prox(torch.zeros(1, *keep.shape, dtype=data.dtype), data, WEIGHT)
    missed = float((operator.apply(x) - data).abs().square().sum())
    energy = float(data.abs().square().sum())
    # of every sample of every coil two components, less what the image itself takes up
    free = 2.0 * noise**2 * max(0.0, float(keep.sum()) * len(maps) - float((maps != 0).any(0).sum()))
    return float(np.sqrt(max(0.0, missed - free) / energy)) if energy > 0 else 0.0


def read_out(keep: NDArray[np.bool_]) -> int | None:
    """An axis of a volume along which the mask does not change, the middle one first."""
    return next((axis for axis in (1, 0, 2) if (keep == keep.take([0], axis)).all()), None)
