"""Cubic interpolation matrices."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voxprior.operators.splines import spline_matrix


@given(points=st.integers(4, 20), more=st.integers(0, 40))
def test_cubics_pass_and_ends_stay(points: int, more: int) -> None:
    """A cubic polynomial comes out as itself, and the first and last values are kept."""
    matrix = spline_matrix(points, points + more)
    coarse, fine = (np.linspace(-1, 1, n) for n in matrix.shape[::-1])
    np.testing.assert_allclose(matrix @ (coarse**3 - coarse + 0.5), fine**3 - fine + 0.5, atol=1e-5)
    np.testing.assert_allclose(matrix[[0, -1]], np.eye(points)[[0, -1]], atol=1e-6)
