"""Property checks that outsiders call on an operator of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from voxprior.operators.base import Operator

TOLERANCE = {torch.float32: 1e-5, torch.complex64: 1e-5, torch.float64: 1e-12, torch.complex128: 1e-12}
PROX_TOLERANCE = {torch.float32: 1e-5, torch.complex64: 1e-5, torch.float64: 1e-6, torch.complex128: 1e-6}


def check(
    operator: Operator,
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    device: str = "cpu",
) -> None:
    """Check adjoint, linearity, proximal point, gradient and batching of ``operator`` on random images.

    ``shape``: of the image, without the sample axis; ``dtype``: of the image, real or complex. Data may be complex for
    real images: inner products are then real parts. Raises AssertionError that names the property and the figure.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        part = torch.randn(size, generator=generator, dtype=torch.float64)
        if not dtype.is_complex:
            return part.to(device, dtype)
        return torch.complex(part, torch.randn(size, generator=generator, dtype=torch.float64)).to(device, dtype)

    x, x2 = draw((2, *shape), dtype), draw((2, *shape), dtype)
    ax = operator.apply(x)
    y = draw(tuple(ax.shape), ax.dtype)
    factor = -3 + 2j if dtype.is_complex else -3
    _adjoint(operator, x, ax, y, dtype)
    _close(
        "linearity", operator.apply(2 * x + factor * x2), 2 * ax + factor * operator.apply(x2), 10 * TOLERANCE[dtype]
    )
    _close("batching", operator.apply(x[1:]), ax[1:], TOLERANCE[dtype])
    _close("batching of the adjoint", operator.adjoint(y[1:]), operator.adjoint(y)[1:], TOLERANCE[dtype])
    for lam in (1e-2, 1.0, 30.0):
        _prox(operator, x2, y, lam, dtype)
    _gradient(operator, x, y, dtype)


def _adjoint(operator: Operator, x: Tensor, ax: Tensor, y: Tensor, dtype: torch.dtype) -> None:
    # The imaginary part is the real one of i x, so that complex operators are held to both.
    difference = (y.conj() * ax).sum() - (operator.adjoint(y).conj() * x).sum()
    size = float(ax.abs().square().sum().sqrt() * y.abs().square().sum().sqrt())
    error = float((difference if dtype.is_complex else difference.real).abs()) / max(size, 1e-300)
    if not error <= TOLERANCE[dtype]:
        bound = TOLERANCE[dtype]
        raise AssertionError(f"adjoint: |<Ax, y> - <x, A'y>| is {error:.2e} of |Ax| |y|; at most {bound:.0e}")


def _prox(operator: Operator, d: Tensor, y: Tensor, lam: float, dtype: torch.dtype) -> None:
    x = operator.prox(d, y, lam)
    back = operator.adjoint(y)
    gradient = operator.adjoint(operator.apply(x)) + lam * x - back - lam * d
    size = float(back.abs().square().sum().sqrt() + lam * d.abs().square().sum().sqrt())
    error = float(gradient.abs().square().sum().sqrt()) / size
    if not error <= PROX_TOLERANCE[dtype]:
        raise AssertionError(f"prox: normal equations for lam {lam:g} are off by {error:.2e} of |A'y| + lam |d|")


def _gradient(operator: Operator, x: Tensor, y: Tensor, dtype: torch.dtype) -> None:
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((operator.apply(leaf) - y).abs().square().sum(), leaf, allow_unused=True)
    if gradient is None:
        raise AssertionError("gradient: none reaches the image; apply() must be made of differentiable operations")
    _close("gradient", gradient, 2 * operator.adjoint(operator.apply(x) - y), 100 * TOLERANCE[dtype])


def _close(name: str, found: Tensor, expected: Tensor, tolerance: float) -> None:
    error = float((found - expected).abs().max()) / max(float(expected.abs().max()), 1e-300)
    if not error <= tolerance:
        raise AssertionError(f"{name}: off by {error:.2e} of the largest value; at most {tolerance:.0e}")
