"""Guidance by one gradient, that of the misfit, in three norms: its own (DPS), the posterior's, and the prior's.

Each pulls a vector of data space back to the image: DPS goes a fixed length along it and through the network, Pi-GDM
weighs it by the width of the posterior, and the balanced gradient of HFS-SDE makes it as long as the prior's score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.sample import PREVIOUS, Estimate, Guided
from voxprior.diffusion.schedule import Step
from voxprior.errors import InputError
from voxprior.guidance.proximal import noise_std, posterior_variance
from voxprior.operators.base import Measurement

Coordinates = Callable[[Tensor, float], tuple[Tensor, float]]
"""(x, sigma) to the state of a path, (sample, *space), and to its noise std; see :func:`exploding`."""


def exploding(x: Tensor, sigma: float) -> tuple[Tensor, float]:
    """The path ``x0 + sigma z``: the state and its noise as they are."""
    return x, sigma


def preserving(x: Tensor, sigma: float) -> tuple[Tensor, float]:
    """The path ``a x0 + b z`` with ``a^2 + b^2 = 1``: state and noise times ``a = (1 + sigma^2)^-1/2``."""
    a = 1 / math.hypot(1, sigma)
    return a * x, a * sigma


def dps(
    priors: Sequence[Denoiser],
    measurement: Measurement,
    weight: float | Sequence[float],
    slices: int | None = None,
) -> Guided:
    """Diffusion posterior sampling: ``weight * grad_x |y - A D(x)|`` is taken off the next state, whatever the solver.

    The gradient, ``-J' A' r/|r|`` with ``r = y - A D``, has no unit: ``weight`` is a length in image units, one number
    or one a plane (0: the plane is not told of the data). There is one norm a sample, or one a slice of the axis
    ``slices`` of y (1: the first after the sample's), each slice's step then being as long as if it were alone. Exact
    for no prior. Chung et al. 2023, algorithm 1, whose code has the norm in place of its square.
    """
    weights = [float(weight)] * len(priors) if isinstance(weight, int | float) else [float(w) for w in weight]
    if len(weights) != len(priors) or not all(0 <= w < math.inf for w in weights):
        raise InputError(f"DPS weights {weights} for {len(priors)} planes; give one that is not negative for each")
    if slices is not None and not 0 < slices < measurement.y.ndim:
        raise InputError(f"axis {slices} of data with {measurement.y.ndim} axes; give one of those after the sample's")
    operator = measurement.operator

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        prior, w = priors[step.plane], weights[step.plane]
        if w == 0:
            d = prior(x, step.sigma)
            return Estimate(d, d), {}

        def climb(d: Tensor) -> Tensor:
            r = operator.apply(d) - measurement.y
            return operator.adjoint(_unit(r, [a for a in range(1, r.ndim) if a != slices]))

        d, gradient = prior.pullback(x, step.sigma, climb)
        return Estimate(d, d, w * gradient), {}

    return guided


def pi_gdm(priors: Sequence[Denoiser], measurement: Measurement, data_std: float) -> Guided:
    """``D_y = D + sigma^2 J' A' (r^2 A A' + sigma_y^2)^-1 (y - A D)``: exact for a white prior; one prior a plane.

    ``data_std``: std of images about their mean under the prior, in image units; r^2 is :func:`posterior_variance`.
    The vector that J' is applied to is ``(P - D)/r^2`` with the proximal point P of D at ``lam = sigma_y^2 / r^2``.
    Raises :class:`InputError` for a noise std that is not one number. Song et al. 2023, eq. 7.
    """
    sigma_y, operator = noise_std(measurement), measurement.operator
    if not data_std > 0:
        raise InputError(f"data std {data_std:g} of the images; it must be positive")

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        r2 = posterior_variance(step.sigma, data_std)

        def weighed(d: Tensor) -> Tensor:
            y = measurement.y.expand(d.shape[0], *measurement.y.shape[1:])
            return operator.prox(d, y, sigma_y**2 / r2, memory.get(PREVIOUS)) - d

        d, pulled = priors[step.plane].pullback(x, step.sigma, weighed)
        return Estimate(d, d + step.sigma**2 / r2 * pulled), {}

    return guided


def balanced(
    priors: Sequence[Denoiser],
    measurement: Measurement,
    weight: float,
    corrector_weight: float | None = None,
    coordinates: Coordinates = exploding,
    norm: float = 1.0,
) -> Guided:
    """``D_y = D + w f |D - x| v/|v|`` with ``v = A'(y - A x_t)``: the data pull w times as hard as the prior.

    x_t is the state in the ``coordinates`` of a path, b its noise std there. Norms are of whole samples; w is
    ``weight``, on Langevin rows ``corrector_weight`` (None: the same). ``f = min(1, |v| / (norm^2 b))``, with ``norm``
    the largest singular value of A, lets the pull die away at x_t that explain y. Neither unit nor batch matters. One
    prior a plane. HFS-SDE (Cao et al. 2024).
    """
    if not (0 <= weight < math.inf and 0 <= (corrector_weight or 0.0) < math.inf):
        raise InputError(f"data weights {weight:g} and {corrector_weight}; they must be finite and not negative")
    operator = measurement.operator

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        w = corrector_weight if corrector_weight is not None and step.stage == "correct" else weight
        d = priors[step.plane](x, step.sigma)
        state, b = coordinates(x, step.sigma)
        v = operator.adjoint(measurement.y - operator.apply(state))
        space = list(range(1, x.ndim))
        fade = (torch.linalg.vector_norm(v, dim=space, keepdim=True) / (norm**2 * b)).clamp(max=1.0)
        length = torch.linalg.vector_norm(d - x, dim=space, keepdim=True)
        return Estimate(d, d + w * fade * length * _unit(v, space)), {}

    return guided


def _unit(v: Tensor, dims: list[int]) -> Tensor:
    """v over its norm in ``dims``; where that is zero, zero."""
    length = torch.linalg.vector_norm(v, dim=dims, keepdim=True)
    return torch.where(length > 0, v / length.clamp_min(torch.finfo(length.dtype).tiny), 0.0)
