"""Several estimates of one volume become one that explains every scan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.noise import Noise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import PREVIOUS, State, sample
from voxprior.diffusion.schedule import Step, alternating
from voxprior.guidance.proximal import consensus, noise_std
from voxprior.methods.result import Progress
from voxprior.operators.base import Measurement, conjugate_gradients
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.plain import unconditional

CALLS = 6
"""Network calls of :func:`refine`; twelve gain nothing on the tuning subjects."""
FIRST, LAST = 0.1, 0.02
"""Noise levels of them, on the priors' scale."""
LEAST_NOISE, LEAST_NOISE_HELD = 0.003, 0.02
"""Least noise of the data in :func:`refine`, on the priors' scale, of scans that are solved and of those that are held:
how far the priors may lead between fits."""
LEFT = 0.04
"""Error that :func:`refine` is taken to leave, on the priors' scale; the noise of the scans is weighed against it. On
the tuning subjects noise of 1 to 5 %, each scan's own, asks for 0.02 to 0.04: the less noise, the less."""
LEAST_STD = 1e-3
"""Least standard deviation of an estimate, as a part of the largest value: none is trusted without bound."""
DIRECT, SOLVED = 20, 1e-5
"""Iterations within which scans on the voxels of the grid are solved, and the relative residual that counts as that."""
HOLD = 0.3
"""How strongly other scans are held to the estimate, as a part of ``|A'y|^2 / |y|^2``; this and the least noise of such
scans are from the tuning subjects, moved between scans."""


class Estimate(NamedTuple):
    """A volume (*space) from one scan, its std if it has one, and where it tells something (0 to 1)."""

    mean: Tensor
    std: Tensor | None
    inside: Tensor


def fuse(estimates: Sequence[Estimate]) -> tuple[Tensor, Tensor | None]:
    """The mean of ``estimates`` weighted by 1 / std^2, and its std were they independent; equal weights without std.

    Where no estimate tells anything the first is taken.
    """
    largest = max(float(one.mean.abs().max()) for one in estimates)
    known = all(one.std is not None for one in estimates)
    total, weight = torch.zeros_like(estimates[0].mean), torch.zeros_like(estimates[0].mean)
    for one in estimates:
        share = one.inside
        if known and one.std is not None:
            share = share / one.std.clamp_min(LEAST_STD * largest).square()
        total, weight = total + share * one.mean, weight + share
    held = weight > 0
    mean = torch.where(held, total / weight.clamp_min(torch.finfo(weight.dtype).tiny), estimates[0].mean)
    if not known or estimates[0].std is None:
        return mean, None
    return mean, torch.where(held, weight.clamp_min(torch.finfo(weight.dtype).tiny).rsqrt(), estimates[0].std)


class Fitted(NamedTuple):
    """An image (1, *space) that explains the scans, and the least noise that :func:`refine` may take their data for."""

    image: Tensor
    least: float


def fit(d: Tensor, measurement: Measurement, error: float = math.inf) -> Fitted:
    """The image nearest to d (1, *space) that explains the scans of ``measurement`` best.

    ``error``: std of d about the truth. Known noise of the scans is weighed against it, ``lam = (sigma / error)^2``:
    together they enlarge noise, and to explain all of it would give away what the priors took out.

    Scans whose voxels lie across those of the grid, or between them, say next to nothing of its finest waves, and there
    least squares would enlarge noise and the error of the operator without bound. They are held to d:
    ``argmin_x |A x - y|^2 + HOLD |A'y|^2 / |y|^2 |x - d|^2``.
    """
    operator, y = measurement.operator, measurement.y
    lam = (noise_std(measurement) / error) ** 2
    exact = conjugate_gradients(operator, y, d, 0.0, iterations=DIRECT)
    if float(exact.residual.max()) <= SOLVED:
        return Fitted(operator.prox(d, y, lam) if lam > 0 else exact.x, LEAST_NOISE)
    seen = operator.adjoint(y).square().sum() / y.square().sum().clamp_min(torch.finfo(y.dtype).tiny)
    return Fitted(operator.prox(d, y, max(HOLD * float(seen), lam)), LEAST_NOISE_HELD)


def refine(
    start: Fitted,
    measurement: Measurement,
    prior: SlicePrior,
    scale: float,
    affine: NDArray[np.float64],
    rng: Noise,
    voxels: int,
    progress: Progress | None = None,
) -> Tensor:
    """Denoise the image of ``start`` by the three planes in turn and fit every scan, at a falling level.

    ``scale``: image units per unit of the prior's intensities. ``voxels``: slice voxels of one network call.
    """
    shape = tuple(start.image.shape[1:])
    priors = [unconditional(prior, shape, axis, affine, scale, voxels) for axis in range(3)]
    known = Measurement(measurement.operator, measurement.y, max(noise_std(measurement), start.least * scale))
    turn = alternating(len(priors))
    levels = np.geomspace(FIRST, LAST, CALLS) * scale
    rows = [Step(i, float(level), plane=turn(i, CALLS)) for i, level in enumerate(levels)]
    state = State(start.image)
    for state in sample(consensus(priors, known), state, rows, White(), rng):
        if progress is not None:
            progress(state.index, CALLS)
    return state.memory[PREVIOUS]
