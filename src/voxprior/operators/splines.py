"""Interpolation of smooth fields from a coarse grid, as a matrix an axis."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline


@lru_cache(maxsize=64)
def spline_matrix(points: int, length: int) -> NDArray[np.float32]:
    """Cubic splines through ``points`` equidistant values at ``length`` places, both ends too: (length, points)."""
    if points == length:
        return np.eye(length, dtype=np.float32)
    nodes = np.linspace(0, length - 1, points)
    matrix = np.asarray(CubicSpline(nodes, np.eye(points))(np.arange(length)), np.float32)
    matrix.setflags(write=False)  # shared by all who ask
    return matrix
