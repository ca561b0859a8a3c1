"""What a projection leaves of the spread of an image: that of the null space, and that of the measurement noise."""

from __future__ import annotations

from collections.abc import Mapping
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
    variance = std.square()
    seen = {axis: inverse @ operator.matrices[axis] for axis, inverse in _inverses(operator).items()}
    left = variance * (1 - 2 * _product({axis: np.diag(matrix) for axis, matrix in seen.items()}, std))
    smooth = variance[None]
    for axis, matrix in seen.items():
        smooth = along(smooth, matrix**2, axis)
    left += smooth[0]
    # What rounding leaves of a voxel that is determined is none.
    return torch.where(left > 32 * torch.finfo(std.dtype).eps * variance, left, 0.0).sqrt()


def grain_std(operator: Separable, sigma: float, like: Tensor) -> Tensor:
    """Standard deviation (*space) in the null space of white noise of the image that has std ``sigma`` in the data.

    A fine image has noise of its own. Where A averages it away none of it is measured: of ``n`` of std ``s`` the data
    hold ``s |a|`` for a row ``a`` of A, and the null space ``P n``. As ``like`` (*space).
    """
    row, kept = 1.0, {}
    for axis, inverse in _inverses(operator).items():
        matrix = operator.matrices[axis]
        row *= float(np.sqrt(np.square(matrix).sum(1)).mean())
        seen = inverse @ matrix
        kept[axis] = np.diag(seen), np.square(seen).sum(1)
    once, twice = (_product({axis: pair[k] for axis, pair in kept.items()}, like) for k in (0, 1))
    left = (1 - 2 * once + twice).clamp_min(0)
    return (sigma / row * left.sqrt()).expand(like.shape)


def noise_std(operator: Separable, sigma: float, like: Tensor) -> Tensor:
    """Standard deviation (*space) of ``A^+ n`` for white noise n of std ``sigma`` in the data, as ``like`` (*space)."""
    gains = {axis: np.sqrt(np.square(inverse).sum(1)) for axis, inverse in _inverses(operator).items()}
    return (sigma * _product(gains, like)).expand(like.shape)


def _product(vectors: Mapping[int, NDArray[Any]], like: Tensor) -> Tensor:
    """The product of a vector an axis, of size 1 along the others."""
    result = like.new_ones([1] * like.ndim)
    for axis, values in vectors.items():
        shape = [-1 if a == axis else 1 for a in range(like.ndim)]
        result = result * torch.from_numpy(np.ascontiguousarray(values)).to(like).reshape(shape)
    return result


def _inverses(operator: Separable) -> dict[int, NDArray[Any]]:
    return {axis: np.linalg.pinv(matrix, rcond=CUT) for axis, matrix in operator.matrices.items()}
