"""The ground truth of other tests, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from phantoms import FWHM, HEAD


@pytest.mark.parametrize("profile", ["box", "gaussian"])
@pytest.mark.parametrize("point", [(0.3, 1.1, -2.0), (-5.2, 3.3, 4.5), (14.0, -6.0, 9.0), (0.0, 0.0, 15.5)])
def test_line_means_equal_sums_over_many_points(profile: str, point: tuple[float, float, float]) -> None:
    """A slip in the closed form would make every operator look wrong, or, worse, right."""
    x, y, z = point
    u = np.linspace(-20, 20, 400_001)
    weight = np.abs(u) <= 2.5 if profile == "box" else np.exp(-0.5 * (u * FWHM / 5.0) ** 2)
    brute = float((HEAD.at(x, y, z + u) * weight).sum() / weight.sum())
    assert float(HEAD.line(x, y, z, 5.0, profile)) == pytest.approx(brute, abs=2e-3)


def test_thin_slices_add_up_to_a_thick_one() -> None:
    """Five touching 1 mm slices are one of 5 mm, to rounding."""
    thin = HEAD.slices((8, 9), (4.0, 4.0), np.arange(-2.0, 3.0), 1.0)
    thick = HEAD.slices((8, 9), (4.0, 4.0), [0.0], 5.0)
    np.testing.assert_allclose(thin.mean(axis=2), thick[..., 0], atol=1e-12)
