"""Validation of a complex prior: held-back slices through simulated coils, against the linear reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.diffusion.noise import SeededNoise
from voxprior.methods.kspace import Problem, Settings
from voxprior.operators.base import Measurement
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.fourier import Fourier
from voxprior.operators.masks import make_mask
from voxprior.priors.complex import ComplexDenoiser, explain
from voxprior.priors.denoiser import SlicePrior
from voxprior.training.score import Score, scored

SIGMA = 0.01
"""Noise of the data on the scale of the image."""
MASKS = (("uniform", 8, 24), ("poisson", 8, 24))
"""Family, nominal acceleration, ACS lines."""
MORE = (("uniform", 4, 24), ("random-uniform", 4, 24), ("random-uniform", 8, 12), ("poisson", 12, 24))
LEVELS = (0.1, 0.5)
"""Noise levels at which a prior of the high frequencies alone is asked to denoise."""


def held_measurement(truth: NDArray[np.complex64], mask: str, acceleration: int, acs: int = 24) -> Measurement:
    """``truth`` through 8 coils with noise."""
    rng = np.random.default_rng(1)
    shape = int(truth.shape[0]), int(truth.shape[1])
    keep = torch.from_numpy(make_mask(mask, shape, acceleration, acs if min(shape) >= 6 * acs else 2).keep)
    operator = Fourier(keep, torch.from_numpy(simulate_maps(shape, 8, rng)))
    y = operator.apply(torch.from_numpy(truth)[None])
    noise = torch.from_numpy(rng.standard_normal((*y.shape, 2), dtype=np.float32)) * SIGMA
    return Measurement(operator, (y + torch.view_as_complex(noise)) * keep, SIGMA)


def validate_kspace(
    prior: SlicePrior, held: Mapping[str, NDArray[np.complex64]], acs_lines: int | None, thorough: bool
) -> list[Score]:
    """Mean mode at two or six masks; for a prior outside ``acs_lines`` central lines, its denoising."""
    if acs_lines is not None:
        return [_denoise(prior, name, truth, acs_lines, level) for name, truth in held.items() for level in LEVELS]
    masks = (*MASKS, *MORE) if thorough else MASKS
    return [_reconstruct(prior, name, truth, *mask) for name, truth in held.items() for mask in masks]


@torch.no_grad()
def _reconstruct(
    prior: SlicePrior, name: str, truth: NDArray[np.complex64], mask: str, acceleration: int, acs: int
) -> Score:
    measurement = held_measurement(truth, mask, acceleration, acs)
    given = explain(measurement)
    found = Problem(prior, measurement, given).mean(Settings(steps=12), SeededNoise(0), None)
    operator: Any = measurement.operator
    true = float(operator.mask.numel() / operator.mask.sum())
    case = f"{name} {mask} R={true:.2f}"
    return scored(case, torch.from_numpy(truth), found["mean"], given.m[0])


@torch.no_grad()
def _denoise(
    prior: SlicePrior, name: str, truth: NDArray[np.complex64], acs_lines: int, level: float
) -> Score:
    from voxprior.diffusion.subspace import highpass
    from voxprior.operators.fourier import fft, ifft

    rng = np.random.default_rng(2)
    noise = torch.view_as_complex(torch.from_numpy(rng.standard_normal((*truth.shape, 2), dtype=np.float32)))
    shape = int(truth.shape[0]), int(truth.shape[1])
    keep = highpass(shape, acs_lines, 1)
    x = torch.from_numpy(truth) + level * ifft(keep * fft(noise, (0, 1)), (0, 1))
    d = ComplexDenoiser(prior, 1.0)(x[None], level)[0]
    found = x + ifft(keep * fft(d - x, (0, 1)), (0, 1))
    return scored(f"{name} sigma={level}", torch.from_numpy(truth), found, x)
