"""Gradients of the misfit: against their formulas by finite differences and dense algebra, and their stated biases."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import Guided, State, as_denoiser, sample
from voxprior.diffusion.schedule import Step
from voxprior.errors import InputError
from voxprior.guidance.gradient import balanced, dps, exploding, pi_gdm, preserving
from voxprior.guidance.proximal import posterior_variance
from voxprior.operators.base import Measurement, Operator
from voxprior.operators.fourier import Fourier, fft, ifft
from voxprior.operators.separable import Separable
from voxprior.priors.gaussian import GaussianMixture, Posterior, StationaryGaussian, power_law

SHAPE = (3, 4, 6)
STD = 1.3
SIGMAS = (0.01, 0.5, 2.0, 30.0)


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _slices() -> Separable:
    return Separable({2: np.kron(np.eye(2), np.full((1, 3), 1 / 3))}, SHAPE)


def _gaussian(exponent: float, scale: float = 1.0) -> StationaryGaussian:
    mean = torch.from_numpy(_rng(2).standard_normal(SHAPE))
    return StationaryGaussian(scale * mean, power_law(SHAPE, scale * STD, exponent))


def _mixture(scale: float = 1.0) -> GaussianMixture:
    return GaussianMixture((_gaussian(2.0, scale), _gaussian(0.0, scale)), (0.4, 0.6))


def _images(n: int, seed: int = 3) -> Tensor:
    return torch.from_numpy(_rng(seed).standard_normal((n, *SHAPE)))


def _measure(operator: Operator, sigma: float | None, scale: float = 1.0) -> Measurement:
    return Measurement(operator, scale * operator.apply(2 * _images(1, seed=5)), sigma)


def _slope(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Gradient of a number a sample, by central differences."""
    gradient = torch.zeros_like(x)
    for i in np.ndindex(*x.shape[1:]):
        h = torch.zeros_like(x)
        h[(slice(None), *i)] = 1e-5
        gradient[(slice(None), *i)] = (f(x + h) - f(x - h)) / 2e-5
    return gradient


def test_dps_is_the_gradient_of_the_norm() -> None:
    """Guards the displacement: weight times the gradient of |y - A D(x)| through a nonlinear prior, a sample."""
    prior, measurement, x = _mixture(), _measure(_slices(), None), _images(2)
    estimate, memory = dps([prior], measurement, 0.7)(x, Step(0, 0.8), {})

    def misfit(x: Tensor) -> Tensor:
        return (measurement.operator.apply(prior(x, 0.8)) - measurement.y).flatten(1).norm(dim=1)

    assert estimate.shift is not None and not memory
    torch.testing.assert_close(estimate.shift, 0.7 * _slope(misfit, x), rtol=1e-6, atol=1e-8)
    assert torch.equal(estimate.denoised, estimate.prior)
    torch.testing.assert_close(estimate.prior, prior(x, 0.8), rtol=1e-12, atol=1e-12)


def test_dps_with_a_norm_a_slice() -> None:
    """Guards weights set a slice: the step of a slice is as long as if the volume had no other."""
    prior = StationaryGaussian(torch.zeros(()), torch.ones(SHAPE, dtype=torch.float64))  # slices do not mix
    measurement, x = _measure(_slices(), None), _images(2)
    together, _ = dps([prior], measurement, 0.7, slices=1)(x, Step(0, 0.8), {})
    for i in range(SHAPE[0]):
        operator = Separable({2: np.kron(np.eye(2), np.full((1, 3), 1 / 3))}, (1, *SHAPE[1:]))
        alone = StationaryGaussian(torch.zeros(()), torch.ones(1, *SHAPE[1:], dtype=torch.float64))
        given = Measurement(operator, measurement.y[:, i : i + 1])
        one, _ = dps([alone], given, 0.7)(x[:, i : i + 1], Step(0, 0.8), {})
        assert together.shift is not None and one.shift is not None
        torch.testing.assert_close(together.shift[:, i : i + 1], one.shift, rtol=1e-10, atol=1e-12)


