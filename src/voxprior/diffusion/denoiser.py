"""The contract of a denoiser, and the derivative of any that autograd can follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Cotangent = Callable[[Tensor], Tensor]
"""D, (sample, *space), to the vector v of J' v, of the same shape."""


class Denoiser(Protocol):
    """``D(x, sigma) = E[x0 | x0 + sigma noise = x]``: pure, differentiable, each sample on its own."""

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Noise levels in image units for which D can be trusted."""
        ...

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D of x (sample, *space) with noise std ``sigma`` in image units; same shape."""
        ...

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """D, and J' v for v = cotangent(D) and J = dD/dx; both of the shape of x."""
        ...


def pullback(
    f: Callable[[Tensor, float], Tensor], x: Tensor, sigma: float, cotangent: Cotangent
) -> tuple[Tensor, Tensor]:
    """(D, J' cotangent(D)) of ``D = f(x, sigma)`` by autograd, which is on in here and nowhere else."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_(True)
        d = f(leaf, sigma)
    v = cotangent(d.detach())
    (gradient,) = torch.autograd.grad(d, leaf, v)
    return d.detach(), gradient
