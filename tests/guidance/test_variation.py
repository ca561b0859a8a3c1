"""Total variation along the slice axis: against closed forms, against its own cost, and in a run."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import PREVIOUS, State, sample, start
from voxprior.diffusion.schedule import Step, euler, karras, reverse_sde, schedule
from voxprior.errors import InputError
from voxprior.guidance.proximal import posterior_variance, proximal
from voxprior.guidance.variation import PULL, slice_variation
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.gaussian import StationaryGaussian, power_law
from voxprior.priors.planes import Slabs, slicewise

SHAPE = (3, 4, 12)
STD, SIGMA = 0.8, 0.5
R2 = posterior_variance(SIGMA, STD)
THICK = Separable({2: np.kron(np.eye(4), np.full((1, 3), 1 / 3))}, SHAPE)


class Identity:
    """The prior that leaves x as it is, so that D is chosen by the test."""

    sigma_range = (0.0, math.inf)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return x

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        return x, cotangent(x)


def _draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _blind(sigma: float | None = 1.0) -> Measurement:
    """A measurement that sees nothing: a matrix of zeros."""
    return Measurement(Separable({2: np.zeros((1, SHAPE[2]))}, SHAPE), torch.zeros(1, 3, 4, 1).double(), sigma)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_step_is_lowered_from_both_sides(axis: int) -> None:
    """Guards weight and axis: of a step of height 1 each side moves by r^2 weight over its number of slices."""
    n, weight = SHAPE[axis], 0.4
    k = n // 3
    place = torch.arange(n).reshape([-1 if a == axis else 1 for a in range(3)])
    x = (place >= k).double().expand(SHAPE)[None]
    estimate, _ = slice_variation([Identity()], _blind(), STD, weight, axis, 1000)(x, Step(0, SIGMA), {})
    low, high = R2 * weight / k, 1 - R2 * weight / (n - k)
    torch.testing.assert_close(estimate.denoised, low + (high - low) * x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sigma_y", [None, 0.2])
def test_many_sweeps_end_in_the_minimum(sigma_y: float | None) -> None:
    """Guards the whole cost, data and noise included: no neighbour of the answer that fits the data is cheaper."""
    y, d, weight = THICK.apply(_draw(1, 1, *SHAPE)), _draw(2, 1, *SHAPE), 0.7
    measurement = Measurement(THICK, y, sigma_y)
    estimate, memory = slice_variation([Identity()], measurement, STD, weight, 2, 6000)(d, Step(0, SIGMA), {})

    def cost(u: Tensor) -> float:
        misfit = 0.0 if sigma_y is None else float(((THICK.apply(u) - y) ** 2).sum()) / (2 * sigma_y**2)
        return misfit + float(((u - d) ** 2).sum()) / (2 * R2) + weight * float(u.diff(dim=3).abs().sum())

    best = cost(estimate.denoised)
    assert float(memory[PULL].abs().max()) <= weight * (1 + 1e-12)
    for k in range(60):
        step = _draw(100 + k, 1, *SHAPE) * 10.0 ** -(k % 4)
        if sigma_y is None:  # stay on the images that explain the data
            step = step - THICK.prox(torch.zeros_like(step), THICK.apply(step), 0.0)
        assert cost(estimate.denoised + step) >= best - 1e-9
    if sigma_y is None:
        torch.testing.assert_close(THICK.apply(estimate.denoised), y)


def test_a_sweep_a_row_gets_there_too() -> None:
    """Guards the warm start: with x held, rows of one sweep end where many sweeps of one row do."""
    measurement, x = Measurement(THICK, THICK.apply(_draw(1, 1, *SHAPE)), 0.2), _draw(2, 1, *SHAPE)
    whole, _ = slice_variation([Identity()], measurement, STD, 0.7, 2, 400)(x, Step(0, SIGMA), {})
    single = slice_variation([Identity()], measurement, STD, 0.7, 2)
    memory: Mapping[str, Tensor] = {}
    for i in range(400):
        estimate, kept = single(x, Step(i, SIGMA), memory)
        memory = {**kept, PREVIOUS: estimate.denoised}
    torch.testing.assert_close(estimate.denoised, whole.denoised, rtol=1e-12, atol=1e-12)


def test_without_weight_it_is_proximal() -> None:
    """Guards the special case, bitwise."""
    measurement, x = Measurement(THICK, THICK.apply(_draw(1, 1, *SHAPE)), 0.2), _draw(2, 2, *SHAPE)
    plain, _ = proximal([Identity()], measurement, STD)(x, Step(0, SIGMA), {})
    none, _ = slice_variation([Identity()], measurement, STD, 0.0, 2)(x, Step(0, SIGMA), {})
    assert torch.equal(none.denoised, plain.denoised)


def test_complex_images_shrink_by_their_magnitude() -> None:
    """Guards the cut of the dual: a turn of the phase of the image turns the answer and nothing else."""
    x, turn = _draw(2, 1, *SHAPE), complex(math.cos(0.7), math.sin(0.7))
    guided = slice_variation([Identity()], _blind(), STD, 0.5, 2, 20)
    real, _ = guided(x, Step(0, SIGMA), {})
    measurement = Measurement(_blind().operator, torch.zeros(1, 3, 4, 1, dtype=torch.complex128), 1.0)
    turned, _ = slice_variation([Identity()], measurement, STD, 0.5, 2, 20)(turn * x, Step(0, SIGMA), {})
    torch.testing.assert_close(turned.denoised, turn * real.denoised, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("unit", [1e-3, 256.0])
def test_it_scales_with_the_intensities(unit: float) -> None:
    """Guards the unit of the weight: one over that of the image."""
    y, x = THICK.apply(_draw(1, 1, *SHAPE)), _draw(2, 1, *SHAPE)
    one, _ = slice_variation([Identity()], Measurement(THICK, y, 0.2), STD, 0.7, 2, 5)(x, Step(0, SIGMA), {})
    scaled, _ = slice_variation([Identity()], Measurement(THICK, unit * y, unit * 0.2), unit * STD, 0.7 / unit, 2, 5)(
        unit * x, Step(0, unit * SIGMA), {}
    )
    torch.testing.assert_close(scaled.denoised, unit * one.denoised, rtol=1e-10, atol=1e-10 * unit)


def test_memory_survives_an_interruption() -> None:
    """Guards that the dual lives in the state and nowhere else."""
    guided = slice_variation([Identity()], Measurement(THICK, THICK.apply(_draw(1, 1, *SHAPE)), 0.2), STD, 0.7, 2)
    steps, rng = schedule(karras(6, 3.0, 0.1), euler), SeededNoise(0)
    begin = start(torch.zeros(1, *SHAPE, dtype=torch.float64), steps, White(), rng)
    whole = list(sample(guided, begin, steps, White(), rng))
    middle = whole[2]
    assert set(middle.memory) == {PULL, PREVIOUS}
    *_, last = sample(guided, State(middle.x, middle.index, dict(middle.memory)), steps, White(), rng)
    assert torch.equal(last.x, whole[-1].x)


def test_slices_restored_alone_become_neighbours() -> None:
    """Guards the purpose: with the penalty the slices that one plane makes differ less, and the data still fit."""
    shape = (10, 12, 12)
    flat = StationaryGaussian(torch.zeros((), dtype=torch.float64), power_law((12, 12), 0.5))
    prior = slicewise(lambda slabs, sigma, start, k: flat(slabs[:, 0], sigma)[:, None], Slabs(0, 1), (0.0, math.inf))
    operator = Separable({2: np.kron(np.eye(4), np.full((1, 3), 1 / 3))}, shape)
    truth = StationaryGaussian(torch.zeros((), dtype=torch.float64), power_law(shape, 0.5)).draw(_draw(4, 1, *shape))
    measurement = Measurement(operator, operator.apply(truth), None)
    jitter = []
    for weight in (0.0, 20.0):
        steps, rng = schedule(karras(20, 10.0, 0.02), reverse_sde), SeededNoise(3)
        begin = start(torch.zeros(1, *shape, dtype=torch.float64), steps, White(), rng)
        *_, last = sample(slice_variation([prior], measurement, 0.5, weight, 0), begin, steps, White(), rng)
        torch.testing.assert_close(operator.apply(last.x), measurement.y)
        jitter.append(float(last.x.diff(dim=1).abs().mean()))
    assert jitter[1] < 0.8 * jitter[0]


@pytest.mark.parametrize(
    ("std", "weight", "axis", "sweeps"), [(0.0, 1.0, 0, 1), (1.0, -1.0, 0, 1), (1.0, 1.0, -1, 1), (1.0, 1.0, 0, 0)]
)
def test_nonsense_is_refused(std: float, weight: float, axis: int, sweeps: int) -> None:
    """Guards numbers that would divide by zero, or penalise steps between samples."""
    with pytest.raises(InputError, match="sweep"):
        slice_variation([Identity()], _blind(), std, weight, axis, sweeps)
