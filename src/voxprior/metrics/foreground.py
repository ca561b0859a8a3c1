"""What counts as head, and what counts as full scale, in a truth volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from voxprior.errors import InputError

RANGE_PERCENTILE = 99.9
"""Percentile of the truth that is full scale."""
FOREGROUND_LEVEL = 0.1
"""Part of full scale above which a voxel may be foreground."""


def data_range(truth: NDArray[np.floating]) -> float:
    """The 99.9th percentile of ``truth`` (its units); raises :class:`InputError` unless it is positive and
    finite.
    """
    value = float(np.percentile(truth, RANGE_PERCENTILE)) if truth.size else 0.0
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"the {RANGE_PERCENTILE}th percentile of the truth is {value:g}; give one with signal")
    return value


def foreground(truth: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The head: the largest face-connected component above 10 % of :func:`data_range`, with enclosed holes
    filled.

    ``truth``: (i, j, k), any unit; returns a mask of its shape. The largest component drops specks of noise,
    filling keeps dark tissue such as fluid and bone that lies within it.
    """
    bright = truth > FOREGROUND_LEVEL * data_range(truth)
    labels, _ = ndimage.label(bright)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    head = labels == sizes.argmax()
    outside, _ = ndimage.label(np.pad(~head, 1, constant_values=True))
    # The padding joins all background that reaches the border into the component of the first voxel.
    return np.asarray((outside != outside.flat[0])[(slice(1, -1),) * truth.ndim], dtype=np.bool_)
