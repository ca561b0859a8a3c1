"""The error that withheld samples show is the error of the image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxprior.jobs.intervals import kspace_spread, std_along
from voxprior.jobs.withheld import withheld_error, withheld_scale
from voxprior.methods.result import Result
from voxprior.operators.base import Measurement
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.fourier import Fourier, ifft
from voxprior.operators.masks import make_mask

SHAPE = (96, 96)


def _white(seed: int, *shape: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.complex(*(torch.randn(*shape, generator=rng) for _ in range(2)))


def _mask(name: str, rate: float, acs: int) -> torch.Tensor:
    return torch.from_numpy(make_mask(name, SHAPE, rate, acs).keep)


def _radius(keep: torch.Tensor) -> torch.Tensor:
    """Distance from the centre along the axes on which the mask changes."""
    rows, columns = (torch.arange(n) - n // 2 for n in SHAPE)
    lines = bool((keep == keep[:1]).all())
    return torch.hypot(rows[:, None] * (0 if lines else 1.0), columns[None] * 1.0).clamp_min(1)


@settings(max_examples=20, deadline=None)
@given(
    mask=st.sampled_from([("poisson", 4, 16), ("poisson", 8, 12), ("uniform", 3, 12), ("random", 5, 12)]),
    fall=st.sampled_from([0.0, 0.5, 1.0]),
    sigma=st.sampled_from([0.0, 0.02]),
    seed=st.integers(0, 99),
)
def test_the_error_of_what_was_never_measured_is_foretold(
    mask: tuple[str, int, int], fall: float, sigma: float, seed: int
) -> None:
    """Guards Parseval, the power law and the noise: a method whose error at each place that it is not told is known."""
    keep = _mask(*mask)
    wrong = _white(seed, *SHAPE) * _radius(keep) ** -fall
    truth, operator = _white(seed + 100, *SHAPE), Fourier(keep)
    y = operator.apply(truth[None]) + sigma * _white(seed + 200, 1, *SHAPE) * keep

    def method(told: Measurement) -> torch.Tensor:
        return truth + ifft(wrong * ~told.operator.mask, (-2, -1))

    found = withheld_error(Measurement(operator, y, sigma), method)
    error = torch.view_as_real(ifft(wrong * ~keep, (-2, -1))).square().mean().sqrt()
    # Few places of a random field are a few per cent off by chance, and near the centre the law is steep.
    assert found == pytest.approx(float(error), rel=0.2)


def test_coils_see_the_same_error() -> None:
    """Guards the sum over coils, whose maps have unit energy: the error is white within the field that they see."""
    keep = _mask("poisson", 4, 16)
    maps = torch.from_numpy(simulate_maps(SHAPE, 6, np.random.default_rng(0)))
    maps = maps / maps.abs().square().sum(0).sqrt()
    truth, operator = _white(1, *SHAPE), Fourier(keep, maps)
    wrong = 0.3 * _white(2, *SHAPE)
    found = withheld_error(Measurement(operator, operator.apply(truth[None]), 0.0), lambda _: truth + wrong)
    # Of an error that is everywhere alike in k-space, a quarter lies at places that were measured.
    assert found == pytest.approx(0.3 * math.sqrt(3 / 4), rel=0.05)


@pytest.mark.parametrize("mask", [torch.ones(*SHAPE, dtype=torch.bool), _mask("low-frequency", 4, 24)])
def test_too_little_beyond_the_centre_says_nothing(mask: torch.Tensor) -> None:
    """Guards scans without outer samples, and complete ones, which have no error to foretell."""
    operator = Fourier(mask)
    y = operator.apply(_white(0, 1, *SHAPE))
    assert withheld_error(Measurement(operator, y, 0.0), lambda told: torch.zeros(SHAPE, dtype=torch.complex64)) is None


@pytest.mark.parametrize("part", [0.6, 0.75])
@pytest.mark.parametrize("step", [1, 2])
def test_samples_say_nothing_of_a_part_left_out_in_one_piece(part: float, step: int) -> None:
    """Guards partial Fourier: the withheld places lie among measured ones, the missing ones far from all."""
    mask = torch.zeros(256, 256, dtype=torch.bool)
    mask[:, : int(part * 256) : step] = True
    mask[:, 116:140] = True
    operator = Fourier(mask)
    y = operator.apply(_white(0, 1, 256, 256))
    assert withheld_error(Measurement(operator, y, 0.0), lambda _: torch.zeros(256, 256, dtype=torch.complex64)) is None


def test_the_method_is_not_told_what_is_withheld() -> None:
    """Guards against a leak: neither mask nor data hold the withheld samples, the centre stays, a quarter goes."""
    keep, seen = _mask("poisson", 4, 16), []
    operator = Fourier(keep)

    def method(told: Measurement) -> torch.Tensor:
        seen.append(told)
        return torch.zeros(SHAPE, dtype=torch.complex64)

    withheld_error(Measurement(operator, operator.apply(_white(0, 1, *SHAPE)), 0.0), method)
    left = seen[0].operator.mask
    assert bool((left <= keep).all()) and not bool(seen[0].y[0][~left].any())
    assert bool(left[_radius(keep) < 8].all())
    assert 0.15 < 1 - float(left.sum() / keep.sum()) < 0.25


def test_the_spread_is_made_as_large_as_the_error() -> None:
    """Guards both ways: an even part where the std is too small, a factor where it is too large."""
    operator = Fourier(_mask("poisson", 4, 16))
    std = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) + 0.5
    result = Result(_white(0, *SHAPE), std, notes={"mode": "mean"})
    size = float(std.square().mean().sqrt())
    for scale in (0.5, 2.0):
        spread = kspace_spread(result, operator, scale)
        assert spread.kind == "recon one-coil mean" and spread.ratio == pytest.approx(4, rel=0.1)
        assert float(spread.invented.square().mean().sqrt()) == pytest.approx(scale * size, rel=1e-5)
    assert torch.allclose(kspace_spread(result, operator, 0.5).invented, std / 2)
    wider = kspace_spread(result, operator, 2.0).invented.square() - std.square()
    assert torch.allclose(wider, wider.mean(), rtol=1e-4)


def test_of_samples_the_component_along_the_image_counts() -> None:
    """Guards the phase: samples that differ across it alone have the magnitude without spread."""
    mean = torch.full(SHAPE, 2.0, dtype=torch.complex64)
    samples = torch.stack([mean + 1j, mean - 1j, mean])
    result = Result(mean, torch.ones(SHAPE), samples, notes={"mode": "sample"})
    assert float(std_along(result).max()) == 0
    operator = Fourier(_mask("poisson", 4, 16))
    assert kspace_spread(result, operator, 1.0).kind == "recon one-coil samples"
    assert withheld_scale(Result(mean), Measurement(operator, operator.apply(mean[None])), lambda _: mean) is None
