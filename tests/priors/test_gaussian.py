"""Analytic priors against dense algebra and against numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from voxprior.diffusion.denoiser import pullback
from voxprior.errors import InputError
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.gaussian import GaussianMixture, Posterior, StationaryGaussian, power_law

SHAPE = (3, 4, 5)
SIZE = math.prod(SHAPE)
SIGMAS = (0.05, 0.7, 10.0)
Matrix = NDArray[np.float64]


def _images(n: int = 2, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, *SHAPE)))


def _prior(exponent: float = 2.0, seed: int = 1) -> StationaryGaussian:
    return StationaryGaussian(_images(1, seed)[0], power_law(SHAPE, 1.3, exponent))


def _covariance(prior: StationaryGaussian) -> Matrix:
    """C from its spectrum by the definition: the inverse transform of the spectrum is one column of C, shifted."""
    column = np.real(np.fft.ifftn(prior.spectrum.numpy()))
    index = np.stack(np.unravel_index(np.arange(SIZE), SHAPE))
    shift = (index[:, :, None] - index[:, None, :]) % np.array(SHAPE)[:, None, None]
    return np.asarray(column[tuple(shift)])


def _measurement(sigma: float | Tensor | None) -> tuple[Measurement, Matrix]:
    rows = np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0.2, 0.3, 0.5]])
    operator = Separable({2: rows}, SHAPE)
    dense = operator.apply(torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)).flatten(1).T.numpy()
    return Measurement(operator, operator.apply(_images(1, 9)), sigma), dense


def test_voxels_have_the_std_that_was_asked() -> None:
    """Guards the scale of the spectrum, that it is even, and that C is symmetric and positive."""
    prior = _prior()
    c = _covariance(prior)
    np.testing.assert_allclose(np.diag(c), 1.3**2, rtol=1e-12)
    np.testing.assert_allclose(c, c.T, atol=1e-12)
    assert np.linalg.eigvalsh(c).min() > 0
    assert c[0, 1] > 0.1


@pytest.mark.parametrize("sigma", SIGMAS)
def test_denoiser_is_the_dense_formula(sigma: float) -> None:
    """Guards D = m + C (C + sigma^2)^-1 (x - m) and the variance of x0 given x."""
    prior, x = _prior(), _images()
    c, m = _covariance(prior), prior.mean.flatten().numpy()
    gain = c @ np.linalg.inv(c + sigma**2 * np.eye(SIZE))
    expected = m + (x.flatten(1).numpy() - m) @ gain.T
    np.testing.assert_allclose(prior(x, sigma).flatten(1).numpy(), expected, rtol=1e-10, atol=1e-10)
    spread = prior.filter(torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE), prior.variance(sigma))
    np.testing.assert_allclose(spread.flatten(1).numpy(), sigma**2 * gain, atol=1e-10)


def test_pullback_is_the_derivative() -> None:
    """Guards J' v, of the Gaussian by its own formula against autograd."""
    found = _prior().pullback(_images(), 0.7, lambda d: d**2)
    expected = pullback(_prior(), _images(), 0.7, lambda d: d**2)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_draws_have_the_covariance_of_the_prior() -> None:
    """Guards C^(1/2): it is exact, so one unit vector a voxel shows it without chance."""
    prior = _prior()
    root = (prior.draw(torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)) - prior.mean).flatten(1).numpy()
    np.testing.assert_allclose(root.T @ root, _covariance(prior), atol=1e-12)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_log_density_is_that_of_the_normal_law(sigma: float) -> None:
    """Guards the weights of mixtures, up to the term that all components share."""
    prior, x = _prior(), _images()
    law = stats.multivariate_normal(prior.mean.flatten().numpy(), _covariance(prior) + sigma**2 * np.eye(SIZE))
    shared = -SIZE / 2 * math.log(2 * math.pi * sigma**2)
    np.testing.assert_allclose(
        prior.log_density(x, sigma).numpy() + shared, law.logpdf(x.flatten(1).numpy()), rtol=1e-10
    )


def test_complex_images_keep_both_parts() -> None:
    """Guards complex images: real and imaginary part are denoised as two real images of one spectrum."""
    prior, x = StationaryGaussian(torch.zeros(SHAPE, dtype=torch.float64), _prior().spectrum), _images()
    d = prior(torch.complex(x, x.flip(1)), 0.5)
    torch.testing.assert_close(d.real, prior(x, 0.5))
    torch.testing.assert_close(d.imag, prior(x.flip(1), 0.5))


@pytest.mark.parametrize("sigma", [*SIGMAS, math.inf])
@pytest.mark.parametrize("noise", [0.1, 2.0])
def test_posterior_is_the_dense_formula(sigma: float, noise: float) -> None:
    """Guards the oracle of every guidance, in the other form: precisions add up."""
    prior, x = _prior(), _images()
    measurement, a = _measurement(noise)
    c, m = np.linalg.inv(_covariance(prior)), prior.mean.flatten().numpy()
    precision = c + np.eye(SIZE) / sigma**2 + a.T @ a / noise**2
    y = measurement.y.flatten().numpy()
    right = c @ m + x.flatten(1).numpy() / sigma**2 + a.T @ y / noise**2
    expected = np.linalg.solve(precision, right.T).T
    found = Posterior(prior, measurement)(x, sigma).flatten(1).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_posterior_without_noise_fits_the_data() -> None:
    """Guards the limit of exact data."""
    measurement, _ = _measurement(None)
    d = Posterior(_prior(), measurement)(_images(), 0.7)
    torch.testing.assert_close(measurement.operator.apply(d), measurement.y.expand(2, *measurement.y.shape[1:]))


