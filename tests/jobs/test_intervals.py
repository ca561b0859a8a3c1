"""Intervals hold the truth as often as they say."""

from __future__ import annotations

import math

import pytest
import torch

from voxprior.jobs.intervals import interval, stated
from voxprior.methods.result import Result
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.widening import Widening
from voxprior.volume import SliceGeometry


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


RATIOS = (2.0, 8.0)
SHAPE = (8, 3, 3)


def _measurement(sigma: float | None = 0.0, thickness: float = 2.0) -> Measurement:
    count = round(8 / thickness)
    operator = Separable.from_axes([SliceGeometry(0, count, thickness, thickness, 8, 1.0, "box")], (count, 3, 3))
    return Measurement(operator, torch.ones(1, count, 3, 3), sigma)


def _result(samples: int = 0, widened: bool = True) -> Result:
    draws = torch.randn(samples, *SHAPE, generator=torch.Generator().manual_seed(0)) if samples else None
    kind = "sr samples" if samples > 1 else "sr mean"
    widths = dict.fromkeys((0.5, 0.8, 0.9), (2.0, 4.0))
    one = Widening(RATIOS, widths, (3.0, 5.0), 9, "nine subjects", ("s",), ("T1w",), samples or None)
    notes = {"mode": "sample" if samples else "mean", "projection": "exact"}
    std = torch.full(SHAPE, 1.5) if draws is None else draws.std(0)
    return Result(torch.zeros(SHAPE), std, draws, notes=notes, widenings={kind: one} if widened else {})


def test_the_factors_of_a_card_widen_interval_and_std() -> None:
    """Guards the arithmetic: the nominal width of what A does not see (a half of the pair's variance) times the factor.
    """
    shown, (low, high) = stated(_result(), _measurement(), "sr")
    unseen = 1.5 / math.sqrt(2)
    assert (high - low).numpy() / 2 == pytest.approx(2 * 1.6448536 * unseen, rel=1e-5)
    assert shown.std.numpy() == pytest.approx(3 * unseen, rel=1e-5)
    said = shown.notes["interval"]
    assert (said["calibrated"], said["word"], said["on"]) == (True, "coverage measured", "nine subjects")
    assert said["guaranteed"] == pytest.approx(0.81) and said["level"] == 0.9
    between, _ = stated(_result(), _measurement(thickness=4.0), "sr")  # half way from 2 to 8 in the logarithm
    assert between.notes["interval"]["widened_by"] == pytest.approx(3.0)


def test_without_factors_nothing_is_claimed() -> None:
    """Guards the word: no card, a factor that was not measured, a method without a network."""
    shown, (low, high) = stated(_result(widened=False), _measurement(), "sr")
    assert shown.notes["interval"]["word"] == "not calibrated" and not shown.notes["interval"]["calibrated"]
    assert (high - low).numpy() / 2 == pytest.approx(1.6448536 * 1.5 / math.sqrt(2), rel=1e-5)
    far, _ = stated(_result(), _measurement(thickness=1.0), "sr")
    assert not far.notes["interval"]["calibrated"] and far.notes["interval"]["word"].startswith("beyond")
    plain = Result(torch.zeros(SHAPE))
    assert stated(plain, _measurement(), "sr") == (plain, None)


def test_noise_of_the_measurement_stays_where_the_data_determine_the_image() -> None:
    """Guards the separation: of slices as thin as voxels nothing is invented, and the interval is the noise's."""
    shown, (low, high) = stated(_result(), _measurement(0.3, 1.0), "sr")
    assert shown.std.numpy() == pytest.approx(0.3, rel=1e-5)
    assert (high - low).numpy() / 2 == pytest.approx(0.3 * 1.6448536, rel=1e-5)
    both, _ = stated(_result(), _measurement(0.3), "sr")  # two voxels of a slice carry its noise each
    assert both.std.numpy() == pytest.approx(math.hypot(3 * 1.5 / math.sqrt(2), 0.3), rel=1e-5)


def test_the_noise_of_a_fine_image_is_in_its_interval() -> None:
    """Guards scanners of other noise than those of training: the truth is white noise, of which no prior knows.

    Slices of two voxels hold half of its variance; the other half is what the interval of 90 % is about.
    """
    shape, size = (40, 40, 40), 3.0
    truth = 100 + size * torch.randn(shape, generator=torch.Generator().manual_seed(3))
    operator = Separable.from_slices(SliceGeometry(0, 20, 2.0, 2.0, 40, 1.0, "box"), (20, 40, 40))
    y = operator.apply(truth[None])
    mean = operator.prox(torch.full((1, *shape), 100.0), y, 0.0)[0]
    result = Result(mean, torch.zeros(shape), notes={"mode": "mean", "projection": "exact"})
    shown, (low, high) = stated(result, Measurement(operator, y), "sr")
    assert float(((low <= truth) & (truth <= high)).double().mean()) == pytest.approx(0.9, abs=0.02)
    assert shown.std.numpy() == pytest.approx(size / math.sqrt(2), rel=0.05)


def test_samples_keep_their_spread_and_their_own_factors() -> None:
    """Guards the kind: the spread of samples is of the null space as it is, with the quantile of so few draws."""
    result = _result(samples=4)
    shown, (low, high) = stated(result, _measurement(), "sr")
    assert shown.std.numpy() == pytest.approx(3 * result.std.numpy(), rel=1e-5)
    half = 2 * 2.3533634 * math.sqrt(1.25) * result.std
    assert (high - low).numpy() / 2 == pytest.approx(half.numpy(), rel=1e-5)
    assert shown.notes["interval"]["measured_with_samples"] == 4


def test_a_known_scanner_and_contrast_have_the_stronger_word() -> None:
    """Guards that both must be known, and be among those that were measured."""
    one = _result().widenings["sr mean"]
    assert one.word("s", "T1w") == "calibrated"
    assert {one.word(), one.word("s"), one.word("t", "T1w"), one.word("s", "FLAIR")} == {"coverage measured"}
