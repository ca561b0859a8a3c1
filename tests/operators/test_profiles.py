"""Slice profiles against closed forms and an analytic phantom."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxprior.operators.profiles import (
    fine_centres,
    gaussian_process_matrix,
    interpolation_matrix,
    slice_centres,
    slice_matrix,
)
from voxprior.volume import SliceGeometry

TRIANGLE = (0.0, 0.5, 1.0, 0.5, 0.0)


def test_slice_average_of_a_ramp_is_the_block_mean() -> None:
    """0..11 averaged by fours gives 1.5, 5.5, 9.5, not the last phase over four."""
    g = SliceGeometry(0, 3, 4.0, 4.0, 12, 1.0)
    assert np.allclose(slice_matrix(g) @ np.arange(12), [1.5, 5.5, 9.5], atol=1e-12)


@pytest.mark.parametrize("profile", ["box", "gaussian", "slr", TRIANGLE])
@given(count=st.integers(3, 12), distance=st.floats(1.3, 8.0), part=st.floats(0.4, 1.5))
def test_rows_average_and_ramps_pass(profile: str, count: int, distance: float, part: float) -> None:
    """Rows sum to 1 and are not negative; a linear ramp comes out as its value at the slice centre."""
    thickness = part * distance
    n = int(np.ceil(((count - 1) * distance + thickness) / 0.7 - 1e-3))
    g = SliceGeometry(0, count, distance, thickness, n, 0.7, profile)
    a = slice_matrix(g)
    assert np.allclose(a.sum(1), 1) and a.min() > -1e-12
    # The profile of the outer slices may be cut by the end of the grid, so the ramp is asked of the inner ones.
    inner = np.abs(slice_centres(g)) + 2 * thickness < n * 0.7 / 2
    # A voxel counts as a point at its centre: a partly covered one is off by at most s^2 / (8 thickness) an edge.
    bound = 0.7**2 / (4 * thickness) + 1e-9
    assert np.allclose((a @ fine_centres(g))[inner], slice_centres(g)[inner], atol=bound)


def test_gaussian_width_is_the_full_width_at_half_maximum() -> None:
    """A Gaussian of FWHM 5 mm falls to one half at 2.5 mm, the SLR preset too."""
    for profile in ("gaussian", "slr"):
        g = SliceGeometry(0, 3, 40.0, 5.0, 17001, 0.005, profile)
        row = slice_matrix(g)[1]
        half = np.interp(2.5, fine_centres(g), row) / np.interp(0.0, fine_centres(g), row)
        assert abs(half - 0.5) < 0.02


def test_slabs_of_an_analytic_phantom() -> None:
    """Thick slices of a sphere, by its closed-form slab volume, agree with the operator on a fine grid."""
    radius, g = 20.0, SliceGeometry(0, 10, 5.0, 5.0, 500, 0.1)
    area = np.pi * np.maximum(radius**2 - fine_centres(g) ** 2, 0)

    def volume_below(z: np.ndarray) -> np.ndarray:
        z = np.clip(z, -radius, radius)
        return np.pi * (radius**2 * z - z**3 / 3)

    exact = (volume_below(slice_centres(g) + 2.5) - volume_below(slice_centres(g) - 2.5)) / 5.0
    assert np.abs(slice_matrix(g) @ area - exact).max() < 1e-3 * exact.max()


def test_gap_leaves_voxels_unseen_and_overlap_shares_them() -> None:
    """With a gap some fine voxels have no weight; with an overlap some belong to two slices."""
    gap = slice_matrix(SliceGeometry(0, 6, 5.0, 3.0, 28, 1.0))
    overlap = slice_matrix(SliceGeometry(0, 6, 5.0, 7.0, 32, 1.0))
    assert (gap.sum(0) < 1e-12).sum() == 5 * 2
    assert ((overlap > 1e-12).sum(0) == 2).sum() == 5 * 2


@pytest.mark.parametrize("order", [1, 3])
def test_interpolation_reproduces_a_ramp(order: int) -> None:
    """Linear and cubic interpolation put slice centres where they are: a ramp in millimetres comes back."""
    g = SliceGeometry(0, 8, 5.0, 4.0, 39, 1.0)
    z = fine_centres(g)
    inside = np.abs(z) <= np.abs(slice_centres(g)).max()
    back = interpolation_matrix(g, order) @ slice_centres(g)
    assert np.allclose(back[inside], z[inside], atol=1e-9)


def test_nearest_repeats_each_slice() -> None:
    """Nearest interpolation of touching slices repeats each of them a whole number of times."""
    m = interpolation_matrix(SliceGeometry(0, 4, 5.0, 5.0, 20, 1.0), 0)
    assert np.array_equal(m, np.kron(np.eye(4), np.ones((5, 1))))


def test_gaussian_process_explains_the_slices() -> None:
    """The best linear interpolation re-degrades to the slices but for its stated noise, gap or no gap."""
    rng = np.random.default_rng(0)
    for thickness in (3.0, 5.0, 6.5):
        g = SliceGeometry(0, 9, 5.0, thickness, 48, 1.0)
        m, std = gaussian_process_matrix(g, 20.0, 0.001)
        y = rng.standard_normal(9)
        assert np.abs(slice_matrix(g) @ m @ y - y).max() < 1e-3
        assert (std >= 0).all() and std.max() < 1.0
