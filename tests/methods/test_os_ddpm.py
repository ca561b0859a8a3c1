"""OS-DDPM against slow references, written out of the paper's equations in numpy and float64."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from volume_priors import SMALL, live, shelf, smooth, stack, untrained
from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.methods.os_ddpm import STUDENT, TEACHER, OsDdpm, Settings, rows
from voxprior.methods.result import Result
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.denoiser import Denoised
from voxprior.priors.portion import VOLUME_BYTES
from voxprior.priors.tiles import Tiles
from voxprior.priors.volume import VolumePrior, VolumePriorConfig
from voxprior.priors.volume_bound import BoundVolume
from voxprior.priors.weights import Weights
from voxprior.volume import SliceGeometry

Array = NDArray[np.float64]
N, FACTOR = 12, 4
STD = 0.25
TABLE = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
"""abar of the published process."""


class Gaussian(VolumePrior):
    """The exact denoiser of voxels that are normal about .8 m + .1 with a std of STD."""

    def forward(
        self, x: Tensor, m: Tensor, fine: Tensor, sigma: Tensor, spread: Tensor, vector: Tensor
    ) -> Denoised:
        mean, wide = 0.8 * m + 0.1, sigma[:, None, None, None]
        return Denoised(mean + STD**2 / (STD**2 + wide**2) * (x - mean), torch.zeros_like(x))


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    return stack(smooth(N, N, N), 2, FACTOR)


def _gaussian() -> Gaussian:
    return Gaussian(VolumePriorConfig(**{**SMALL, "tile": (2, 8, 8), "overlap": (1, 4, 4)}))


def _run(prior: VolumePrior, measurement: Measurement, seed: int = 5, **options: Any) -> Result:
    return OsDdpm(shelf(prior))(measurement, Settings(**options), SeededNoise(seed))


def _rng(row: int) -> Array:
    return np.asarray(SeededNoise(5)(0, row, (N, N, N)).double().numpy())


def _noise_of(x: Array, mean: Array, abar: float) -> Array:
    """What a perfect network says: the expected noise in x_t."""
    x0 = mean + math.sqrt(abar) * STD**2 / (abar * STD**2 + 1 - abar) * (x - math.sqrt(abar) * mean)
    return np.asarray((x - math.sqrt(abar) * x0) / math.sqrt(1 - abar))


def _published(mean: Array, steps: int, sampler: str) -> Array:
    """x_T = noise to x_0 over the times kept, with a table of beta of their own."""
    kept = [round(i * 999 / (steps - 1)) for i in range(steps)]
    abar = TABLE[kept]
    before = np.append(1.0, abar[:-1])
    beta = 1 - abar / before
    x = math.sqrt(1 - abar[-1]) * _rng(-1)
    for row, i in enumerate(reversed(range(steps))):
        e = _noise_of(x, mean, abar[i])
        x0 = (x - math.sqrt(1 - abar[i]) * e) / math.sqrt(abar[i])
        if sampler == "ddim":
            x = math.sqrt(before[i]) * x0 + math.sqrt(1 - before[i]) * e
            continue
        x = (
            beta[i] * math.sqrt(before[i]) / (1 - abar[i]) * x0
            + (1 - before[i]) * math.sqrt(1 - beta[i]) / (1 - abar[i]) * x
        )
        if i > 0:
            x = x + math.sqrt(beta[i]) * _rng(row)
    return np.asarray(x)


def _heun(mean: Array, steps: int) -> Array:
    """The probability-flow ODE in x_t / a, by Heun's rule, the last step by Euler's."""
    kept = [round(i * 999 / (steps - 1)) for i in reversed(range(steps))]
    grid = [*np.sqrt((1 - TABLE[kept]) / TABLE[kept]), 0.0]

    def slope(x: Array, sigma: float) -> Array:
        return np.asarray((x - mean - STD**2 / (STD**2 + sigma**2) * (x - mean)) / sigma)

    x = grid[0] * _rng(-1)
    for sigma, after in pairwise(grid):
        k = slope(x, sigma)
        end = x + (after - sigma) * k
        x = end if after == 0 else x + (after - sigma) * (k + slope(end, after)) / 2
    return np.asarray(x)


def _told(measurement: Measurement) -> tuple[Array, float]:
    bound = BoundVolume(_gaussian(), measurement)
    return 0.8 * bound.m[0].numpy() + 0.1, bound.scale


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "heun"])
def test_twenty_steps_are_those_of_a_literal_reference(measurement: Measurement, sampler: str) -> None:
    """Guards every number of the iterative samplers, tiles and intensities included, to 1e-6."""
    mean, scale = _told(measurement)
    expected = _heun(mean, 20) if sampler == "heun" else _published(mean, 20, sampler)
    result = _run(_gaussian(), measurement, steps=20, sampler=sampler)
    assert result.mean.dtype == torch.float64
    assert float((result.mean / scale - torch.from_numpy(expected)).abs().max()) < 1e-6
    assert result.calls == (39 if sampler == "heun" else 20)


def test_a_thousand_steps_are_the_published_table() -> None:
    """Guards the schedule as published: all times, the posterior's mean, variance beta, no noise in the last step."""
    steps = rows(1000, "ancestral", 20.0)
    beta, before = np.linspace(1e-4, 0.02, 1000), np.append(1.0, TABLE[:-1])
    of_clean = beta * np.sqrt(before) / (1 - TABLE)
    of_state = (1 - before) * np.sqrt(1 - beta) / (1 - TABLE)
    noise = np.sqrt(beta)
    noise[0] = 0
    # The rows are those of x_t / a: numbers of x_(t-1) are divided by its factor, those of x_t multiplied by theirs.
    found = np.array([[s.pull, s.keep, s.kick, s.sigma] for s in reversed(steps)]).T
    expected = of_clean / np.sqrt(before), of_state * np.sqrt(TABLE / before), noise / np.sqrt(before)
    np.testing.assert_allclose(found[:3], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[3], np.sqrt((1 - TABLE) / TABLE), rtol=1e-9)
    assert steps[0].sigma == pytest.approx(157.40728, abs=1e-5)