def test_dps_leaves_a_plane_without_weight_alone() -> None:
    """Guards TPDM's auxiliary plane, which has no data term and must not pay for a gradient."""
    priors, x = [_gaussian(0.0), _gaussian(2.0)], _images(1)
    guided = dps(priors, _measure(_slices(), None), (0.7, 0.0))
    with_data, _ = guided(x, Step(0, 0.8, plane=0), {})
    without, _ = guided(x, Step(0, 0.8, plane=1), {})
    assert with_data.shift is not None and without.shift is None
    assert torch.equal(without.denoised, priors[1](x, 0.8))


def test_dps_takes_its_step_whatever_the_row() -> None:
    """Guards the published order: the displacement comes after predictor and corrector alike, unscaled by them."""
    prior, measurement, x = _gaussian(2.0), _measure(_slices(), None), _images(2)
    for step in (Step(0, 0.8, 0.3, 0.7), Step(0, 0.8, stage="correct", snr=0.2)):
        (guided,) = sample(dps([prior], measurement, 0.7), State(x), [step], White(), SeededNoise(1))
        (plain,) = sample(dps([prior], measurement, 0.0), State(x), [step], White(), SeededNoise(1))
        shift = dps([prior], measurement, 0.7)(x, step, {})[0].shift
        assert shift is not None
        torch.testing.assert_close(guided.x, plain.x - shift, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma_y", [0.0, 0.02, 0.3, 4.0])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_pi_gdm_is_exact_for_a_white_prior(sigma: float, sigma_y: float) -> None:
    """Guards weight, inverse and sign of Pi-GDM: with a white prior D_y is E[x0 | x, y]."""
    prior, measurement = _gaussian(0.0), _measure(_slices(), sigma_y)
    x = prior.mean + math.hypot(STD, sigma) * _images(2)
    found = as_denoiser(pi_gdm([prior], measurement, STD))(x, sigma)
    torch.testing.assert_close(found, Posterior(prior, measurement)(x, sigma), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_pi_gdm_follows_its_equation(sigma: float) -> None:
    """Guards the shortcut by the proximal point, on a coloured and a mixed prior, by dense algebra."""
    operator, x = _slices(), _images(2)
    measurement, r2 = _measure(operator, 0.3), posterior_variance(sigma, STD)
    eye = torch.eye(measurement.y[0].numel(), dtype=torch.float64).reshape(-1, *measurement.y.shape[1:])
    gram = operator.apply(operator.adjoint(eye)).flatten(1)
    for prior in (_gaussian(2.0), _mixture()):

        def inner(d: Tensor) -> Tensor:
            r = (measurement.y - operator.apply(d)).flatten(1)
            solved = torch.linalg.solve(r2 * gram + 0.3**2 * torch.eye(len(gram), dtype=gram.dtype), r.T).T
            return operator.adjoint(solved.reshape(-1, *measurement.y.shape[1:]))

        d, pulled = prior.pullback(x, sigma, inner)
        found = as_denoiser(pi_gdm([prior], measurement, STD))(x, sigma)
        torch.testing.assert_close(found, d + sigma**2 * pulled, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("coordinates", [exploding, preserving])
def test_balanced_follows_its_equation(coordinates: Callable[[Tensor, float], tuple[Tensor, float]]) -> None:
    """Guards the norms (of whole samples), the sign, and the state that is compared with the data."""
    prior, measurement, x, sigma = _mixture(), _measure(_slices(), None), _images(2), 0.8
    operator = measurement.operator
    guided = balanced([prior], measurement, 2.5, 0.1, coordinates)
    a = {exploding: 1.0, preserving: 1 / math.sqrt(1 + sigma**2)}[coordinates]
    for step, w in ((Step(0, sigma), 2.5), (Step(0, sigma, stage="correct", snr=0.1), 0.1)):
        found, _ = guided(x, step, {})
        for k in range(2):
            one = x[k : k + 1]
            d = prior(one, sigma)
            v = operator.adjoint(measurement.y - operator.apply(a * one))
            score = (d - one) / sigma**2
            fade = min(1.0, float(v.norm()) / (a * sigma))
            expected = d + sigma**2 * w * fade * score.norm() * v / v.norm()
            torch.testing.assert_close(found.denoised[k : k + 1], expected, rtol=1e-12, atol=1e-12)
        assert torch.equal(found.prior, prior(x, sigma)) and found.shift is None


def test_balanced_dies_away_where_the_data_are_explained() -> None:
    """HF-06: at A x = y the pull was not a number, and beside it as strong as anywhere."""
    operator, prior, x = _slices(), _gaussian(2.0), _images(1)
    guided = balanced([prior], Measurement(operator, operator.apply(x)), 2.5)
    d, unit = prior(x, 0.5), _images(1, seed=8)

    def pull(distance: float) -> float:
        estimate, _ = guided(x + distance * unit, Step(0, 0.5), {})
        return float((estimate.denoised - estimate.prior).norm())

    assert torch.equal(guided(x, Step(0, 0.5), {})[0].denoised, d)
    assert pull(1e-6) == pytest.approx(10 * pull(1e-7), rel=1e-3)
    assert pull(1e-6) < 1e-4 * pull(3.0)


def _guidances(prior: Denoiser, measurement: Measurement, unit: float) -> dict[str, Guided]:
    return {
        "dps": dps([prior], measurement, 0.7 * unit),
        "dps a slice": dps([prior], measurement, 0.7 * unit, slices=1),
        "pi-gdm": pi_gdm([prior], measurement, STD * unit),
        "balanced": balanced([prior], measurement, 2.5),
    }


def _next(guided: Guided, x: Tensor, sigma: float) -> Tensor:
    (state,) = sample(guided, State(x), [Step(0, sigma, 0.4, 0.6)], White(), SeededNoise(0))
    return state.x


@pytest.mark.parametrize("name", ["dps", "dps a slice", "pi-gdm", "balanced"])
def test_strength_does_not_depend_on_units_or_company(name: str) -> None:
    """TP-04, TP-05, HF-06: image, data, noise and weight times c give c times the step; a batch of 3 is 3 of one."""
    operator, x = _slices(), _images(3)
    guided = _guidances(_mixture(), _measure(operator, 0.3), 1.0)[name]
    whole = _next(guided, x, 0.8)
    for unit in (1e-3, 256.0):
        scaled = _guidances(_mixture(unit), _measure(operator, unit * 0.3, unit), unit)[name]
        torch.testing.assert_close(_next(scaled, unit * x, unit * 0.8), unit * whole, rtol=1e-9, atol=1e-9 * unit)
    for k in (2, 0, 1):
        torch.testing.assert_close(_next(guided, x[k : k + 1], 0.8), whole[k : k + 1], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("count", [1, 4, 16])
def test_a_norm_of_many_slices_shortens_the_step_of_each(count: int) -> None:
    """TP-04: slices that share a norm move 1, 1/2, 1/4 as far where they are 1, 4, 16; alone they move as one does."""
    prior = StationaryGaussian(torch.zeros(()), torch.full((1, 1, 1), STD**2))
    one = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(1, 1, 4, 5)
    x = one.expand(1, count, 4, 5)
    measurement = Measurement(Separable({}, (count, 4, 5)), torch.full_like(x, 0.3))
    lengths = []
    for slices in (None, 1):
        estimate, _ = dps([prior], measurement, 1.0, slices)(x, Step(0, 0.5), {})
        assert estimate.shift is not None
        lengths.append(float(estimate.shift[0, 0].norm()))
    assert lengths[0] / lengths[1] == pytest.approx({1: 1.0, 4: 0.5, 16: 0.25}[count])


@pytest.mark.parametrize("name", ["dps", "balanced"])
def test_nothing_to_do_where_the_data_are_explained(name: str) -> None:
    """Guards 0/0: data explained to the last bit give no step, not NaN."""
    operator, zero = _slices(), torch.zeros(1, *SHAPE, dtype=torch.float64)
    prior = StationaryGaussian(torch.zeros(()), power_law(SHAPE, STD))
    guided = _guidances(prior, Measurement(operator, operator.apply(zero)), 1.0)[name]
    assert torch.equal(_next(guided, zero, 0.8), zero)


def test_weights_that_make_no_sense_are_refused() -> None:
    """A missing plane, a negative or infinite weight or std would pass in silence."""
    priors, measurement = [_gaussian(0.0), _gaussian(2.0)], _measure(_slices(), None)
    for weight in ((1.0,), -1.0, math.nan, (1.0, math.inf)):
        with pytest.raises(InputError, match="DPS weights"):
            dps(priors, measurement, weight)
    with pytest.raises(InputError, match="axis 7"):
        dps(priors, measurement, 1.0, slices=7)
    with pytest.raises(InputError, match="data weights"):
        balanced(priors, measurement, -1.0)
    with pytest.raises(InputError, match="data weights"):
        balanced(priors, measurement, 1.0, math.nan)
    with pytest.raises(InputError, match="data std"):
        pi_gdm(priors, measurement, 0.0)


def _bias(build: Callable[[StationaryGaussian, Measurement], Guided], sigma: float) -> float:
    """RMS of D_y less E[x0 | x, y] over the image's std: complex images, every third line of k-space, noise .1 std."""
    shape, noise, n = (24, 24), 0.1 * STD, 6
    prior = StationaryGaussian(torch.zeros(()), power_law(shape, STD, 2.0))
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, ::3] = mask[:, 9:15] = True
    operator = Fourier(mask)

    def white(seed: int) -> Tensor:
        return torch.view_as_complex(torch.from_numpy(_rng(seed).standard_normal((n, *shape, 2))))

    truth = prior.draw(white(0))
    y = operator.apply(truth + noise * white(1))
    x = truth + sigma * white(2)
    # Everything is diagonal in k-space, so that the posterior mean is a weighted mean of x, y and the prior's zero.
    c = torch.fft.fftshift(prior.spectrum)
    weight = 1 / c + 1 / sigma**2 + mask / noise**2
    exact = ifft((fft(x, (1, 2)) / sigma**2 + y / noise**2) / weight, (1, 2))
    guided = build(prior, Measurement(operator, y, noise))
    step = Step(0, sigma)
    estimate, _ = guided(x, step, {})
    shift = 0 if estimate.shift is None else estimate.shift  # a step to D_y alone: pull = 1
    return float(((estimate.denoised - shift - exact).abs() ** 2 / 2).mean().sqrt()) / STD


BIAS = {
    # sigma over the image's std: no guidance, Pi-GDM, DPS with a weight of 3, balanced with .1 and with 2.5
    0.03: (0.0061, 0.0000, 0.0617, 0.0060, 0.0026),
    0.1: (0.0497, 0.0005, 0.0170, 0.0481, 0.0116),
    0.3: (0.184, 0.020, 0.126, 0.173, 0.158),
    1.0: (0.450, 0.217, 0.414, 0.403, 1.74),
    3.0: (0.706, 1.90, 0.688, 0.667, 6.95),
    30.0: (0.846, 7.06, 0.845, 3.06, 74.7),
}


@pytest.mark.parametrize("ratio", sorted(BIAS))
def test_stated_bias_of_every_gradient(ratio: float) -> None:
    """States how far each D_y is from E[x0 | x, y]; docs/methods/hfs-sde.md shows the same figures."""
    sigma = ratio * STD
    builds: list[Callable[[StationaryGaussian, Measurement], Guided]] = [
        lambda prior, measurement: dps([prior], measurement, 0.0),
        lambda prior, measurement: pi_gdm([prior], measurement, STD),
        lambda prior, measurement: dps([prior], measurement, 3.0),
        lambda prior, measurement: balanced([prior], measurement, 0.1),
        lambda prior, measurement: balanced([prior], measurement, 2.5),
    ]
    for build, stated in zip(builds, BIAS[ratio], strict=True):
        assert _bias(build, sigma) == pytest.approx(stated, rel=0.02, abs=1e-4)
