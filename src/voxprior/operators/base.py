"""The contract of a measurement, and what follows from it for every operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CG_ITERATIONS = 200
CG_TOLERANCE = 1e-7
ROUNDING = 10.0
"""Residual, as a multiple of the last bit of the target, that is rounding: beyond it there is nothing to be solved."""
FLAT = 0.01
"""Curvature of a direction below this times the rounding, as a part of the largest seen, counts as none."""


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
    """Minimise ``|A x - y|^2 + lam |x - d|^2`` by :func:`solve_normal`, started at ``warm`` or d."""
    target = operator.adjoint(y) + lam * d
    start = d if warm is None or lam == 0 else warm
    return solve_normal(lambda x: operator.adjoint(operator.apply(x)), target, start, lam, iterations, tolerance)


def solve_normal(
    normal: Callable[[Tensor], Tensor],
    target: Tensor,
    start: Tensor,
    lam: float,
    iterations: int = CG_ITERATIONS,
    tolerance: float = CG_TOLERANCE,
    together: tuple[int, ...] | None = None,
) -> Solution:
    """Solve ``(A'A + lam) x = target`` by Hestenes-Stiefel iterations; ``normal`` is ``A'A``.

    ``together``: axes of x that A'A couples, by default all but the sample axis; every position along the others is a
    system of its own with its own step. With ``lam`` = 0 the part of ``start`` that A does not see is kept. Inner
    products are real parts, so that it holds for complex images too.
    """
    axes = tuple(range(1, target.ndim)) if together is None else together
    x = start
    r = target - normal(x) - lam * x
    p, rr = r, _energy(r, axes)
    tiny = torch.finfo(rr.dtype).tiny
    whole = _energy(target, axes)
    share = whole.flatten(1).mean(1).reshape(-1, *[1] * (target.ndim - 1))
    if lam == 0:  # nothing holds back a step along rounding in the null space
        tolerance = max(tolerance, ROUNDING * torch.finfo(rr.dtype).eps)
    goal = tolerance**2 * torch.maximum(whole, share)
    done, steepest = 0, torch.zeros_like(rr)
    for _ in range(iterations):
        # A system that has converged waits for the others: a further step would follow rounding into the null space.
        active = rr > goal
        if not bool(active.any()):
            break
        done += 1
        ap = normal(p) + lam * p
        curvature, length = _inner(p, ap, axes), _energy(p, axes)
        steepest = torch.maximum(steepest, curvature / length.clamp_min(tiny))
        # Rounding that has got into the null space has next to no curvature, and the step along it would be endless.
        go = active & (curvature > FLAT * torch.finfo(rr.dtype).eps * steepest * length)
        step = torch.where(go, rr / curvature.clamp_min(tiny), 0)
        x = x + step * p
        r = r - step * ap
        new = _energy(r, axes)
        p = r + (new / rr.clamp_min(tiny)) * p
        rr = new
    return Solution(x, done, torch.sqrt(rr.flatten(1).sum(1) / whole.flatten(1).sum(1).clamp_min(tiny)))


def _inner(a: Tensor, b: Tensor, axes: tuple[int, ...]) -> Tensor:
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)
        return (a * b).sum(-1).sum(axes, keepdim=True)
    return (a * b).sum(axes, keepdim=True)


def _energy(a: Tensor, axes: tuple[int, ...]) -> Tensor:
    return _inner(a, a, axes)


class Composable:
    """Gives an operator the sign for composition: ``(outer @ inner)(x) = outer(inner(x))``."""

    def __matmul__(self: Operator, inner: Operator) -> Compose:
        return Compose(self, inner)


class Compose(Composable):
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


class Stack(Composable):
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