def test_posterior_takes_a_noise_level_a_datum() -> None:
    """Guards uneven noise: a datum of infinite noise counts as not measured."""
    measurement, _ = _measurement(None)
    noise = torch.full(measurement.y.shape[1:], 0.3, dtype=torch.float64)
    noise[..., 1] = 1e8
    uneven = Measurement(measurement.operator, measurement.y, noise)
    assert isinstance(measurement.operator, Separable)
    first = Separable({2: measurement.operator.matrices[2][:1]}, SHAPE)
    alone = Measurement(first, measurement.y[..., :1], 0.3)
    found, expected = (Posterior(_prior(), m)(_images(), 0.7) for m in (uneven, alone))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_posterior_refuses_complex_data() -> None:
    """Guards against a covariance that ignores the imaginary part."""
    measurement, _ = _measurement(0.1)
    with pytest.raises(InputError, match="complex"):
        Posterior(_prior(), Measurement(measurement.operator, measurement.y.to(torch.complex128), 0.1))


def _voxels() -> tuple[GaussianMixture, list[tuple[float, float, float]]]:
    """A mixture on a single voxel, and its (weight, mean, variance)."""
    parts = [(0.2, -1.5, 0.1), (0.5, 0.3, 0.02), (0.3, 2.0, 0.8)]
    components = [
        StationaryGaussian(torch.full((1, 1, 1), m, dtype=torch.float64), torch.full((1, 1, 1), v, dtype=torch.float64))
        for _, m, v in parts
    ]
    return GaussianMixture(tuple(components), tuple(w for w, _, _ in parts)), parts


def _integrated(parts: list[tuple[float, float, float]], likelihood: Matrix, grid: Matrix) -> float:
    density = sum(w * stats.norm.pdf(grid, m, math.sqrt(v)) for w, m, v in parts) * likelihood
    return float((density * grid).sum() / density.sum())


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("x", [-2.0, -0.6, 0.1, 1.1, 3.0])
def test_mixture_is_the_integral(x: float, sigma: float) -> None:
    """Guards D of the mixture, and D_y under a measurement, against sums over a fine grid."""
    mixture, parts = _voxels()
    grid = np.linspace(-10, 12, 400001)
    state = torch.full((1, 1, 1, 1), x, dtype=torch.float64)
    noisy = stats.norm.pdf(x, grid, sigma)
    assert float(mixture(state, sigma)) == pytest.approx(_integrated(parts, noisy, grid), rel=1e-7)
    measurement = Measurement(
        Separable({0: np.array([[2.0]])}, (1, 1, 1)), torch.full((1, 1, 1, 1), 1.0, dtype=torch.float64), 0.6
    )
    both = noisy * stats.norm.pdf(1.0, 2 * grid, 0.6)
    found = float(Posterior(mixture, measurement)(state, sigma))
    assert found == pytest.approx(_integrated(parts, both, grid), rel=1e-7)


def test_mixture_of_images_weighs_by_their_density() -> None:
    """Guards the shares on a volume: x near a component's mean gets that component's estimate."""
    one, two = _prior(2.0, 1), StationaryGaussian(_images(1, 1)[0] + 9, power_law(SHAPE, 1.3, 0.0))
    mixture = GaussianMixture((one, two), (0.5, 0.5))
    x = torch.stack([one.mean, two.mean])
    torch.testing.assert_close(mixture(x, 0.3), x, rtol=1e-9, atol=1e-9)
    same = GaussianMixture((one, one), (0.1, 0.9))
    torch.testing.assert_close(same(_images(), 0.3), one(_images(), 0.3), rtol=1e-12, atol=1e-12)


def test_derivatives_of_mixture_and_posterior_give_the_covariance() -> None:
    """Guards pullback through the shares: sigma^2 dD/dx is the variance of x0 given x (second-order Tweedie)."""
    mixture, parts = _voxels()
    grid, sigma, x = np.linspace(-10, 12, 400001), 0.7, 1.1
    density = sum(w * stats.norm.pdf(grid, m, math.sqrt(v)) for w, m, v in parts) * stats.norm.pdf(x, grid, sigma)
    density = density / density.sum()
    variance = (density * grid**2).sum() - (density * grid).sum() ** 2
    state = torch.full((1, 1, 1, 1), x, dtype=torch.float64)
    _, slope = mixture.pullback(state, sigma, torch.ones_like)
    assert sigma**2 * float(slope) == pytest.approx(variance, rel=1e-7)
    posterior = Posterior(_prior(), _measurement(0.3)[0])
    columns = torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)
    _, rows = posterior.pullback(_images(1).expand(SIZE, *SHAPE), 0.7, lambda _: columns)
    a = _measurement(0.3)[1]
    expected = np.linalg.inv(np.linalg.inv(_covariance(_prior())) + np.eye(SIZE) / 0.49 + a.T @ a / 0.09)
    np.testing.assert_allclose(0.49 * rows.flatten(1).numpy(), expected, atol=1e-8)


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.6), (1.5, -0.5)])
def test_mixture_weights_are_probabilities(weights: tuple[float, ...]) -> None:
    """Guards against weights that do not fit or do not sum to 1."""
    with pytest.raises(InputError, match="weights"):
        GaussianMixture((_prior(), _prior()), weights)
