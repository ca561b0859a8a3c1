"""Proximal guidance with a penalty on steps between slices, for priors that see one slice at a time (DiffusionMBIR)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.sample import PREVIOUS, Estimate, Guided
from voxprior.diffusion.schedule import Step
from voxprior.errors import InputError
from voxprior.guidance.proximal import noise_std, posterior_variance
from voxprior.operators.base import Measurement

PULL = "variation"
"""Key of the dual variable of :func:`slice_variation` in the memory of a run."""
BOUND = 4.0
"""The largest eigenvalue of G'G, for differences G of neighbours in a row, stays below this."""


def slice_variation(
    priors: Sequence[Denoiser], measurement: Measurement, data_std: float, weight: float, axis: int, sweeps: int = 1
) -> Guided:
    """``D_y = argmin |A u - y|^2/(2 sigma_y^2) + |u - D|^2/(2 r^2) + weight |G u|_1``, for one prior a plane.

    G takes the difference of neighbouring slices along image axis ``axis``; ``weight``, one over image units, is the
    rate at which the logarithm of their probability falls. ``data_std`` and r^2: see
    :func:`voxprior.guidance.proximal.proximal`. Without noise the first term is the condition A u = y. With the dual
    variable p of G u, which the memory of the run carries from row to row, a sweep is

        u <- argmin |A u - y|^2 + lam |u - (D - r^2 G'p)|^2,   lam = sigma_y^2/r^2
        p <- p + G u / (4 r^2),   cut to |p| <= weight

    This is ADMM without the penalty in the step of u (alternating minimisation, Tseng 1991), which is allowed since the
    cost of u is strongly convex. DiffusionMBIR (Chung et al. 2023, algorithm 2) keeps the penalty and solves for u by
    conjugate gradients; here u is the operator's own proximal point, exact with and without noise.
    """
    sigma_y, operator = noise_std(measurement), measurement.operator
    if not data_std > 0 or not 0 <= weight < math.inf or axis < 0 or sweeps < 1:
        raise InputError(
            f"data std {data_std:g}, weight {weight:g}, axis {axis} and {sweeps} sweeps; "
            "give a positive std, a weight and an axis that are not negative, and at least 1 sweep"
        )

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        d = priors[step.plane](x, step.sigma)
        y = measurement.y.expand(d.shape[0], *measurement.y.shape[1:])
        r2 = posterior_variance(step.sigma, data_std)
        p = memory[PULL] if PULL in memory else torch.zeros_like(d.diff(dim=axis + 1))
        u = memory.get(PREVIOUS)
        for _ in range(sweeps):
            u = operator.prox(d - r2 * _backward(p, axis), y, sigma_y**2 / r2, u)
            p = p + u.diff(dim=axis + 1) / (BOUND * r2)
            p = p * (weight / p.abs().clamp_min(torch.finfo(p.abs().dtype).tiny)).clamp(max=1.0)
        assert u is not None
        return Estimate(d, u), {PULL: p}

    return guided


def _backward(p: Tensor, axis: int) -> Tensor:
    """``G'p``: the adjoint of the difference of neighbours."""
    edge = torch.zeros_like(p.narrow(axis + 1, 0, 1))
    return -torch.cat([edge, p, edge], dim=axis + 1).diff(dim=axis + 1)
