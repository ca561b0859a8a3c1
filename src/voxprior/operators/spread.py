"""What a projection leaves of the spread of an image: that of the null space, and that of the measurement noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.operators.separable import EXACT_CONDITION, Separable, along

CUT = EXACT_CONDITION**-0.5
"""Singular values of A below this part of the largest count as not measured, as the projection counts them."""


def null_std(operator: Separable, std: Tensor) -> Tensor:
    """Standard deviation (*space) of ``P e``, P the projector onto the null space of A, for errors ``e`` of ``std``.

    The errors of voxels count as independent: ``diag(P diag(std^2) P')``. With ``R = A^+ A`` a product of one matrix an
    axis, ``P o P = I - 2 diag(R) + R o R``, again one matrix an axis. Where A determines a voxel it is 0.
    """
    variance = std.double().square()
    shared, smooth = torch.ones_like(variance), variance[None]
    for axis, inverse in _inverses(operator).items():
        seen = inverse @ operator.matrices[axis]
        smooth = along(smooth, seen**2, axis)
        shape = [-1 if a == axis else 1 for a in range(variance.ndim)]
        shared = shared * torch.from_numpy(np.ascontiguousarray(np.diag(seen))).to(variance).reshape(shape)
    left = variance * (1 - 2 * shared) + smooth[0]
    # what rounding leaves of a voxel that is determined is none
    return torch.where(left > 1e-12 * variance, left, 0.0).clamp_min(0).sqrt().to(std)


def noise_std(operator: Separable, sigma: float, like: Tensor) -> Tensor:
    """Standard deviation (*space) of ``A^+ n`` for white noise n of std ``sigma`` in the data, as ``like`` (*space)."""
    variance = torch.full(like.shape, float(sigma) ** 2, dtype=torch.float64, device=like.device)
    for axis, inverse in _inverses(operator).items():
        gain = np.square(inverse).sum(1)
        shape = [-1 if a == axis else 1 for a in range(variance.ndim)]
        variance = variance * torch.from_numpy(gain).to(variance).reshape(shape)
    return variance.sqrt().to(like)


def _inverses(operator: Separable) -> dict[int, NDArray[Any]]:
    return {axis: np.linalg.pinv(matrix, rcond=CUT) for axis, matrix in operator.matrices.items()}