def test_one_step_is_the_denoiser_of_noise(measurement: Measurement) -> None:
    """x = D(sigma_T z; sigma_T), at the top of what the network was trained for: one call, no more."""
    single = Measurement(measurement.operator, measurement.y.float(), None, measurement.affine)
    bound, z = BoundVolume(live(), single), SeededNoise(5)(0, -1, (N, N, N))[None]
    expected = bound.leave(bound.denoiser()(20.0 * z, 20.0))[0]
    result = _run(live(), single)
    assert torch.equal(result.mean, expected) and result.calls == 1 and result.std is None
    lower = _run(live(sigma_max=5.0), single).mean
    assert not torch.allclose(lower, expected)


def test_the_weights_follow_the_number_of_steps(measurement: Measurement) -> None:
    """A student is asked once, its teacher many times; what the user names is taken."""
    asked: list[str] = []

    def shelved(name: str, device: str) -> Any:
        asked.append(name)
        return shelf(_gaussian())(name, device)

    for options in ({}, {"steps": 3}, {"steps": 3, "weights": "mine"}):
        result = OsDdpm(shelved)(measurement, Settings(**options), SeededNoise(0))
        assert result.weights is not None and result.weights["name"] == asked[-1]
    assert asked == [STUDENT, TEACHER, "mine"]


def test_a_student_of_another_start_is_refused(measurement: Measurement) -> None:
    """A student that was made to start from the degraded volume would be asked what it has never seen."""
    for start, steps in (("degraded", 1), ("noise", 1), ("degraded", 2)):
        weights = Weights(_gaussian(), {"student": {"start": start, "level": 1.0}}, "mine", "0" * 64)
        method = OsDdpm(lambda name, device, weights=weights: weights)
        if (start, steps) == ("degraded", 1):
            with pytest.raises(InputError, match="mine: its one step is not from noise"):
                method(measurement, Settings(steps=steps), SeededNoise(0))
        else:
            assert method(measurement, Settings(steps=steps), SeededNoise(0)).calls == steps


def test_projection_is_as_published_or_exact(measurement: Measurement) -> None:
    """``none`` leaves the answer of the network; ``exact`` is the nearest image that explains the slices."""
    free, exact = (_run(_gaussian(), measurement, project=p, samples=2) for p in ("none", "exact"))

    def residual(x: Tensor) -> float:
        return float((measurement.operator.apply(x[None]) - measurement.y).norm() / measurement.y.norm())

    assert residual(free.mean) > 1e-2 and free.samples is not None and exact.samples is not None
    for before, after in zip(free.samples, exact.samples, strict=True):
        assert residual(after) < 1e-12
        assert torch.allclose(after, measurement.operator.prox(before[None], measurement.y, 0.0)[0])


def test_an_untrained_student_is_exactly_the_projected_interpolation(measurement: Measurement) -> None:
    """A network that adds nothing gives m, and after the projection exactly what the projection makes of m."""
    single = Measurement(measurement.operator, measurement.y.float(), None, measurement.affine)
    m = BoundVolume(untrained(), single)
    result = _run(untrained(), single, project="exact")
    expected = measurement.operator.prox(m.leave(m.m).double(), measurement.y, 0.0)[0]
    # Above the trained levels a part s^2/sigma^2 of the noise passes: .001 of the image at sigma = 20.
    assert float((result.mean - expected).abs().max()) < 2e-2


