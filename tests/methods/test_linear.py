"""Reconstruction without a learned prior: stated weights, exact solutions, closed-form data."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from phantoms import HEAD_SLICE, sensitivities
from voxprior import registry
from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.methods.linear import SENSE_STRENGTH, TV_STRENGTH, sense, tv
from voxprior.methods.linear import zero_filled as adjoint_of_data
from voxprior.methods.result import Result
from voxprior.methods.total_variation import denoise, gradient, gradient_adjoint
from voxprior.operators.base import Measurement
from voxprior.operators.fourier import Fourier
from voxprior.operators.masks import make_mask
from voxprior.operators.separable import Separable

ALL = (adjoint_of_data, sense, tv)
SHAPE = (36, 32)
SIGMA = 0.02
PLANE = (-2, -1)


def _measurement(unit: float = 1.0, mask: str = "uniform", sigma: float | None = SIGMA) -> Measurement:
    """Closed-form multi-coil k-space of an analytic head, with noise, three times undersampled."""
    full = torch.from_numpy(HEAD_SLICE.coils(SHAPE, 2)).to(torch.complex64)[None]
    keep = torch.from_numpy(make_mask(mask, SHAPE, 3, 8).keep)
    parts = SeededNoise(1)(0, 0, (*full.shape, 2))
    y = unit * (full + SIGMA * torch.view_as_complex(parts)) * keep
    operator = Fourier(keep, torch.from_numpy(sensitivities(SHAPE, 2)).to(torch.complex64))
    return Measurement(operator, y, None if sigma is None else unit * sigma)


@cache
def _truth() -> Tensor:
    everything = Fourier(torch.ones(SHAPE, dtype=torch.bool), torch.from_numpy(sensitivities(SHAPE, 2)))
    return everything.adjoint(torch.from_numpy(HEAD_SLICE.coils(SHAPE, 2))[None])[0].to(torch.complex64)


def _run(method: object, measurement: Measurement) -> Result:
    result: Result = method(measurement, method.Options(), SeededNoise(0))  # type: ignore[operator, attr-defined]
    return result


@pytest.mark.parametrize("method", ALL)
def test_every_baseline_meets_the_contract(method: object) -> None:
    """Complex image of the grid, no network call, no std that a table could mistake for a measured one."""
    seen: list[tuple[int, int]] = []
    result = method(  # type: ignore[operator]
        _measurement(), method.Options(), SeededNoise(0), lambda *step: seen.append(step)  # type: ignore[attr-defined]
    )
    assert result.mean.shape == SHAPE and result.mean.dtype == torch.complex64
    assert (result.calls, result.std, result.samples, result.status) == (0, None, None, "done")
    assert seen[-1][0] == seen[-1][1]
    assert registry.resolve(method.name, "recon") is method and method.citation  # type: ignore[attr-defined]
    assert torch.equal(result.mean, _run(method, _measurement()).mean)


@pytest.mark.parametrize("mask", ["uniform", "poisson"])
def test_each_baseline_beats_the_simpler_one(mask: str) -> None:
    """On data that no operator of ours made: SENSE unfolds, and total variation quietens what is left."""
    error = [float((_run(m, _measurement(mask=mask)).mean - _truth()).norm() / _truth().norm()) for m in ALL]
    assert error[2] < error[1] < error[0]
    assert error[2] < 0.12


@pytest.mark.parametrize("sigma", [SIGMA, None])
@pytest.mark.parametrize("method", ALL)
def test_the_result_carries_the_units_of_the_data(method: object, sigma: float | None) -> None:
    """A weight that is absolute is tuned to one scanner's units."""
    plain, scaled = (_run(method, _measurement(unit, sigma=sigma)).mean for unit in (1.0, 3e4))
    assert float((scaled / 3e4 - plain).abs().max()) < 2e-3 * float(plain.abs().max())


def test_zero_filling_is_the_adjoint_and_loses_nothing_of_complete_data() -> None:
    """With everything measured and sum |maps|^2 = 1 it is the image."""
    m = _measurement()
    assert torch.equal(_run(adjoint_of_data, m).mean, m.operator.adjoint(m.y)[0])
    x = _truth()[None]
    operator = Fourier(torch.ones(SHAPE, dtype=torch.bool), m.operator.maps)  # type: ignore[attr-defined]
    assert torch.allclose(_run(adjoint_of_data, Measurement(operator, operator.apply(x))).mean, x[0], atol=1e-5)


