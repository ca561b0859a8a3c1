"""The loop: resume, batches, scale, Langevin rows, and autograd."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, pullback
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import PREVIOUS, Estimate, State, as_denoiser, sample, start
from voxprior.diffusion.schedule import SOLVERS, Step, alternating, euler, karras, reverse_sde, schedule
from voxprior.guidance.proximal import unguided

SHAPE = (4, 5, 3)


@dataclass(frozen=True)
class Shrink:
    """A nonlinear denoiser, each voxel on its own; ``unit`` is the intensity of an image."""

    unit: float = 1.0
    sigma_range: tuple[float, float] = (0.0, math.inf)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return self.unit * torch.tanh(x / (self.unit + sigma))

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        return pullback(self, x, sigma, cotangent)


def _run(
    steps: Sequence[Step], samples: int = 3, first: int = 0, unit: float = 1.0, dtype: torch.dtype = torch.float32
) -> list[State]:
    process, rng = White(first), SeededNoise(2)
    begin = start(torch.zeros(samples, *SHAPE, dtype=dtype), steps, process, rng)
    return list(sample(unguided([Shrink(unit), Shrink(2 * unit)]), begin, steps, process, rng))


def _steps(name: str, unit: float = 1.0) -> tuple[Step, ...]:
    grid = tuple(unit * s for s in karras(8, 4.0, 0.05))
    return schedule(grid, SOLVERS[name], alternating(2), snr=None if name == "dpm++2m" else 0.2)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_resume_equals_uninterrupted(name: str) -> None:
    """Guards that a state holds everything: stopped anywhere and taken up again, the run is bitwise the same."""
    steps = _steps(name)
    whole = _run(steps)
    for stop in (0, 3, len(steps) - 2):
        kept = whole[stop]
        copy = State(kept.x.clone(), kept.index, {k: v.clone() for k, v in kept.memory.items()})
        rest = list(sample(unguided([Shrink(), Shrink(2)]), copy, steps, White(), SeededNoise(2)))
        assert len(rest) == len(steps) - 1 - stop
        assert torch.equal(rest[-1].x, whole[-1].x)
        assert torch.equal(rest[-1].memory[PREVIOUS], whole[-1].memory[PREVIOUS])


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_samples_do_not_depend_on_the_batch(name: str) -> None:
    """Guards TPDM's defect: a norm over the batch made the strength of a step depend on the batch size."""
    steps = _steps(name)
    whole = _run(steps, samples=5)[-1].x
    assert torch.equal(whole[3:], _run(steps, samples=2, first=3)[-1].x)


@pytest.mark.parametrize("unit", [1e-3, 10.0])
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_result_scales_with_the_intensities(name: str, unit: float) -> None:
    """Guards against weights in arbitrary units: image and noise times c give the result times c."""
    one = _run(_steps(name), dtype=torch.float64)[-1].x
    scaled = _run(_steps(name, unit), unit=unit, dtype=torch.float64)[-1].x
    torch.testing.assert_close(scaled, unit * one, rtol=1e-11, atol=1e-12 * unit)


def test_answer_is_the_last_clean_estimate() -> None:
    """Guards what the caller reads: after the last row state and memory agree."""
    states = _run(_steps("euler"))
    assert torch.equal(states[-1].x, states[-1].memory[PREVIOUS])
    assert [s.index for s in states] == list(range(1, len(states) + 1))


def test_start_is_the_point_with_noise_of_its_own() -> None:
    """Guards the first state's std (one at sigma_max 5 was published) and that its noise is not row 0's again."""
    steps, point = schedule((5.0, 1.0, 0.0), reverse_sde), torch.full((2, 30, 30, 30), 7.0)
    begin = start(point, steps, White(), SeededNoise(0))
    z = (begin.x - point) / 5
    assert begin.index == 0 and abs(float(z.std()) - 1) < 4.5 / math.sqrt(2 * z.numel())
    assert abs(float((z * White().noise(SeededNoise(0), point, steps[0])).mean())) < 4.5 / math.sqrt(z.numel())


