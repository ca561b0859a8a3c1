"""Noise is a function of (seed, sample, step)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.process import White
from voxprior.diffusion.schedule import Step

SHAPE = (5, 6, 7)


def test_same_arguments_same_field() -> None:
    """Guards resume: a field may not depend on what was drawn before it."""
    rng = SeededNoise(3)
    first = rng(1, 2, SHAPE)
    rng(7, 7, (100,))
    assert torch.equal(first, rng(1, 2, SHAPE))
    assert torch.equal(first, SeededNoise(3)(1, 2, SHAPE))
    assert first.dtype == torch.float32 and first.shape == SHAPE


@pytest.mark.parametrize("other", [(4, 1, 2), (3, 2, 1), (3, 12, 2), (3, 1, 3), (3, 1, -1), (31, 2, 2)])
def test_other_arguments_other_field(other: tuple[int, int, int]) -> None:
    """Guards against keys that collide, such as digits joined without a separator."""
    seed, sample, step = other
    assert not torch.equal(SeededNoise(3)(1, 2, SHAPE), SeededNoise(seed)(sample, step, SHAPE))


def test_fields_are_standard_normal_and_independent() -> None:
    """Guards mean 0, std 1, the normal law, and no correlation between steps and samples."""
    rng = SeededNoise(0)
    fields = np.stack([rng(k, s, (4000,)).numpy() for k in range(3) for s in range(3)])
    assert stats.kstest(fields.ravel(), "norm").pvalue > 1e-4
    off = (np.corrcoef(fields) - np.eye(9))[np.triu_indices(9, 1)]
    assert np.abs(off).max() < 4.5 / np.sqrt(4000)


def test_sample_number_counts_not_its_place_in_the_batch() -> None:
    """Guards that samples 4 to 7 made alone are those of a run of eight."""
    step = Step(5, 1.0)
    whole = White().noise(SeededNoise(1), torch.zeros(8, *SHAPE), step)
    part = White(first=4).noise(SeededNoise(1), torch.zeros(4, *SHAPE), step)
    assert torch.equal(whole[4:], part)


def test_complex_noise_has_unit_std_a_component() -> None:
    """Guards the convention of sigma: a complex ``randn`` of variance 1/2 a component would halve the power."""
    z = White().noise(SeededNoise(1), torch.zeros(2, 40, 50, dtype=torch.complex64), Step(0, 1.0))
    assert z.dtype == torch.complex64
    for part in (z.real, z.imag):
        assert abs(float(part.std()) - 1) < 4.5 / np.sqrt(2 * part.numel())


def test_noise_takes_the_type_of_the_image() -> None:
    """Guards that a double-precision run stays in double precision."""
    z = White().noise(SeededNoise(1), torch.zeros(2, 3, dtype=torch.float64), Step(0, 1.0))
    assert z.dtype == torch.float64
