"""The training objective of a slice prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from voxprior.priors.kinds import Prior
from voxprior.training.examples import Batch

TAIL = 0.1
"""Share of noise levels drawn log-uniformly over the whole trained range."""


class Loss(NamedTuple):
    """``total`` to minimise; ``error``: mean squared error in the network's units, (n,)."""

    total: Tensor
    error: Tensor


def noise_levels(
    batch: Batch, prior: Prior, spread: float, generator: torch.Generator, centre: float = 1.0
) -> Tensor:
    """Noise level of each example, (n,): about ``centre`` times the data's spread; the largest for mean examples."""
    c = prior.config
    n = len(batch.spread)
    if prior.path is not None:  # as published: even in time
        last = round(prior.path.t(c.sigma_max))
        times = torch.rand(n, generator=generator).mul(last - 1).add(1)
        return torch.tensor([prior.path.sigma(float(t)) for t in times]).clamp(c.sigma_min, c.sigma_max)
    middle = torch.log(centre * batch.spread) + spread * torch.randn(n, generator=generator)
    low, high = torch.log(torch.tensor([c.sigma_min, c.sigma_max]))
    uniform = low + (high - low) * torch.rand(n, generator=generator)
    sigma = torch.where(torch.rand(n, generator=generator) < TAIL, uniform, middle).exp()
    return torch.where(batch.kind == 0, torch.full((n,), c.sigma_max), sigma.clamp(c.sigma_min, c.sigma_max))


def denoising_loss(
    prior: Prior,
    batch: Batch,
    sigma: Tensor,
    noise: Tensor,
    variance_weight: float,
    diffusing: Callable[[Tensor], Tensor] = lambda x: x,
) -> Loss:
    """EDM's weighted error of D, which is the plain error of F, and the likelihood of the log-variance head.

    Mean examples (kind 0) have a noisy input that is exactly m. ``noise``: standard normal, shape of the truth. The
    variance head learns from the error but does not change what the mean learns from its own term. ``diffusing``: the
    part of an image that the process moves; noise and error are taken in it alone (HFS-SDE's loss).
    """
    c, inner, base = prior.coefficients(sigma, batch.spread), prior.inner, prior.base(batch.m)
    noisy = batch.truth + sigma[:, None, None, None] * diffusing(noise)
    u = torch.where((batch.kind == 0)[:, None, None, None], torch.zeros_like(noisy), noisy - base)
    f, variance = prior.raw(c.inp * u, batch.m, batch.phase, c.label, batch.vector)
    target = (batch.truth[:, inner] - base[:, inner] - c.skip * u[:, inner]) / c.out
    square = diffusing(target - f).square()
    error = square.mean(dim=(1, 2, 3))
    likelihood = (torch.exp(-variance) * square.detach() + variance).mean()
    return Loss(error.mean() + variance_weight * likelihood, error.detach())
