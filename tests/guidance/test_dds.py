"""Guidance by a few conjugate gradient steps: each lowers the quadratic, and the next row goes on from there."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import PREVIOUS, State, sample, start
from voxprior.diffusion.schedule import Step, euler, karras, schedule
from voxprior.errors import InputError
from voxprior.guidance.proximal import CORRECTION, dds, projection, proximal
from voxprior.operators.base import Measurement, conjugate_gradients
from voxprior.priors.gaussian import StationaryGaussian, power_law

SHAPE = (4, 5, 6)
LAM = 0.2
PRIOR = StationaryGaussian(torch.zeros((), dtype=torch.float64), power_law(SHAPE, 0.7))


def _draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128)


class Coils:
    """Fourier samples of an image behind three complex maps, written out as a dense complex matrix."""

    def __init__(self) -> None:
        n = math.prod(SHAPE)
        fourier = torch.fft.fftn(torch.eye(n).reshape(n, *SHAPE), dim=(1, 2, 3), norm="ortho").reshape(n, n).T
        keep = torch.randperm(n, generator=torch.Generator().manual_seed(1))[: n // 3]
        maps = _draw(2, 3, n)
        self.a = torch.cat([fourier.to(torch.complex128)[keep] * m for m in maps])

    def apply(self, x: Tensor) -> Tensor:
        return x.flatten(1).to(torch.complex128) @ self.a.T

    def adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.a.conj()).reshape(-1, *SHAPE)

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        normal = self.a.conj().T @ self.a + lam * torch.eye(self.a.shape[1])
        right = self.adjoint(y).flatten(1) + lam * d.flatten(1)
        solved: Tensor = torch.linalg.solve(normal, right.T)
        return solved.T.reshape(d.shape)


OPERATOR = Coils()
MEASUREMENT = Measurement(OPERATOR, OPERATOR.apply(_draw(3, 1, *SHAPE)), 0.1)


def _cost(u: Tensor, d: Tensor, y: Tensor) -> Tensor:
    misfit = (OPERATOR.apply(u) - y).abs() ** 2
    return misfit.sum(1) + LAM * ((u - d).abs() ** 2).flatten(1).sum(1)


@pytest.mark.parametrize("warm", [False, True])
def test_the_quadratic_falls_at_every_step(warm: bool) -> None:
    """Guards complex conjugate gradients: each step lowers the cost of every sample, down to the exact point's."""
    d, y = _draw(4, 2, *SHAPE), MEASUREMENT.y.expand(2, -1)
    first = d + 0.5 * _draw(5, 2, *SHAPE) if warm else d
    costs = [_cost(first, d, y)]
    for k in range(1, 13):
        costs.append(_cost(conjugate_gradients(OPERATOR, y, d, LAM, first if warm else None, k, 0.0).x, d, y))
    fall = -torch.stack(costs).diff(dim=0)
    assert bool((fall > 0).all())
    least = _cost(OPERATOR.prox(d, y, LAM), d, y)
    assert bool((costs[-1] - least < 1e-2 * (costs[0] - least)).all())


def _run(iterations: int) -> list[State]:
    steps, rng = schedule(karras(10, 3.0, 0.05), euler), SeededNoise(0)
    begin = start(torch.zeros(1, *SHAPE, dtype=torch.complex128), steps, White(), rng)
    return list(sample(dds([PRIOR], MEASUREMENT, LAM, iterations), begin, steps, White(), rng))


def test_the_steps_go_on_where_the_last_row_stopped() -> None:
    """Guards the warm start: along a run two steps from it are nearer to the exact point than two from D."""
    parts = []
    for state in _run(2)[1:]:
        d = state.memory[PREVIOUS] - state.memory[CORRECTION]
        exact = OPERATOR.prox(d, MEASUREMENT.y, LAM)
        cold = conjugate_gradients(OPERATOR, MEASUREMENT.y, d, LAM, None, 2).x
        parts.append(float((state.memory[PREVIOUS] - exact).norm() / (cold - exact).norm()))
    assert max(parts) < 1 and sum(parts) / len(parts) < 0.5


def test_many_steps_are_the_proximal_point() -> None:
    """Guards lam: with iterations enough the answer solves the normal equations."""
    x = _draw(6, 2, *SHAPE)
    estimate, _ = dds([PRIOR], MEASUREMENT, LAM, 200)(x, Step(0, 0.5), {})
    expected = OPERATOR.prox(PRIOR(x, 0.5), MEASUREMENT.y, LAM)
    torch.testing.assert_close(estimate.denoised, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(estimate.prior, PRIOR(x, 0.5))


def test_memory_survives_an_interruption() -> None:
    """Guards that the correction lives in the state and nowhere else."""
    whole = _run(2)
    middle = whole[4]
    assert set(middle.memory) == {CORRECTION, PREVIOUS}
    steps = schedule(karras(10, 3.0, 0.05), euler)
    later = State(middle.x, middle.index, dict(middle.memory))
    *_, last = sample(dds([PRIOR], MEASUREMENT, LAM, 2), later, steps, White(), SeededNoise(0))
    assert torch.equal(last.x, whole[-1].x)


def test_projection_ignores_the_noise() -> None:
    """Guards lam = 0: the answer is that of data without noise, whatever is said of it."""

    class Seen(Coils):
        def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
            assert lam == 0
            return d + self.adjoint(torch.linalg.lstsq(self.a @ self.a.conj().T, (y - self.apply(d)).T).solution.T)

    noisy = Measurement(Seen(), MEASUREMENT.y, 3.0)
    x = _draw(6, 1, *SHAPE)
    found, memory = projection([PRIOR], noisy)(x, Step(0, 0.5), {})
    plain, _ = proximal([PRIOR], Measurement(Seen(), MEASUREMENT.y, None), 0.7)(x, Step(0, 0.5), {})
    torch.testing.assert_close(found.denoised, plain.denoised, rtol=1e-7, atol=1e-7)
    assert not memory


@pytest.mark.parametrize(("lam", "iterations"), [(-1.0, 5), (math.nan, 5), (1.0, 0)])
def test_nonsense_is_refused(lam: float, iterations: int) -> None:
    """Guards a weight that turns the bowl over, and a solver that does nothing."""
    with pytest.raises(InputError, match="iterations"):
        dds([PRIOR], MEASUREMENT, lam, iterations)
