"""Total variation as a prior, for any operator: least squares and total-variation denoising take turns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from voxprior.methods.result import Progress
from voxprior.operators.base import Operator

DUAL_STEPS = 10
"""Accelerated steps of each denoising; the dual variable stays from one to the next."""


def total_variation(
    operator: Operator,
    y: Tensor,
    start: Tensor,
    weight: float,
    coupling: float,
    steps: int,
    scales: Sequence[float],
    floor: float | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """``argmin_x |A x - y|^2 / 2 + weight TV(x)``, with x at least ``floor`` if given, by ADMM from ``start``.

    ``x = A.prox(z - u, y; coupling, x)``, ``z = denoise(x + u; weight / coupling)``, ``u <- u + x - z`` (Boyd et al.,
    2011). ``scales``: see :func:`gradient`, one for each of the last axes of x. The result is z.
    """
    x = z = start
    u = torch.zeros_like(start)
    dual = start.new_zeros((len(scales), *start.shape))
    for k in range(steps):
        x = operator.prox(z - u, y, coupling, x)
        z, dual = denoise(x + u, weight / coupling, scales, dual, floor)
        u = u + x - z
        if progress is not None:
            progress(k + 1, steps)
    return z


def gradient(x: Tensor, scales: Sequence[float]) -> Tensor:
    """Forward differences of the last axes of x times their ``scales``, stacked first; zero at the far end.

    A scale is the spacing of the finest axis over that of its own, so that all differences are over the same length.
    """
    parts = x.new_zeros((len(scales), *x.shape))
    for part, scale, axis in zip(parts, scales, range(-len(scales), 0), strict=True):
        n = x.shape[axis] - 1
        torch.sub(x.narrow(axis, 1, n), x.narrow(axis, 0, n), out=part.narrow(axis, 0, n))
        part *= scale
    return parts


def gradient_adjoint(p: Tensor, scales: Sequence[float]) -> Tensor:
    """The adjoint of :func:`gradient`."""
    x = torch.zeros_like(p[0])
    for part, scale, axis in zip(p, scales, range(-len(scales), 0), strict=True):
        inner = part.narrow(axis, 0, part.shape[axis] - 1)
        x.narrow(axis, 1, inner.shape[axis]).add_(inner, alpha=scale)
        x.narrow(axis, 0, inner.shape[axis]).sub_(inner, alpha=scale)
    return x


def modulus(p: Tensor) -> Tensor:
    """Length of the vectors that a gradient is made of."""
    squares = p.abs().square_() if p.is_complex() else p.square()
    return squares.sum(0).sqrt_()  # ten times as quick as torch.linalg.vector_norm along the first axis


def denoise(
    v: Tensor, weight: float, scales: Sequence[float], dual: Tensor, floor: float | None = None, steps: int = DUAL_STEPS
) -> tuple[Tensor, Tensor]:
    """``argmin_z |z - v|^2 / 2 + weight TV(z)`` with z at least ``floor``, and the dual variable, to start from again.

    Fast gradient projection on the dual (Beck and Teboulle, IEEE TIP 18, 2009), ``steps`` of it from ``dual``.
    """
    if weight <= 0:
        return (v if floor is None else v.clamp_min(floor)), dual

    def primal(p: Tensor) -> Tensor:
        z = v - weight * gradient_adjoint(p, scales)
        return z if floor is None else z.clamp_min_(floor)

    step = 1 / (4 * weight * sum(scale**2 for scale in scales))
    ahead, momentum = dual, 1.0
    for _ in range(steps):
        new = ahead + gradient(primal(ahead), scales).mul_(step)
        new /= modulus(new).clamp_min(1)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = new + (momentum - 1) / following * (new - dual)
        dual, momentum = new, following
    return primal(dual), dual
