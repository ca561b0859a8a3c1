"""The adaptive ODE solver against the closed form of a Gaussian, and the wrappers around a run."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.ode import flow
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import PREVIOUS, Counted, State, as_denoiser, sample, start
from voxprior.diffusion.schedule import SOLVERS, heun, karras, log_uniform, schedule
from voxprior.diffusion.snapshots import watched
from voxprior.errors import InputError
from voxprior.guidance.proximal import unguided
from voxprior.priors.gaussian import StationaryGaussian, power_law

SHAPE = (3, 4, 5)
TOP, BOTTOM = 20.0, 0.01
PRIOR = StationaryGaussian(torch.full((), 0.4, dtype=torch.float64), power_law(SHAPE, 0.5))


def _x(dtype: torch.dtype = torch.float64) -> Tensor:
    return TOP * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=dtype)


def _exact(x: Tensor, sigma: float) -> Tensor:
    gain = torch.sqrt((PRIOR.spectrum + sigma**2) / (PRIOR.spectrum + TOP**2))
    return PRIOR.mean + PRIOR.filter(x - PRIOR.mean, gain)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_error_is_what_was_allowed(tolerance: float) -> None:
    """Guards the right side, its variable and the tolerances: a tighter one gives a closer answer."""
    *_, last = flow(PRIOR, State(_x()), TOP, BOTTOM, tolerance, tolerance)
    assert float((last.x - _exact(_x(), BOTTOM)).abs().max()) < 20 * tolerance
    torch.testing.assert_close(last.memory[PREVIOUS], PRIOR(last.x, BOTTOM), rtol=1e-10, atol=1e-10)


def test_calls_are_counted_and_few() -> None:
    """Guards the cost: two calls at the start, six a step tried, and none for the answer."""
    counted = Counted(unguided([PRIOR]))
    states = list(flow(as_denoiser(counted), State(_x()), TOP, BOTTOM, 1e-3, 1e-3))
    assert counted.calls >= 2 + 6 * len(states) and (counted.calls - 2) % 6 == 0
    assert counted.calls < 120
    assert [s.index for s in states] == list(range(1, len(states) + 1))


def test_images_keep_their_type() -> None:
    """Guards complex and single-precision images: the solver works in float64, the denoiser sees what it knows."""
    real = PRIOR.spectrum.float()
    prior = StationaryGaussian(torch.zeros(()), real)
    for dtype in (torch.float32, torch.complex64):
        *_, last = flow(prior, State(_x(dtype)), TOP, BOTTOM, 1e-4, 1e-4)
        gain = torch.sqrt((real + BOTTOM**2) / (real + TOP**2))
        assert last.x.dtype == dtype
        torch.testing.assert_close(last.x, prior.filter(_x(dtype), gain), rtol=1e-2, atol=1e-3)


def test_a_denoiser_that_breaks_is_told() -> None:
    """Guards against an endless run where the denoiser is not a number."""

    class Broken:
        sigma_range = (0.0, math.inf)

        def __call__(self, x: Tensor, sigma: float) -> Tensor:
            return x * math.nan

        def pullback(self, x: Tensor, sigma: float, cotangent: object) -> tuple[Tensor, Tensor]:
            raise AssertionError

    with pytest.raises(RuntimeError, match="not finite"):
        list(flow(Broken(), State(_x()), TOP, BOTTOM, 1e-3, 1e-3))


@pytest.mark.parametrize(("samples", "top", "bottom"), [(2, 1.0, 0.1), (1, 0.1, 1.0), (1, 1.0, 0.0)])
def test_nonsense_is_refused(samples: int, top: float, bottom: float) -> None:
    """Guards a batch, in which the steps of one sample would depend on the others, and levels that do not fall."""
    with pytest.raises(InputError, match="falling"):
        next(flow(PRIOR, State(torch.zeros(samples, *SHAPE)), top, bottom, 1e-3, 1e-3))


@pytest.mark.parametrize("name", [*sorted(SOLVERS), "ode"])
def test_snapshots_of_every_sampler(name: str) -> None:
    """Guards the wrapper: the run is bitwise that without it, and each N-th estimate is shown."""
    if name == "ode":
        runs = [flow(PRIOR, State(_x()), TOP, BOTTOM, 1e-3, 1e-3) for _ in range(2)]
    else:
        steps, rng = schedule(karras(9, TOP, BOTTOM), SOLVERS[name]), SeededNoise(2)
        begin = start(torch.zeros(1, *SHAPE, dtype=torch.float64), steps, White(), rng)
        runs = [sample(unguided([PRIOR]), begin, steps, White(), rng) for _ in range(2)]
    shown: dict[int, Tensor] = {}
    plain, seen = list(runs[0]), list(watched(runs[1], 4, lambda i, x: shown.update({i: x})))
    assert torch.equal(plain[-1].x, seen[-1].x) and len(plain) == len(seen)
    assert list(shown) == [i for i in range(1, len(plain) + 1) if i % 4 == 0] and shown
    assert all(torch.equal(x, plain[i - 1].memory[PREVIOUS]) for i, x in shown.items())


def test_no_snapshots_unless_asked_for() -> None:
    """Guards the default, and a period that would divide by zero."""
    states = [State(_x(), i + 1, {PREVIOUS: _x()}) for i in range(5)]
    shown: list[int] = []
    assert len(list(watched(states, None, lambda i, x: shown.append(i)))) == 5 and not shown
    with pytest.raises(InputError, match="snapshot"):
        list(watched(states, 0, lambda i, x: None))


def test_calls_of_a_run_are_counted() -> None:
    """Guards the counter: Heun asks twice a level but the last, and counting changes nothing."""
    steps, rng = schedule(log_uniform(5, TOP, BOTTOM), heun), SeededNoise(2)
    begin = start(torch.zeros(1, *SHAPE, dtype=torch.float64), steps, White(), rng)
    counted = Counted(unguided([PRIOR]))
    *_, last = sample(counted, begin, steps, White(), rng)
    *_, plain = sample(unguided([PRIOR]), begin, steps, White(), rng)
    assert counted.calls == 9 and torch.equal(last.x, plain.x)
