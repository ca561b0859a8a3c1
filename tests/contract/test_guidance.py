"""Every guidance passes the same contract: a function of its arguments, with its memory in the open."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import PREVIOUS, Guided, State, sample, start
from voxprior.diffusion.schedule import Step, euler, karras, schedule
from voxprior.guidance.gradient import balanced, dps, pi_gdm
from voxprior.guidance.proximal import admm, dds, projection, proximal, unguided
from voxprior.guidance.variation import slice_variation
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.gaussian import StationaryGaussian, power_law
from voxprior.volume import SliceGeometry

SHAPE = (6, 5, 12)
PRIOR = StationaryGaussian(torch.zeros(()), power_law(SHAPE, 0.5))
OPERATOR = Separable.from_slices(SliceGeometry(2, 3, 4.0, 4.0, 12, 1.0), (6, 5, 3))

GUIDANCES: dict[str, Callable[[Measurement], Guided]] = {
    "unguided": lambda measurement: unguided([PRIOR]),
    "proximal": lambda measurement: proximal([PRIOR], measurement, 0.5),
    "admm": lambda measurement: admm([PRIOR], measurement),
    "projection": lambda measurement: projection([PRIOR], measurement),
    "dds": lambda measurement: dds([PRIOR], measurement, 0.1, 3),
    "slice variation": lambda measurement: slice_variation([PRIOR], measurement, 0.5, 3.0, 0),
    "dps": lambda measurement: dps([PRIOR], measurement, 0.3),
    "pi-gdm": lambda measurement: pi_gdm([PRIOR], measurement, 0.5),
    "balanced": lambda measurement: balanced([PRIOR], measurement, 2.5),
}


def _draw(seed: int, count: int = 2) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=sorted(GUIDANCES))
def guided(request: pytest.FixtureRequest) -> Guided:
    return GUIDANCES[request.param](Measurement(OPERATOR, OPERATOR.apply(_draw(9, 1)), 0.05))


def test_the_same_call_gives_the_same_answer(guided: Guided) -> None:
    """State hidden in a closure would make a resumed run differ; a second run over the same rows must not."""
    steps, process, rng = schedule(karras(6, 3.0, 0.05), euler), White(), SeededNoise(4)
    first = start(torch.zeros(2, *SHAPE, dtype=torch.float64), steps, process, rng)
    runs = [list(sample(guided, first, steps, process, rng)) for _ in range(2)]
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a.x, b.x)


def test_all_that_is_remembered_is_in_the_state(guided: Guided) -> None:
    """A run that goes on from a stored state, with a fresh guidance, ends where the whole run ends."""
    steps, process, rng = schedule(karras(6, 3.0, 0.05), euler), White(), SeededNoise(4)
    whole = list(sample(guided, State(_draw(1)), steps, process, rng))
    middle = whole[2]
    memory = {name: value.clone() for name, value in middle.memory.items()}
    later = list(sample(guided, State(middle.x.clone(), middle.index, memory), steps, process, rng))
    assert torch.equal(later[-1].memory[PREVIOUS], whole[-1].memory[PREVIOUS])


def test_each_sample_stands_alone(guided: Guided) -> None:
    """A norm over the whole batch, say, would tie samples together."""
    x = _draw(2)
    both, _ = guided(x, Step(0, 0.7), {})
    one, _ = guided(x[1:], Step(0, 0.7), {})
    assert torch.allclose(both.denoised[1:], one.denoised, atol=1e-12)


def test_the_input_is_left_as_it_is(guided: Guided) -> None:
    """Guards the caller's state against writing in place."""
    x = _draw(3)
    before = x.clone()
    estimate, _ = guided(x, Step(0, 0.7), {})
    assert torch.equal(x, before)
    assert estimate.prior.shape == estimate.denoised.shape == x.shape
