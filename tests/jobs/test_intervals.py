"""Intervals hold the truth as often as they say."""

from __future__ import annotations

import pytest
import torch

from voxprior.jobs.intervals import interval


@pytest.mark.parametrize("samples", [2, 8])
def test_intervals_of_samples_cover_a_further_sample_nine_times_in_ten(samples: int) -> None:
    """Guards t(K - 1) s sqrt(1 + 1/K): with exchangeable Gaussians the truth is one more draw (binomial, 5 sigma)."""
    count = 200_000
    draws = torch.randn(samples + 1, count, generator=torch.Generator().manual_seed(1)) * 3 + 7
    low, high = interval(draws[1:].mean(0), None, draws[1:])
    share = float(((low < draws[0]) & (draws[0] < high)).double().mean())
    assert abs(share - 0.9) < 5 * (0.09 / count) ** 0.5


def test_an_interval_of_one_std_is_gaussian() -> None:
    """Guards the mean mode: the width is that of the normal distribution, and one sample adds nothing."""
    mean, std = torch.tensor([1.0]), torch.tensor([2.0])
    for samples in (None, mean[None]):
        low, high = interval(mean, std, samples)
        assert float(high - mean) == pytest.approx(1.6448536 * 2)
        assert float(mean - low) == pytest.approx(1.6448536 * 2)
    assert interval(mean, None, None) is None