def test_sense_solves_its_equations_with_the_stated_weight() -> None:
    """lam = 5 sigma^2 / v, with v the mean square of a component of the image, as the truth has it."""
    m = _measurement()
    result = _run(sense, m)
    x, lam = result.mean[None], result.notes["lam"]
    v = float(_truth().abs().square().mean()) / 2
    assert lam == pytest.approx(SENSE_STRENGTH * SIGMA**2 / v, rel=0.15)
    gradient_of_cost = m.operator.adjoint(m.operator.apply(x)) + lam * x - m.operator.adjoint(m.y)
    assert float(gradient_of_cost.norm() / m.operator.adjoint(m.y).norm()) < 1e-5


def test_total_variation_reaches_the_minimum_of_its_cost() -> None:
    """Against a literal primal-dual iteration (Chambolle and Pock, algorithm 1) run to convergence."""
    m = _measurement()
    a, weight = m.operator, TV_STRENGTH * SIGMA

    def cost(x: Tensor) -> float:
        fit = (a.apply(x) - m.y).abs().square().sum() / 2
        d = gradient(x, PLANE)
        return float(fit + weight * (d.abs().square().sum(0)).sqrt().sum())

    x = torch.zeros(1, *SHAPE, dtype=torch.complex64)
    bar, p, q = x, torch.zeros_like(gradient(x, PLANE)), torch.zeros_like(m.y)
    step = 1 / 3.0  # the norm of (A, grad) is at most sqrt(1 + 8)
    for _ in range(600):
        p = p + step * gradient(bar, PLANE)
        p = p / (p.abs().square().sum(0).sqrt() / weight).clamp_min(1)
        q = (q + step * (a.apply(bar) - m.y)) / (1 + step)
        new = x - step * (gradient_adjoint(p, PLANE) + a.adjoint(q))
        x, bar = new, 2 * new - x
    found = _run(tv, m).mean[None]
    assert cost(found) < cost(x) * 1.01
    assert float((found - x).norm() / x.norm()) < 0.02


def test_total_variation_denoising_is_that_of_another_library() -> None:
    """scikit-image minimises the same functional with its own code."""
    rng = np.random.default_rng(0)
    image = HEAD_SLICE.pixels((24, 28)).real + 0.1 * rng.standard_normal((24, 28))
    z = torch.from_numpy(image)[None]
    found, dual = denoise(z, 0.15, torch.zeros_like(gradient(z, PLANE)), PLANE, steps=1500)
    expected = denoise_tv_chambolle(image, weight=0.15, eps=1e-12, max_num_iter=1500)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=2e-3)
    assert float(dual.square().sum(0).max()) <= 1 + 1e-12


@given(st.lists(st.integers(1, 6), min_size=2, max_size=3), st.integers(0, 999))
def test_the_gradient_has_its_adjoint(shape: list[int], seed: int) -> None:
    """A divergence that is off by one at the edge pulls the border of the image."""
    generator = torch.Generator().manual_seed(seed)
    axes = tuple(range(-len(shape), 0))
    x = torch.randn(2, *shape, generator=generator, dtype=torch.complex128)
    p = torch.randn(len(axes), 2, *shape, generator=generator, dtype=torch.complex128)
    left, right = (p.conj() * gradient(x, axes)).sum(), (gradient_adjoint(p, axes).conj() * x).sum()
    assert float((left - right).abs()) < 1e-12 * float(p.norm() * x.norm())


def test_slices_and_volumes_go_through_the_same_code() -> None:
    """A stack of slices has no gradient across slices; a volume has."""
    one = _measurement()
    keep, maps = one.operator.mask, one.operator.maps  # type: ignore[attr-defined]
    stack = Fourier(keep.expand(2, *SHAPE), maps[:, None].expand(-1, 2, *SHAPE), (1, 2))
    two = Measurement(stack, torch.stack([one.y[0], one.y[0]], dim=1)[None], SIGMA)
    for method in ALL:
        both = _run(method, two).mean
        assert both.shape == (2, *SHAPE)
        assert torch.allclose(both[1], _run(method, one).mean, atol=2e-3)


@pytest.mark.parametrize("method", ALL)
def test_other_measurements_are_refused(method: object) -> None:
    """Thick slices, several scans or empty k-space would give a picture of something else."""
    m = _measurement()
    slices = Separable({0: np.eye(4)[::2]}, (4, 4))
    refused = [
        (Measurement(slices, torch.zeros(1, 2, 4)), "needs k-space"),
        (Measurement(m.operator, torch.cat([m.y, m.y])), "one scan"),
    ]
    if method is not adjoint_of_data:
        refused.append((Measurement(m.operator, torch.zeros_like(m.y), SIGMA), "zero everywhere"))
    for measurement, words in refused:
        with pytest.raises(InputError, match=words):
            _run(method, measurement)
