"""The complex prior: units, the linear start and its expected error, planes of a volume."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from voxprior.errors import InputError
from voxprior.operators.base import Measurement
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.fourier import Fourier
from voxprior.operators.masks import make_mask
from voxprior.priors.complex import (
    CORNER,
    EXPONENT,
    PROCESS_STD,
    ComplexDenoiser,
    complex_denoiser,
    describe_coils,
    expected_error,
    explain,
    gaussian_image,
)
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.gaussian import power_law


def _prior() -> SlicePrior:
    torch.manual_seed(0)
    prior = SlicePrior(SlicePriorConfig(slab=2, halo=0, channels=(8, 8), blocks=(1, 1), image_std=0.3))
    torch.nn.init.normal_(prior.network.head.weight, std=0.05)
    return prior.eval().requires_grad_(False)


def _draw(shape: tuple[int, int], seed: int) -> torch.Tensor:
    """A draw of the process behind the linear reconstruction."""
    z = torch.view_as_complex(torch.randn(1, *shape, 2, generator=torch.Generator().manual_seed(seed)))
    root = power_law(shape, PROCESS_STD, EXPONENT, CORNER).sqrt().float()
    return torch.fft.ifft2(torch.fft.fft2(z) * root)


def _measured(x: torch.Tensor, sigma: float = 0.01) -> Measurement:
    shape = (int(x.shape[1]), int(x.shape[2]))
    keep = torch.from_numpy(make_mask("uniform", shape, 3, 10).keep)
    operator = Fourier(keep, torch.from_numpy(simulate_maps(shape, 4, np.random.default_rng(0))))
    y = operator.apply(x)
    noise = torch.view_as_complex(torch.randn(*y.shape, 2, generator=torch.Generator().manual_seed(9)))
    return Measurement(operator, (y + sigma * noise) * keep, sigma)


def test_the_linear_reconstruction_is_the_gaussian_posterior_mean() -> None:
    """On a small slice it equals C A'(A C A' + s^2)^-1 y by dense matrices, at enough iterations."""
    shape = (8, 10)
    keep = torch.from_numpy(make_mask("uniform", shape, 2, 4).keep)
    operator = Fourier(keep)
    x = _draw(shape, 1)
    sigma = 0.05
    y = operator.apply(x)
    eye = torch.eye(80, dtype=torch.complex64).reshape(80, *shape)
    a = operator.apply(eye).reshape(80, 80).T
    root = power_law(shape, PROCESS_STD, EXPONENT, CORNER).sqrt().float()
    c = torch.fft.ifft2(torch.fft.fft2(eye) * root**2).reshape(80, 80).T
    gain = c @ a.conj().T @ torch.linalg.inv(a @ c @ a.conj().T + sigma**2 * torch.eye(80))
    expected = (gain @ y.reshape(80)).reshape(shape)
    found = gaussian_image(Measurement(operator, y, sigma), 1.0)[0]
    assert float((found - expected).abs().max()) < 2e-3 * float(expected.abs().max())


def test_the_expected_error_is_that_of_a_draw_of_the_process() -> None:
    """For images of the process itself, error and expectation agree to a third (they share masks, coils and noise)."""
    x = _draw((64, 72), 3)
    measurement = _measured(x)
    m = gaussian_image(measurement, 1.0)
    error = float(torch.view_as_real(m - x).square().mean().sqrt())
    assert expected_error(measurement, 1.0) == pytest.approx(error, rel=0.33)
    worse = Measurement(measurement.operator, measurement.y, 0.1)
    assert expected_error(worse, 1.0) > 1.5 * expected_error(measurement, 1.0)


def test_ten_times_the_data_give_ten_times_the_start() -> None:
    """Scale, start and expected error follow the unit of the data; nothing else sets them."""
    x = _draw((48, 40), 4)
    one = _measured(x)
    ten = Measurement(one.operator, 10 * one.y, 0.1)
    a, b = explain(one), explain(ten)
    assert b.scale == pytest.approx(10 * a.scale, rel=1e-4) and b.spread == pytest.approx(10 * a.spread, rel=1e-3)
    assert torch.allclose(b.m, 10 * a.m, atol=1e-3 * float(b.m.abs().max()))


def test_the_denoiser_scales_with_its_image() -> None:
    """D_c(c x; c sigma) = c D(x; sigma)."""
    prior, x = _prior(), _draw((32, 40), 5)
    one, seven = complex_denoiser(prior, 1.0), complex_denoiser(prior, 7.0)
    assert torch.allclose(seven(7 * x, 0.7), 7 * one(x, 0.1), atol=1e-4)
    assert seven.sigma_range == (7 * prior.config.sigma_min, 7 * prior.config.sigma_max)


def test_samples_and_slices_do_not_see_each_other() -> None:
    """A volume is denoised slice by slice along the plane's axis, and each sample alone."""
    prior = _prior()
    volume = torch.stack([_draw((16, 20), s)[0] for s in range(12)]).reshape(2, 6, 16, 20)
    for plane in range(3):
        d = ComplexDenoiser(prior, 1.0, plane=plane)(volume, 0.1)
        cut = volume[1].movedim(plane, 0)[2]
        alone = complex_denoiser(prior, 1.0)(cut[None], 0.1)[0]
        assert torch.allclose(d[1].movedim(plane, 0)[2], alone, atol=1e-5)


def test_the_pullback_is_the_transpose_of_the_derivative() -> None:
    """<v, J u> by finite differences equals <J' v, u>."""
    d, x = complex_denoiser(_prior(), 1.0), _draw((16, 16), 6)
    u, v = _draw((16, 16), 7), _draw((16, 16), 8)
    _, back = d.pullback(x, 0.2, lambda _: v)
    forward = (d(x + 1e-3 * u, 0.2) - d(x - 1e-3 * u, 0.2)) / 2e-3
    one, two = ((a.conj() * b).real.sum() for a, b in ((v, forward), (back, u)))
    assert float(one) == pytest.approx(float(two), rel=2e-2)


def test_a_prior_of_real_slices_is_refused() -> None:
    """Weights of thick slices cannot denoise complex images, and the message says which can."""
    with pytest.raises(InputError, match="complex prior"):
        complex_denoiser(SlicePrior(SlicePriorConfig(channels=(8, 8), blocks=(1, 1))), 1.0)


def test_the_description_tells_measured_from_not() -> None:
    """Nothing measured is all zero; acceleration, coils and noise each show."""
    assert not describe_coils(None, 0, 0.0).any()
    base = describe_coils(4.0, 8, 0.01)
    for other in (describe_coils(8.0, 8, 0.01), describe_coils(4.0, 2, 0.01), describe_coils(4.0, 8, 0.02)):
        assert (other != base).any()
