"""Sharpness against the truth, and seams between tiles."""

from __future__ import annotations

import numpy as np
import pytest

from voxprior.metrics.seams import seam_index
from voxprior.metrics.sharpness import high_frequency_ratio


def test_the_truth_is_as_sharp_as_itself_and_half_of_it_a_quarter() -> None:
    """Energy is quadratic, and a constant added changes nothing."""
    truth = np.random.default_rng(0).normal(size=(6, 48, 5))
    assert high_frequency_ratio(truth, truth, 1, 4) == pytest.approx(1)
    assert high_frequency_ratio(0.5 * truth + 3, truth, 1, 4) == pytest.approx(0.25)


def test_only_what_slices_cannot_carry_counts() -> None:
    """A wave below 1 / (2 factor) cycles a voxel is no detail; one above is."""
    z = np.arange(64)
    low, high = np.cos(2 * np.pi * 4 / 64 * z), np.cos(2 * np.pi * 20 / 64 * z)
    truth = (low + high)[None, None] * np.ones((2, 3, 1))
    only_low, only_high = (np.broadcast_to(v, truth.shape) for v in (low, high))
    assert high_frequency_ratio(only_low, truth, 2, 4) == pytest.approx(0, abs=1e-12)
    assert high_frequency_ratio(only_high, truth, 2, 4) == pytest.approx(1)


def test_a_truth_without_detail_is_refused() -> None:
    """There is nothing to compare with."""
    with pytest.raises(ValueError, match="no energy"):
        high_frequency_ratio(np.ones((4, 16, 4)), np.ones((4, 16, 4)), 1, 4)


def test_a_step_between_tiles_is_seen_and_an_even_image_is_not() -> None:
    """Noise has an index of 1; the same noise with an offset of a tile has more, by what the offset adds."""
    image = np.random.default_rng(1).normal(size=(40, 60, 60))
    assert seam_index(image, 0, [20]) == pytest.approx(1, abs=0.05)
    image[20:] += 2
    assert seam_index(image, 0, [20]) > 1.5
    with pytest.raises(ValueError, match="no border"):
        seam_index(image, 0, [])
