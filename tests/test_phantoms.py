"""The ground truth of other tests, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from phantoms import FWHM, HEAD, HEAD_SLICE, grid, sensitivities


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


@pytest.mark.parametrize("shape", [(12, 9), (7, 16)])
def test_kspace_equals_a_sum_over_many_points(shape: tuple[int, int]) -> None:
    """A slip in the Bessel functions, the shifts or the scale would make every reconstruction look wrong."""
    fine = (901, 899)
    y, x = grid(fine)
    image = HEAD_SLICE.at(y, x)
    ky, kx = (np.arange(n) - n // 2 for n in shape)
    fourier = np.exp(-2j * np.pi * ky[:, None] * y[:, 0]), np.exp(-2j * np.pi * kx[:, None] * x[0])
    scale = np.sqrt(shape[0] * shape[1]) / image.size

    def brute(maps: np.ndarray) -> np.ndarray:
        return np.stack([scale * fourier[0] @ (s * image) @ fourier[1].T for s in maps])

    for order in (0, 2):
        found = HEAD_SLICE.coils(shape, order)
        np.testing.assert_allclose(found, brute(sensitivities(fine, order)), atol=4e-3 * np.abs(found).max())


@pytest.mark.parametrize("order", [0, 1, 2, 4])
def test_sensitivities_share_the_signal(order: int) -> None:
    """Sum |s|^2 = 1 is the scale on which images are given."""
    s = sensitivities((9, 12), order)
    assert s.shape == ((order + 1) ** 2, 9, 12)
    np.testing.assert_allclose((np.abs(s) ** 2).sum(0), 1, atol=1e-12)


@pytest.mark.parametrize(("angle", "t", "z"), [(0.0, 3.0, 1.0), (37.0, -6.0, 4.0), (120.0, 8.0, -3.0), (-75.0, 0.4, 0)])
def test_rays_equal_sums_along_lines(angle: float, t: float, z: float) -> None:
    """A slip in the shadow of an ellipse would make every X-ray view look wrong, or, worse, right."""
    along = np.linspace(-40, 40, 400_001)
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    brute = HEAD.at(t * cos - along * sin, t * sin + along * cos, z).sum() * (along[1] - along[0])
    assert float(HEAD.rays(angle, t, z)) == pytest.approx(float(brute), abs=0.2)


def test_views_are_means_of_rays_over_a_bin() -> None:
    """The closed form of the mean, at the edges of ellipses and beyond them too."""
    t = np.array([-16.5, -3.0, 0.0, 16.0, 30.0])
    within = ((np.arange(4000) + 0.5) / 4000 - 0.5) * 2.0
    found = HEAD.views([10.0, 80.0], t, [1.0, 15.5, 40.0], 2.0)
    assert found.shape == (3, 2, 5)
    for k, z in enumerate((1.0, 15.5, 40.0)):
        for a, angle in enumerate((10.0, 80.0)):
            expected = HEAD.rays(angle, t[:, None] + within, z).mean(axis=1)
            np.testing.assert_allclose(found[k, a], expected, atol=0.05)
    assert not found[2].any()
