"""The noise read from air is the noise that was put in, and no number is given where there is no air."""

from __future__ import annotations

import numpy as np
import pytest

from voxprior.io.certificate import estimate_background_noise

SHAPE = (32, 32, 24)


def head(sigma: float, channels: int = 1, signal: float = 100.0) -> np.ndarray:
    """Magnitude image of a ball with Gaussian noise ``sigma`` in real and imaginary part of each channel."""
    rng = np.random.default_rng(11)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    texture = 0.7 + 0.3 * np.sin(7 * grid[0]) * np.cos(5 * grid[1])
    truth = np.where((grid**2).sum(0) < 0.8, signal * texture, 0.0)
    parts = rng.normal(0, sigma, (channels, 2, *SHAPE))
    parts[:, 0] += truth / np.sqrt(channels)
    return np.sqrt((parts**2).sum((0, 1))).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 5.0])
def test_rician_noise_is_measured_within_five_percent(sigma: float) -> None:
    """Guards the estimate against known noise; the border has about 15000 voxels, so 5 % is many standard
    errors.
    """
    assert estimate_background_noise(head(sigma)) == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("sigma", [0.8, 1.5, 4.0])
def test_integer_codes_do_not_bias_the_estimate(sigma: float) -> None:
    """Guards images stored as integers, whose air holds true zeros that rounding made."""
    rounded = np.rint(head(sigma)).astype(np.float32)
    assert estimate_background_noise(rounded) == pytest.approx(sigma, rel=0.08)


def test_a_masked_part_does_not_bias_the_estimate() -> None:
    """Guards a defaced scan: zeros over a part of the air are a mask, not small noise."""
    image = head(2.0)
    image[:8] = 0
    assert estimate_background_noise(image) == pytest.approx(2.0, rel=0.05)


def test_the_estimate_scales_with_the_image() -> None:
    """Guards against thresholds in absolute units."""
    one, thousand = estimate_background_noise(head(2.0)), estimate_background_noise(head(2.0) * 1000)
    assert one is not None and thousand == pytest.approx(1000 * one, rel=1e-3)


def test_a_stripped_scan_has_no_background_noise() -> None:
    """Guards a background of exact zeros: there is nothing to measure."""
    image = head(2.0)
    image[image < 30] = 0
    assert estimate_background_noise(image) is None


def test_images_without_air_give_no_number() -> None:
    """Guards CT (negative values), a crop inside tissue, and a border of other statistics."""
    rng = np.random.default_rng(4)
    assert estimate_background_noise(head(2.0) - 1000) is None
    assert estimate_background_noise(rng.normal(100, 5, SHAPE).astype(np.float32)) is None
    assert estimate_background_noise(rng.uniform(0, 100, SHAPE).astype(np.float32)) is None
    assert estimate_background_noise(head(2.0, channels=8)) is None
    assert estimate_background_noise(np.zeros(SHAPE, np.float32)) is None
