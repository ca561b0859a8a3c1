"""Guidance by the proximal point of the data: exact for a prior whose posterior is as wide in every direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.sample import PREVIOUS, Estimate, Guided
from voxprior.diffusion.schedule import Step
from voxprior.errors import InputError
from voxprior.operators.base import Measurement, conjugate_gradients

DUAL = "dual"
"""Key of the dual variable of :func:`admm` in the memory of a run."""


CORRECTION = "correction"
"""Key of D_y - D of :func:`dds` in the memory of a run."""


def posterior_variance(sigma: float, data_std: float) -> float:
    """``r^2 = sigma^2 / (1 + sigma^2 / data_std^2)``: variance of x0 given x, for an image of std ``data_std``."""
    return sigma**2 / (1 + (sigma / data_std) ** 2)


def noise_std(measurement: Measurement) -> float:
    """Noise std of the data in their own unit; 0 when it is not known, and the data are then matched exactly."""
    sigma = measurement.sigma
    if sigma is None:
        return 0.0
    if isinstance(sigma, Tensor):
        if sigma.numel() != 1:
            raise InputError(
                f"noise std of shape {tuple(sigma.shape)}; proximal guidance takes one number: "
                "divide the data and their operator by the noise std, and give 1"
            )
        sigma = float(sigma)
    if not 0 <= sigma < float("inf"):
        raise InputError(f"noise std {sigma:g} of the data; it must be finite and not negative")
    return float(sigma)


def unguided(priors: Sequence[Denoiser]) -> Guided:
    """The priors alone, one a plane: D_y = D."""

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        d = priors[step.plane](x, step.sigma)
        return Estimate(d, d), {}

    return guided


def proximal(priors: Sequence[Denoiser], measurement: Measurement, data_std: float) -> Guided:
    """``D_y = argmin |A u - y|^2 + lam |u - D|^2`` with ``lam = sigma_y^2 / r^2``; one prior a plane.

    ``data_std``: std of images about their mean under the prior, in image units; r^2 is :func:`posterior_variance`.
    Without noise (``measurement.sigma`` None or 0) D_y is the projection of D onto the data. Iterative operators start
    from the previous D_y. Raises :class:`InputError` for a noise std that is not one number.
    """
    sigma_y, operator = noise_std(measurement), measurement.operator
    if not data_std > 0:
        raise InputError(f"data std {data_std:g} of the images; it must be positive")

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        d = priors[step.plane](x, step.sigma)
        lam = sigma_y**2 / posterior_variance(step.sigma, data_std)
        return Estimate(d, operator.prox(d, _data(measurement, d), lam, memory.get(PREVIOUS))), {}

    return guided


def projection(priors: Sequence[Denoiser], measurement: Measurement) -> Guided:
    """The image that explains the data and is nearest to D, whatever their noise: :func:`proximal` with ``lam`` = 0."""
    return proximal(priors, replace(measurement, sigma=None), 1.0)


def dds(priors: Sequence[Denoiser], measurement: Measurement, lam: float, iterations: int = 5) -> Guided:
    """A few conjugate gradient steps towards ``argmin |A u - y|^2 + lam |u - D|^2``; one prior a plane.

    ``lam``, in units of A'A, is the same at every noise level, as published (Chung et al. 2024: lam = 1/gamma, five
    steps from D). Here the steps start from D plus the correction D_y - D of the row before, which is kept in the
    memory of the run, so that a solution cut short goes on where it stopped. Each step lowers the quadratic.
    """
    operator = measurement.operator
    if not 0 <= lam < float("inf") or iterations < 1:
        raise InputError(f"lam {lam:g} and {iterations} iterations; give a weight that is not negative, and at least 1")

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        d = priors[step.plane](x, step.sigma)
        warm = d + memory[CORRECTION] if CORRECTION in memory else None
        d_y = conjugate_gradients(operator, _data(measurement, d), d, lam, warm, iterations).x
        return Estimate(d, d_y), {CORRECTION: d_y - d}

    return guided


def admm(priors: Sequence[Denoiser], measurement: Measurement) -> Guided:
    """Proximal guidance with a dual variable w, which remembers by how much prior and data disagree.

    ``D = D(x - sigma^2 w; sigma)``, ``D_y = argmin |A u - y|^2 + lam |u - D - sigma^2 w|^2`` with
    ``lam = sigma_y^2 / sigma^2``, ``w <- w + (D - D_y)/sigma^2``. At a constant sigma, without noise and with x = D_y,
    this is plug-and-play ADMM; it comes to rest where ``A'(y - A u)/sigma_y^2`` is the gradient of the prior's cost.
    """
    sigma_y, operator = noise_std(measurement), measurement.operator

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        w = memory[DUAL] if DUAL in memory else torch.zeros_like(x)
        push = step.sigma**2 * w
        d = priors[step.plane](x - push, step.sigma)
        lam = (sigma_y / step.sigma) ** 2
        d_y = operator.prox(d + push, _data(measurement, d), lam, memory.get(PREVIOUS))
        return Estimate(d, d_y), {DUAL: w + (d - d_y) / step.sigma**2}

    return guided


def consensus(priors: Sequence[Denoiser], measurement: Measurement) -> Guided:
    """Plug-and-play ADMM along a falling level: an estimate of the image, not E[x0 | x, y].

    ``D = D(x - u; sigma)``, ``D_y = argmin |A v - y|^2 + (sigma_y/sigma)^2 |v - D - u|^2``, ``u <- u + D - D_y``. The
    dual u stays in image units while the level falls, where :func:`admm` scales it with sigma^2: what prior and data
    have come to disagree about is then not forgotten at low levels.
    """
    sigma_y, operator = noise_std(measurement), measurement.operator

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        u = memory[DUAL] if DUAL in memory else torch.zeros_like(x)
        d = priors[step.plane](x - u, step.sigma)
        lam = (sigma_y / step.sigma) ** 2
        d_y = operator.prox(d + u, _data(measurement, d), lam, memory.get(PREVIOUS))
        return Estimate(d, d_y), {DUAL: u + d - d_y}

    return guided


def _data(measurement: Measurement, d: Tensor) -> Tensor:
    """The data, once a sample of d."""
    y = measurement.y
    return y.expand(d.shape[0], *y.shape[1:])
