"""Values below zero: where an image has its darkness does not change what is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import voxprior
from phantoms import HEAD
from voxprior.jobs.darkness import dark_value


def _slices(shape: tuple[int, int, int], voxel: tuple[float, float, float]) -> NDArray[np.float32]:
    places = [(np.arange(n) - (n - 1) / 2) * v for n, v in zip(shape, voxel, strict=True)]
    image = HEAD.at(*np.meshgrid(*places, indexing="ij"))
    return np.asarray(gaussian_filter(image, [1 / v for v in voxel]), dtype=np.float32)


@pytest.mark.parametrize("options", [
    {"job": "sr"},
    {"job": "sr", "mode": "sample", "steps": 3, "samples": 2},
    {"job": "sr", "mode": "one-step"},
    {"job": "enhance", "axes": "ij"},
    {"job": "enhance", "axes": "ij", "strength": 0.5},
], ids=lambda options: "-".join(map(str, options.values())))
@pytest.mark.parametrize("below", [100.0, 1000.0])
def test_an_image_below_zero_gives_the_same_so_much_lower(options: dict[str, Any], below: float) -> None:
    """Image, interval and samples are lower by what the input was, and the std is the same."""
    coarse = (1.5, 1.5, 5.0) if options["job"] == "sr" else (3.0, 3.0, 1.5)
    data = _slices((32, 40, 8) if options["job"] == "sr" else (16, 20, 12), coarse)
    high, low = (voxprior.restore(d, voxel_size=coarse, **options) for d in (data, data - np.float32(below)))
    tolerance = 2e-3 * float(np.ptp(data))
    np.testing.assert_allclose(low.image + below, high.image, atol=tolerance)
    np.testing.assert_allclose(low.std, high.std, atol=tolerance)
    for a, b in (*zip(low.interval, high.interval, strict=True), *zip(low.samples, high.samples, strict=True)):
        np.testing.assert_allclose(a + below, b, atol=tolerance)
    assert low.sidecar["residual"] < 1e-4
    assert low.sidecar["settings"]["counted_from"] == pytest.approx(-below, abs=tolerance)
    assert "counted_from" not in high.sidecar["settings"]


def test_ringing_and_a_few_odd_voxels_are_no_darkness() -> None:
    """Scans whose air is zero are left as they are."""
    data = _slices((32, 40, 8), (1.5, 1.5, 5.0))
    ringing = data + 0.03 * float(data.max()) * np.random.default_rng(0).standard_normal(data.shape)
    odd = data.copy()
    odd[3, 4, :3] = -1e5
    assert [dark_value(d) for d in (data, data + 500, ringing, odd)] == [0.0] * 4
    assert dark_value(-data) == pytest.approx(-float(data.max()), rel=0.05)


@pytest.mark.parametrize("options", [
    {"job": "sr"},
    {"job": "sr", "mode": "sample", "steps": 3},
    {"job": "sr", "mode": "one-step"},
    {"job": "enhance", "axes": "ij"},
    {"job": "enhance", "axes": "ij", "planes": "three"},
    {"job": "enhance", "axes": "ij", "planes": "volume"},
], ids=lambda options: "-".join(map(str, options.values())))
def test_noise_that_no_network_was_trained_on_does_not_carry_it_away(options: dict[str, Any]) -> None:
    """Told of a noise of the whole range, what is made stays as large as the image."""
    coarse = (1.5, 1.5, 5.0) if options["job"] == "sr" else (3.0, 3.0, 1.5)
    data = _slices((32, 40, 8) if options["job"] == "sr" else (16, 20, 12), coarse)
    wide = float(np.ptp(data))
    restored = voxprior.restore(data, voxel_size=coarse, noise=wide, **options)
    assert np.abs(restored.image).max() < 2 * wide
    assert np.median(restored.std) > 0.05 * wide, "and the noise is in the std"