def test_any_size_factor_and_direction() -> None:
    """37 x 50 x 61 at 3.5, slices along each axis, stored from either end: on the grid asked for, data in its units."""
    truth = smooth(37, 50, 61)
    for axis in range(3):
        m = stack(100 * truth, axis, 3.5, np.diag([-1.0, 1.0, -1.0, 1.0]))
        single = Measurement(m.operator, m.y.float(), None, m.affine)
        prior = untrained(tile=(8, 64, 64), overlap=(2, 4, 4))
        result = _run(prior, single, steps=2, sampler="ddim", slab=16, overlap=4, project="exact")
        assert isinstance(m.operator, Separable) and result.mean.shape == m.operator.shape
        error = result.mean - 100 * truth[0][tuple(slice(n) for n in m.operator.shape)]
        assert float(error.square().mean().sqrt()) < 10


def test_samples_have_numbers_of_their_own(measurement: Measurement) -> None:
    """Sample 1 of one is sample 1 of two, to the bit; another seed is another sample; their spread is the std."""
    one, two = _run(_gaussian(), measurement, steps=4), _run(_gaussian(), measurement, steps=4, samples=2)
    assert one.samples is not None and two.samples is not None
    assert torch.equal(one.samples[0], two.samples[0]) and not torch.equal(two.samples[0], two.samples[1])
    assert not torch.equal(one.mean, _run(_gaussian(), measurement, seed=6, steps=4).mean)
    assert two.std is not None and torch.allclose(two.std, two.samples.std(0))
    assert two.calls == 8 and list(_run(_gaussian(), measurement, steps=4, snapshots=3).snapshots) == [3]


def test_slabs_are_whole_thick_slices() -> None:
    """Slabs count fine slices; those that would cut a thick one, or share too much, are refused in a line."""
    truth = smooth(16, 16, 32)
    m = stack(truth, 2, 4)
    assert _run(_gaussian(), m, slab=8).notes == {"slab": 8, "overlap": 4}
    assert _run(_gaussian(), m, slab=4).notes == {"slab": 4, "overlap": 0}
    assert _run(_gaussian(), m).notes == {"slab": 8, "overlap": 4}
    for options, message in (
        ({"slab": 6}, "--slab 6: thick slices are restored as 4 fine ones"),
        ({"slab": 8, "overlap": 2}, "--overlap 2"),
        ({"slab": 8, "overlap": 8}, "more than half of a slab of 8"),
    ):
        with pytest.raises(InputError, match=message):
            _run(_gaussian(), m, **options)


def test_memory_makes_the_tiles_smaller() -> None:
    """A limit is kept by the tiles, and by nothing else: a pointwise denoiser gives the same."""
    seen: list[int] = []

    class Watched(Gaussian):
        def forward(self, x: Tensor, *told: Tensor) -> Denoised:
            seen.append(x.numel())
            return super().forward(x, *told)

    m = stack(smooth(64, 64, 48), 2, 4)
    prior = Watched(VolumePriorConfig(**{**SMALL, "tile": (16, 64, 64), "overlap": (2, 4, 4)}))
    whole, n = _run(prior, m).mean, max(seen)
    seen.clear()
    parts = _run(prior, m, memory=64).mean
    assert n == 64 * 64 * 48 > 64 * 2**20 // VOLUME_BYTES >= max(seen)
    assert torch.allclose(whole, parts)


def test_other_measurements_are_refused() -> None:
    """What has no thick slices, or no place in the patient, is refused in a line."""
    g = SliceGeometry(2, 3, 4.0, 4.0, 12, 1.0)
    plain = Separable({2: g.matrix()}, (6, 6, 12))
    for operator, affine in ((plain, np.eye(4)), (Separable.from_slices(g, (6, 6, 3)), None)):
        with pytest.raises(InputError, match="os-ddpm restores thick slices"):
            _run(_gaussian(), Measurement(operator, torch.zeros(1, 6, 6, 3), None, affine))


def test_bf16_is_near() -> None:
    """The other number format of the network runs, and gives nearly the same."""
    m = stack(smooth(16, 16, 16), 2, 4)
    single = Measurement(m.operator, m.y.float(), None, m.affine)
    full, half = (_run(live(), single, steps=3, precision=p).mean for p in ("float32", "bf16"))
    assert half.dtype == torch.float32 and 0 < float((full - half).abs().max()) < 0.1 * float(full.abs().max())


def test_tiles_of_the_weights_are_the_default() -> None:
    """Without --slab the tiles are those that the prior states, in fine voxels."""
    assert BoundVolume(_gaussian(), stack(smooth(16, 16, 32), 2, 4)).tiles == Tiles((8, 8, 8), (4, 4, 4), (4, 4, 4))
