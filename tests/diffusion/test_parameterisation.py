"""Networks of every parameterisation against the analytic denoiser that they stand for."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from voxprior.diffusion.parameterisation import Converted, Form, Rescaled, from_clean, to_clean
from voxprior.diffusion.path import Cosine, CosineProduct, Ddpm, Edm, Path, VarianceExploding, VariancePreserving
from voxprior.errors import InputError
from voxprior.priors.gaussian import GaussianMixture, StationaryGaussian, power_law

FORMS: tuple[Form, ...] = get_args(Form)
PATHS: dict[str, Path] = {
    "ve": VarianceExploding(0.01, 378.0),
    "vp": VariancePreserving(),
    "cosine": Cosine(),
    "ddpm": Ddpm(),
    "cosine product": CosineProduct(),
    "edm": Edm(),
}
SHAPE = (3, 4, 5)
SIGMAS = (0.02, 0.3, 2.0, 12.0)
ONE = StationaryGaussian(torch.full((), 0.4, dtype=torch.float64), power_law(SHAPE, 0.5))
PRIOR = GaussianMixture((ONE, StationaryGaussian(-ONE.mean, power_law(SHAPE, 0.3, 1.0))), (0.3, 0.7))


def _draw(seed: int) -> Tensor:
    return torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("form", FORMS)
@given(a=st.floats(1e-3, 1.0), b=st.floats(1e-3, 100.0))
def test_there_and_back(form: Form, a: float, b: float) -> None:
    """Guards the conversions as exact inverses of each other, on any path."""
    clean, x_t = _draw(0), _draw(1)
    again = to_clean(form, from_clean(form, clean, x_t, a, b, 0.5), x_t, a, b, 0.5)
    # What cancels is x_t/a: rounding grows with it.
    torch.testing.assert_close(again, clean, rtol=0, atol=1e-13 * max(1.0, 1 / a, b / a))


@pytest.mark.parametrize("form", FORMS)
def test_predictions_are_what_their_names_say(form: Form) -> None:
    """Guards the definitions: from the true image and noise each form gives its own quantity."""
    x0, z, a, b = _draw(0), _draw(1), 0.8, 0.6
    expected = {
        "clean": x0,
        "noise": z,
        "velocity": a * z - b * x0,
        "score": -z / b,
        "edm": (x0 - 0.25 / (0.75**2 + 0.25) * (x0 + 0.75 * z)) / (0.75 * 0.5 / math.sqrt(0.75**2 + 0.25)),
    }
    found = from_clean(form, x0, a * x0 + b * z, a, b, 0.5)
    torch.testing.assert_close(found, expected[form], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", sorted(PATHS))
def test_a_network_of_any_kind_is_the_same_denoiser(name: str, form: Form) -> None:
    """Guards the frame: path, label and form drop out, and D(x, sigma) of the prior is left, derivative too."""
    path = PATHS[name]

    def network(x_t: Tensor, label: float) -> Tensor:
        t = label / 999
        a, b = path.a(t), path.b(t)
        return from_clean(form, PRIOR(x_t / a, b / a), x_t, a, b, 0.5)

    d = Converted(network, path, form, (0.01, 150.0), lambda t: 999 * t, 0.5)
    x, v = _draw(2), _draw(3)
    for sigma in SIGMAS:
        value, gradient = d.pullback(x, sigma, lambda _: v)
        expected, slope = PRIOR.pullback(x, sigma, lambda _: v)
        torch.testing.assert_close(d(x, sigma), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-8)


def test_labels_stay_within_the_training() -> None:
    """Guards a network against labels that it has never seen; the noise in x is still the true one."""
    labels: list[float] = []

    def network(x_t: Tensor, label: float) -> Tensor:
        labels.append(label)
        return torch.zeros_like(x_t)

    path = VariancePreserving()
    d = Converted(network, path, "clean", (0.05, 20.0))
    for sigma in (1e-3, 0.05, 20.0, 100.0):
        d(_draw(0), sigma)
    assert labels[0] == labels[1] == path.t(0.05) and labels[2] == labels[3] == path.t(20.0)


@pytest.mark.parametrize("offset", [0.0, -3.0])
@pytest.mark.parametrize("scale", [1e-3, 255.0])
def test_other_intensities(scale: float, offset: float) -> None:
    """Guards the change of units: sigma is converted with the image, and the derivative is that of the new D."""
    d, x, v = Rescaled(PRIOR, scale, offset), _draw(0), _draw(1)
    for sigma in SIGMAS:
        expected, slope = PRIOR.pullback(x, sigma, lambda _: v)
        u = scale * x + offset
        value, gradient = d.pullback(u, scale * sigma, lambda _: v)
        torch.testing.assert_close(d(u, scale * sigma), scale * expected + offset, rtol=1e-10, atol=1e-10 * scale)
        torch.testing.assert_close(value, scale * expected + offset, rtol=1e-10, atol=1e-10 * scale)
        torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-10)


def test_range_of_noise_is_in_the_new_units() -> None:
    """Guards where D can be trusted after a change of units."""
    inner = Converted(lambda x, t: x, Edm(), "clean", (0.01, 80.0))
    assert Rescaled(inner, 100.0).sigma_range == (1.0, 8000.0)


def test_nonsense_is_refused() -> None:
    """Guards form edm without the std that its numbers need, and a scale of zero."""
    with pytest.raises(InputError, match="std"):
        to_clean("edm", _draw(0), _draw(1), 1.0, 1.0)
    with pytest.raises(InputError, match="scale"):
        Rescaled(PRIOR, 0.0)
