"""Whether sensitivities that were found in the data explain the data."""

from __future__ import annotations

from typing import NamedTuple

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


class MapCheck(NamedTuple):
    """``std``: what found maps leave above the noise, a real component of a sample. ``doubts``: a sentence, or none."""

    std: float = 0.0
    doubts: tuple[str, ...] = ()


def check_maps(y: Complex, keep: NDArray[np.bool_], maps: Complex, noise: float | None) -> MapCheck:
    """What no image explains of ``y`` (coil, *space), and doubts where an object fills the field of view.

    Found ``maps`` (coil, *space) are then wrong where the object meets itself across the border. ``noise``: std of a
    real component of a sample, None counts as none. Of a volume the middle of the read-out is looked at; nothing is
    said of one whose mask changes along all axes.
    """
    if len(maps) == 1:
        return MapCheck()
    if keep.ndim == 3:
        axis = read_out(keep)
        if axis is None:
            return MapCheck()
        middle = keep.shape[axis] // 2
        y = (y.sum(axis + 1) / np.sqrt(keep.shape[axis])).astype(np.complex64)  # the inverse transform at its centre
        keep, maps = keep.take(middle, axis), maps.take(middle, axis + 1)
    samples = float(keep.sum()) * len(maps)
    free = max(0.0, samples - float((maps != 0).any(0).sum()))  # less what the image itself takes up of the noise
    missed, energy = _missed(y, keep, maps)
    left = max(0.0, missed - 2 * free * (noise or 0.0) ** 2)
    part = float(np.sqrt(left / energy)) if energy > 0 else 0.0
    std = float(np.sqrt(left / (2 * max(free, samples / 2))))  # of a regularised fit it takes up no more than half
    if part <= BEYOND_NOISE or float((maps != 0).any(0).mean()) < FULL:
        return MapCheck(std)
    doubt = (
        f"the object fills the field of view, and the coil sensitivities that were found leave {100 * part:.0f} % of "
        "the data unexplained; the image may be worse than the zero-filled one: give --maps, or a larger field of view"
    )
    return MapCheck(std, (doubt,))


def _missed(y: Complex, keep: NDArray[np.bool_], maps: Complex) -> tuple[float, float]:
    """``|A x - y|^2`` of the least-squares image x (SENSE) of a slice, and ``|y|^2``."""
    operator, data = Fourier(torch.from_numpy(keep), torch.from_numpy(maps)).planned(1), torch.from_numpy(y)[None]
    x = operator.prox(torch.zeros(1, *keep.shape, dtype=data.dtype), data, WEIGHT)
    return float((operator.apply(x) - data).abs().square().sum()), float(data.abs().square().sum())


def read_out(keep: NDArray[np.bool_]) -> int | None:
    """An axis of a volume along which the mask does not change, the middle one first."""
    return next((axis for axis in (1, 0, 2) if (keep == keep.take([0], axis)).all()), None)
