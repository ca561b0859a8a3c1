"""Every denoiser passes the same contract: pure, each sample on its own, with a true derivative."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from volume_priors import live
from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.parameterisation import Converted
from voxprior.diffusion.path import VariancePreserving
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.bound import BoundPrior
from voxprior.priors.gaussian import StationaryGaussian, power_law
from voxprior.priors.plain import unconditional
from voxprior.priors.planes import Slabs, averaged, slicewise
from voxprior.priors.volume_bound import BoundVolume
from voxprior.priors.weights import load
from voxprior.volume import SliceGeometry

SHAPE = (12, 10, 15)
SIGMAS = (0.03, 0.4, 3.0)


def _blur(slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
    """A nonlinear stand-in for a network that looks at its neighbours."""
    inner = slabs[:, 1:-1]
    return torch.tanh((slabs[:, :-2] + 2 * inner + slabs[:, 2:]) / (4 + sigma)) + inner.roll(1, -1) / 9


def _bound() -> Denoiser:
    slices = SliceGeometry(2, 3, 5.0, 5.0, SHAPE[2], 1.0)
    operator = Separable.from_slices(slices, (*SHAPE[:2], 3))
    truth = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(5)) + 0.2
    affine = torch.eye(4, dtype=torch.float64).numpy()
    prior = load().prior
    return BoundPrior(prior, Measurement(operator, operator.apply(truth), None, affine)).denoiser(0)


def _volume() -> Denoiser:
    slices = SliceGeometry(2, 3, 5.0, 5.0, SHAPE[2], 1.0)
    operator = Separable.from_slices(slices, (*SHAPE[:2], 3))
    truth = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(5)) + 0.2
    affine = torch.eye(4, dtype=torch.float64).numpy()
    prior = live(tile=(2, 8, 8), overlap=(1, 4, 4))
    return BoundVolume(prior, Measurement(operator, operator.apply(truth), None, affine)).denoiser()


DENOISERS: dict[str, Callable[[], Denoiser]] = {
    "gaussian": lambda: StationaryGaussian(torch.zeros(()), power_law(SHAPE, 0.5)),
    "slicewise": lambda: slicewise(_blur, Slabs(1, 2, slab=2, halo=1), (0.01, 10.0)),
    "averaged": lambda: averaged(
        [slicewise(_blur, Slabs(a, 2, slab=3, halo=1), (0.01, 10.0)) for a in (0, 1)], [0.3, 0.7]
    ),
    "slice prior": _bound,
    "volume prior": _volume,
    "slice prior alone": lambda: unconditional(load().prior, SHAPE, 1, scale=0.8),
    "network of noise": lambda: Converted(
        lambda x, t: torch.tanh(x / (1 + t)), VariancePreserving(), "noise", (0.01, 10.0)
    ),
}


@pytest.fixture(params=sorted(DENOISERS))
def denoiser(request: pytest.FixtureRequest) -> Denoiser:
    return DENOISERS[request.param]()


def _draw(seed: int) -> Tensor:
    return torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_it_is_pure_and_treats_each_sample_alone(denoiser: Denoiser, sigma: float) -> None:
    """A denoiser that remembers, writes into its input, or mixes samples makes runs depend on their batch."""
    x = _draw(0)
    before = x.clone()
    with torch.no_grad():
        first, again = denoiser(x, sigma), denoiser(x, sigma)
        alone = denoiser(x[1:2], sigma)
    assert first.shape == x.shape and torch.isfinite(first).all()
    assert torch.equal(x, before) and torch.equal(first, again)
    assert torch.allclose(alone[0], first[1], atol=1e-5 * float(first.abs().max()))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_pullback_is_the_derivative(denoiser: Denoiser, sigma: float) -> None:
    """A wrong J' would bend every gradient guidance; compared with a central difference along one direction."""
    x, direction, v = _draw(1), _draw(2), _draw(3)
    direction /= direction.norm()
    d, gradient = denoiser.pullback(x, sigma, lambda _: v)
    h = 0.1 * min(1.0, sigma)
    with torch.no_grad():
        assert torch.allclose(d, denoiser(x, sigma), atol=1e-5 * float(d.abs().max()))
        slope = ((denoiser(x + h * direction, sigma) - denoiser(x - h * direction, sigma)) / (2 * h) * v).sum()
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=0.02, abs=2e-3 * float(v.norm()))


def test_the_range_of_noise_is_stated(denoiser: Denoiser) -> None:
    """Guards against a walk into noise levels that the denoiser has never seen."""
    low, high = denoiser.sigma_range
    assert 0 <= low < high <= math.inf
