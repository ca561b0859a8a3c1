"""Total variation as a prior, for any operator: the data and a total-variation denoising take turns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from voxprior.methods.result import Progress
from voxprior.operators.base import Operator

DUAL_STEPS = 8
"""Accelerated steps of each denoising; the dual variable stays from one to the next."""

Axes = Sequence[int]
"""Axes of the images, counted from the end."""
Scales = Sequence[float] | None
"""What the differences along each axis are multiplied by: its spacing under that of the finest axis; None: 1."""


def total_variation(
    operator: Operator,
    y: Tensor,
    start: Tensor,
    weight: float,
    coupling: float,
    steps: int,
    axes: Axes,
    scales: Scales = None,
    floor: float | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """``argmin_x |A x - y|^2 / 2 + weight sum |grad x|``, isotropic, x at least ``floor`` if given, from ``start``.

    Alternating directions: x (proximal point of the data), u (the denoised image, which is the result) and their
    running difference e, ``steps`` times (Boyd et al., Distributed optimization, 2011).
    """
    x = u = start
    e, dual = torch.zeros_like(start), torch.zeros_like(gradient(start, axes))
    for done in range(1, steps + 1):
        x = operator.prox(u - e, y, coupling, x)
        u, dual = denoise(x + e, weight / coupling, dual, axes, scales, floor)
        e = e + x - u
        if progress is not None:
            progress(done, steps)
    return u


def gradient(x: Tensor, axes: Axes, scales: Scales = None) -> Tensor:
    """Forward differences (axis, *x.shape) along ``axes``, times ``scales``; zero at the far end."""
    parts = x.new_zeros((len(axes), *x.shape))
    for part, axis, scale in zip(parts, axes, scales or [1.0] * len(axes), strict=True):
        inner = x.shape[axis] - 1
        part.narrow(axis, 0, inner).copy_(x.narrow(axis, 1, inner)).sub_(x.narrow(axis, 0, inner)).mul_(scale)
    return parts


def gradient_adjoint(p: Tensor, axes: Axes, scales: Scales = None) -> Tensor:
    """The adjoint of :func:`gradient`: minus the divergence."""
    total = torch.zeros_like(p[0])
    for part, axis, scale in zip(p, axes, scales or [1.0] * len(axes), strict=True):
        inner = part.narrow(axis, 0, part.shape[axis] - 1)
        total.narrow(axis, 1, inner.shape[axis]).add_(inner, alpha=scale)
        total.narrow(axis, 0, inner.shape[axis]).sub_(inner, alpha=scale)
    return total


def denoise(
    z: Tensor,
    weight: float,
    dual: Tensor,
    axes: Axes,
    scales: Scales = None,
    floor: float | None = None,
    steps: int = DUAL_STEPS,
) -> tuple[Tensor, Tensor]:
    """``argmin |u - z|^2 / 2 + weight sum |grad u|``, u at least ``floor``: u, and its dual to start from again.

    ``steps`` of fast gradient projection from ``dual`` (axis, *z.shape): u = z - weight grad' p with |p| at most 1
    everywhere. The squared norm of grad is at most 4 an axis, which bounds the step. Beck and Teboulle, Fast
    gradient-based algorithms for constrained total variation image denoising, IEEE TIP 18, 2009.
    """

    def primal(p: Tensor) -> Tensor:
        u = z - weight * gradient_adjoint(p, axes, scales)
        return u if floor is None else u.clamp_min_(floor)

    step = 1 / (4 * weight * sum(scale**2 for scale in scales or [1.0] * len(axes)))
    ahead, momentum = dual, 1.0
    for _ in range(steps):
        new = ahead + gradient(primal(ahead), axes, scales).mul_(step)
        new /= modulus(new).clamp_min_(1)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = new + (momentum - 1) / following * (new - dual)
        dual, momentum = new, following
    return primal(dual), dual


def modulus(p: Tensor) -> Tensor:
    """Length of the gradient at each voxel, over axes and both components of a complex image."""
    # a sum of squares is ten times as quick as torch.linalg.vector_norm along the first axis
    squares = torch.view_as_real(p).square().sum(-1) if p.is_complex() else p.square()
    return squares.sum(0).sqrt_()