def test_langevin_row_is_the_formula_a_sample() -> None:
    """Guards the corrector, with norms of whole samples: of the prior's score, the pull towards D_y, fresh noise."""
    x = torch.randn(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x[1] *= 50
    step = Step(0, 0.7, stage="correct", snr=0.16)

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        return Estimate(0.5 * x, 0.25 * x + 1), {}

    (state,) = sample(guided, State(x), [step], White(), SeededNoise(4))
    z = White().noise(SeededNoise(4), x, step)
    for k in range(2):
        score = (0.5 * x[k] - x[k]) / 0.7**2
        e = 2 * (0.16 * z[k].norm() / score.norm()) ** 2
        expected = x[k] + e * (0.25 * x[k] + 1 - x[k]) / 0.7**2 + torch.sqrt(2 * e) * z[k]
        torch.testing.assert_close(state.x[k], expected, rtol=1e-12, atol=1e-12)


def test_langevin_row_without_a_score_stays() -> None:
    """Guards 0/0: where the prior has nothing to say the step is zero, not NaN."""
    x = torch.ones(1, *SHAPE)
    guided = unguided([_identity])
    (state,) = sample(guided, State(x), [Step(0, 0.5, stage="correct", snr=0.1)], White(), SeededNoise(0))
    assert torch.equal(state.x, x)


class _Identity:
    sigma_range = (0.0, math.inf)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return x

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        return x, cotangent(x)


_identity = _Identity()


def test_shift_is_taken_off_the_state() -> None:
    """Guards published DPS, whose displacement is no part of the clean estimate."""

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        return Estimate(0.5 * x, 0.5 * x, torch.full_like(x, 3.0)), {"count": torch.ones(1)}

    (state,) = sample(guided, State(torch.ones(1, 4)), [Step(0, 1.0, 0.5, 0.5)], White(), SeededNoise(0))
    assert torch.equal(state.x, torch.full((1, 4), 0.5 + 0.25 - 3))
    assert set(state.memory) == {"count", PREVIOUS}


def test_process_has_the_last_word() -> None:
    """Guards the hook of sub-space diffusion: proposal, old state and clean estimate arrive as they are named."""

    class Half(White):
        def confine(self, new: Tensor, old: Tensor, clean: Tensor, step: Step) -> Tensor:
            return torch.cat([clean[:, :2], old[:, 2:3], new[:, 3:]], dim=1)

    x = torch.ones(1, 4)
    (state,) = sample(unguided([Shrink()]), State(x), schedule((1.0, 0.5, 0.0), euler)[:1], Half(), SeededNoise(0))
    d = float(torch.tanh(torch.tensor(0.5)))
    torch.testing.assert_close(state.x, torch.tensor([[d, d, 1.0, 0.5 + 0.5 * d]]))


def test_loop_runs_without_autograd_and_leaves_it_on_outside() -> None:
    """Guards memory (no graph is kept) and the caller: between two states gradients still work."""
    steps = _steps("heun")
    weight = torch.ones((), requires_grad=True)

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        assert not torch.is_grad_enabled()
        return Estimate(weight * x, weight * x), {}

    for state in sample(guided, State(torch.ones(1, 4)), steps, White(), SeededNoise(0)):
        assert torch.is_grad_enabled()
        assert not state.x.requires_grad


def test_as_denoiser_answers_for_one_plane_and_differentiates() -> None:
    """Guards the door for tests and for distillation: D_y at any (x, sigma), and J' v against finite differences."""
    d = as_denoiser(unguided([Shrink(), Shrink(2)]), plane=1)
    x = torch.linspace(-2, 2, 6, dtype=torch.float64)[None]
    assert torch.equal(d(x, 0.5), Shrink(2)(x, 0.5))
    with torch.no_grad():
        value, gradient = d.pullback(x, 0.5, lambda out: out**2)
    slope = (Shrink(2)(x + 1e-6, 0.5) - Shrink(2)(x - 1e-6, 0.5)) / 2e-6
    assert torch.equal(value, Shrink(2)(x, 0.5)) and not value.requires_grad
    torch.testing.assert_close(gradient, slope * value**2, rtol=1e-7, atol=1e-9)
