"""The contract of a measurement, and what follows from it for every operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CG_ITERATIONS = 200
CG_TOLERANCE = 1e-7


class Operator(Protocol):
    """A linear measurement of images x: (sample, *space), float or complex, without a channel axis."""

    def apply(self, x: Tensor) -> Tensor:
        """``A x``: (sample, *space) to (sample, *data)."""
        ...

    def adjoint(self, y: Tensor) -> Tensor:
        """``A' y``: (sample, *data) to (sample, *space)."""
        ...

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        """``argmin_x |A x - y|^2 + lam |x - d|^2``; ``lam`` = 0 projects d onto the images that explain y best."""
        ...


@dataclass(frozen=True, eq=False)
class Measurement:
    """Data ``y = A x + noise``: ``y`` (sample, *data), noise std ``sigma`` in the units of y (None: unknown).

    ``affine``: of the image grid that x lives on, 4 x 4, or None when the image has no place in a patient.
    """

    operator: Operator
    y: Tensor
    sigma: float | Tensor | None = None
    affine: NDArray[np.float64] | None = None


def pinv(operator: Operator, y: Tensor, like: Tensor) -> Tensor:
    """Smallest image that explains ``y`` best; ``like`` gives the shape of x."""
    return operator.prox(torch.zeros_like(like), y, 0.0)


def null_space(operator: Operator, x: Tensor) -> Tensor:
    """The part of x that the measurement does not see: ``x - pinv(A) A x``."""
    return x - pinv(operator, operator.apply(x), x)


@dataclass(frozen=True)
class Solution:
    """Result of :func:`conjugate_gradients`: the solution, iterations done, and the relative residual a sample."""

    x: Tensor
    iterations: int
    residual: Tensor


def conjugate_gradients(
    operator: Operator,
    y: Tensor,
    d: Tensor,
    lam: float,
    warm: Tensor | None = None,
    iterations: int = CG_ITERATIONS,
    tolerance: float = CG_TOLERANCE,
) -> Solution:
    """Minimise ``|A x - y|^2 + lam |x - d|^2`` by Hestenes-Stiefel iterations, each sample with its own step.

    Started at ``warm`` or d. With ``lam`` = 0 and the start at d, the part of d that A does not see is kept.
    """
    target = operator.adjoint(y) + lam * d
    x = d.clone() if warm is None or lam == 0 else warm.clone()
    r = target - operator.adjoint(operator.apply(x)) - lam * x
    p, rr = r.clone(), _inner(r, r)
    scale = _inner(target, target).clamp_min(torch.finfo(rr.dtype).tiny)
    done = 0
    for _ in range(iterations):
        done += 1
        ap = operator.adjoint(operator.apply(p)) + lam * p
        curvature = _inner(p, ap)
        # A sample that has converged has p = 0: its step is 0, not 0/0, so that it waits for the others.
        step = torch.where(curvature > 0, rr / curvature.clamp_min(torch.finfo(rr.dtype).tiny), torch.zeros_like(rr))
        x = x + _wide(step, x) * p
        r = r - _wide(step, r) * ap
        new = _inner(r, r)
        if bool((new <= tolerance**2 * scale).all()):
            rr = new
            break
        p = r + _wide(new / rr.clamp_min(torch.finfo(rr.dtype).tiny), p) * p
        rr = new
    return Solution(x, done, torch.sqrt(rr / scale))


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a.conj() * b).real.flatten(1).sum(1) if a.is_complex() else (a * b).flatten(1).sum(1)


def _wide(value: Tensor, like: Tensor) -> Tensor:
    return value.reshape(-1, *[1] * (like.ndim - 1))


class Compose:
    """``outer(inner(x))`` as one operator; its proximal point comes from conjugate gradients."""

    def __init__(self, outer: Operator, inner: Operator) -> None:
        self.outer, self.inner = outer, inner

    def apply(self, x: Tensor) -> Tensor:
        """``A x``."""
        return self.outer.apply(self.inner.apply(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """``A' y``."""
        return self.inner.adjoint(self.outer.adjoint(y))

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        """Proximal point by conjugate gradients, see :class:`Operator`."""
        return conjugate_gradients(self, y, d, lam, warm).x


class Stack:
    """Several measurements of one image; ``y`` is their data laid end to end, (sample, total).

    ``shapes``: the data shape of each operator, without the sample axis. :meth:`join` and :meth:`split` convert.
    """

    def __init__(self, operators: Sequence[Operator], shapes: Sequence[tuple[int, ...]]) -> None:
        if len(operators) != len(shapes) or not operators:
            raise ValueError(f"{len(operators)} operators and {len(shapes)} shapes; give one shape an operator")
        self.operators, self.shapes = tuple(operators), tuple(shapes)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Lay the data of the operators end to end."""
        return torch.cat([part.flatten(1) for part in parts], dim=1)

    def split(self, y: Tensor) -> list[Tensor]:
        """Cut joined data into those of each operator."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        pieces = torch.split(y, sizes, dim=1)
        return [piece.reshape(-1, *shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def apply(self, x: Tensor) -> Tensor:
        """``A x``."""
        return self.join([operator.apply(x) for operator in self.operators])

    def adjoint(self, y: Tensor) -> Tensor:
        """``A' y``."""
        parts = [op.adjoint(part) for op, part in zip(self.operators, self.split(y), strict=True)]
        return torch.stack(parts).sum(0)

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        """Proximal point by conjugate gradients, see :class:`Operator`."""
        return conjugate_gradients(self, y, d, lam, warm).x
