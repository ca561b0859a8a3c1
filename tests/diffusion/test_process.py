"""The noise of each process: its variance, its correlation, its independence of the batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.process import Correlated, Process, White
from voxprior.diffusion.sample import PREVIOUS, sample, start
from voxprior.diffusion.schedule import Step, karras, reverse_sde, schedule
from voxprior.errors import InputError
from voxprior.guidance.proximal import unguided
from voxprior.priors.gaussian import StationaryGaussian, power_law
from voxprior.priors.planes import Slabs, slicewise

RHO = 0.8


class OneHot:
    """A single 1 in the field of each sample, a different voxel for each: noise as the columns of a matrix."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, sample: int, step: int, shape: tuple[int, ...]) -> Tensor:
        z = torch.zeros(self.n, dtype=torch.float64)
        z[sample] = 1
        return z.reshape(shape)


def _covariance(process: Process, shape: tuple[int, ...]) -> Tensor:
    """Covariance of the noise in all voxels, exactly: one-hot white fields give its square root."""
    n = math.prod(shape)
    root = process.noise(OneHot(n), torch.zeros(n, *shape, dtype=torch.float64), Step(0, 1.0)).flatten(1)
    return root.T @ root


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_correlation_falls_as_a_power_of_the_distance(axis: int) -> None:
    """Guards unit variance in every voxel, rho^k between slices k apart, and white noise within a slice."""
    shape = (3, 4, 5)
    place = torch.stack(torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")).flatten(1)
    across = (place[axis][:, None] - place[axis]).abs()
    within = torch.stack([place[a][:, None] == place[a] for a in range(3) if a != axis]).all(0)
    expected = torch.where(within, RHO ** across.double(), 0.0)
    torch.testing.assert_close(_covariance(Correlated(axis, RHO), shape), expected, rtol=1e-12, atol=1e-12)


def test_no_correlation_is_white() -> None:
    """Guards the special case, bitwise: rho = 0 is the plain process."""
    like, rng = torch.zeros(2, 3, 4, 5), SeededNoise(1)
    assert torch.equal(
        Correlated(1, 0.0).noise(rng, like, Step(3, 1.0)), White().noise(rng, like, Step(3, 1.0))
    )


def test_complex_noise_has_unit_std_in_either_part() -> None:
    """Guards the convention of complex images, and that the parts are independent of each other."""
    like = torch.zeros(1, 40, 50, 50, dtype=torch.complex64)
    z = Correlated(0, RHO).noise(SeededNoise(5), like, Step(0, 1.0))
    bound = 5 / math.sqrt(like.numel() * (1 - RHO) / (1 + RHO))
    assert abs(float(z.real.var()) - 1) < 2 * bound and abs(float(z.imag.var()) - 1) < 2 * bound
    assert abs(float((z.real * z.imag).mean())) < bound


@pytest.mark.parametrize("process", [White, lambda first: Correlated(2, RHO, first)])
def test_a_sample_does_not_depend_on_its_batch(process: object) -> None:
    """Guards numbers of samples: 2 and 3 of a run of four can be made alone."""
    assert callable(process)
    like, rng, step = torch.zeros(4, 3, 4, 5), SeededNoise(1), Step(7, 1.0)
    assert torch.equal(process(0).noise(rng, like, step)[2:], process(2).noise(rng, like[:2], step))


@pytest.mark.parametrize(("axis", "rho"), [(0, 1.0), (0, -0.1), (-1, 0.5)])
def test_nonsense_is_refused(axis: int, rho: float) -> None:
    """Guards against noise that never changes or an axis counted from the end, which would be the sample's."""
    with pytest.raises(InputError, match="correlation"):
        Correlated(axis, rho)


def _jitter(process: Process) -> float:
    """Mean absolute difference of neighbouring slices of a volume whose slices were drawn one plane at a time."""
    shape = (16, 12, 12)
    flat = StationaryGaussian(torch.zeros((), dtype=torch.float64), power_law((12, 12), 0.5))
    prior = slicewise(lambda slabs, sigma, start, k: flat(slabs[:, 0], sigma)[:, None], Slabs(0, 1), (0.0, math.inf))
    steps, rng = schedule(karras(12, 10.0, 0.02), reverse_sde), SeededNoise(3)
    begin = start(torch.zeros(2, *shape, dtype=torch.float64), steps, process, rng)
    *_, last = sample(unguided([prior]), begin, steps, process, rng)
    return float(last.memory[PREVIOUS].diff(dim=1).abs().mean() / last.memory[PREVIOUS].std())


def test_correlated_noise_calms_the_jitter_between_slices() -> None:
    """Guards the purpose: slices drawn alone differ as strangers do, with like noise they are neighbours."""
    assert _jitter(Correlated(0, 0.95)) < 0.5 * _jitter(White())
