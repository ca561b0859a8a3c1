"""What a measurement does to the size of an image, and which of its data come from which slice."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from voxprior.operators.base import Operator

ITERATIONS = 20
"""Of the power method; from a random start the norm is then good to about a hundredth."""
LEAK = 1e-9
"""Part of the energy of data that may be rounding."""


def largest_singular_value(operator: Operator, like: Tensor, iterations: int = ITERATIONS) -> float:
    """``|A|``, by the power method on A'A from a fixed start; ``like`` (sample, *space) gives the images of A.

    From below, and the same for the same shapes and numbers. 0 for an operator that measures nothing.
    """
    x, norm = _white(like), 0.0
    for _ in range(iterations):
        x = operator.adjoint(operator.apply(x / torch.linalg.vector_norm(x)))
        norm = float(torch.linalg.vector_norm(x))
        if norm == 0:
            return 0.0
    return math.sqrt(norm)


def axis_of_slices(operator: Operator, like: Tensor, axis: int) -> int | None:
    """The axis of the data (0: of the samples) along which they are those of one slice of the image each.

    ``axis``: image axis normal to the slices, 0 for the first of the space. Found by measuring the middle slice alone;
    None where a slice shows everywhere in the data. ``like`` (sample, *space) gives the images of A.
    """
    n = like.shape[axis + 1]
    x = torch.zeros_like(like[:1])
    x.select(axis + 1, n // 2).copy_(_white(like).select(axis + 1, n // 2))
    energy = operator.apply(x).abs().square()
    total = float(energy.sum())
    for found in range(1, energy.ndim):
        if energy.shape[found] == n:
            elsewhere = total - float(energy.select(found, n // 2).sum())
            if total > 0 and elsewhere <= LEAK * total:
                return found
    return None


def _white(like: Tensor) -> Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.randn((1, *like.shape[1:]), generator=source, dtype=like.dtype).to(like.device)
