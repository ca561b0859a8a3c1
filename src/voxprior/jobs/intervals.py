"""Intervals that should hold the true value of a voxel with a stated probability."""

from __future__ import annotations

import math

import torch
from scipy.special import ndtri, stdtrit
from torch import Tensor

COVERAGE = 0.9
"""Nominal coverage of the intervals that are written."""


def interval(
    mean: Tensor, std: Tensor | None, samples: Tensor | None, coverage: float = COVERAGE
) -> tuple[Tensor, Tensor] | None:
    """Lower and upper bound of ``coverage`` about ``mean`` (*space), in its units; None when no spread is known.

    K >= 2 samples (sample, *space) give ``mean +- t(K - 1) s sqrt(1 + 1/K)`` with s of ddof 1; otherwise a Gaussian
    of ``std`` gives ``mean +- z std``.
    """
    tail = 0.5 + coverage / 2
    if samples is not None and len(samples) > 1:
        k = len(samples)
        width = torch.std(samples, dim=0, correction=1) * (float(stdtrit(k - 1, tail)) * math.sqrt(1 + 1 / k))
    elif std is not None:
        width = std * float(ndtri(tail))
    else:
        return None
    return mean - width, mean + width
