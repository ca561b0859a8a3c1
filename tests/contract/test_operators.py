"""Every operator passes the same contract, against a dense matrix too."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from voxprior.operators.base import Compose, Measurement, Operator, Stack, conjugate_gradients, null_space, pinv
from voxprior.operators.check import check
from voxprior.operators.separable import Separable
from voxprior.volume import SliceGeometry

SHAPE = (12, 7, 9)


def _slices(axis: int, distance: float, thickness: float, profile: str, fine: float = 1.0) -> Separable:
    n = SHAPE[axis]
    count = int((n * fine - thickness) / distance + 1e-6) + 1
    g = SliceGeometry(axis, count, distance, thickness, n, fine, profile)
    return Separable({axis: g.matrix()}, SHAPE, g)


def _stack() -> Stack:
    parts = [_slices(0, 3.0, 3.0, "box"), _slices(2, 2.0, 2.5, "gaussian")]
    return Stack(parts, [p.data_shape for p in parts])


OPERATORS: dict[str, Operator] = {
    "identity": Separable({}, SHAPE),
    "box": _slices(0, 4.0, 4.0, "box"),
    "box-real-ratio": _slices(0, 3.7, 3.7, "box"),
    "gap": _slices(2, 3.0, 2.0, "box"),
    "overlap": _slices(0, 3.0, 4.5, "box"),
    "gaussian": _slices(1, 2.0, 2.0, "gaussian"),
    "slr": _slices(0, 4.0, 4.0, "slr"),
    "two-axes": Separable(
        {0: _slices(0, 4.0, 4.0, "box").matrices[0], 2: _slices(2, 2.0, 2.0, "gaussian").matrices[2]}, SHAPE
    ),
    "three-axes": Separable({a: _slices(a, 2.0, 2.0, "box").matrices[a] for a in range(3)}, SHAPE),
    "stack": _stack(),
    "compose": Compose(
        Separable({1: np.eye(7)[::2]}, (4, 7, 9)), Separable({0: _slices(0, 3.0, 3.0, "box").matrices[0]}, SHAPE)
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("name", OPERATORS)
def test_contract(name: str, dtype: torch.dtype) -> None:
    """Adjoint, linearity, proximal point, gradient and batching hold for every operator and type."""
    check(OPERATORS[name], SHAPE, dtype)


def _dense(operator: Operator) -> torch.Tensor:
    basis = torch.eye(int(np.prod(SHAPE)), dtype=torch.float64).reshape(-1, *SHAPE)
    return operator.apply(basis).flatten(1).T


@pytest.mark.parametrize("lam", [0.0, 0.03, 2.0])
@pytest.mark.parametrize("name", OPERATORS)
def test_proximal_point_equals_the_dense_one(name: str, lam: float) -> None:
    """The proximal point is that of the dense matrix; lam = 0 keeps the null space of d."""
    operator = OPERATORS[name]
    a = _dense(operator)
    generator = torch.Generator().manual_seed(1)
    d = torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)
    y = operator.apply(torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64))
    if lam:
        flat = torch.linalg.solve(a.T @ a + lam * torch.eye(a.shape[1]), (y.flatten(1) @ a + lam * d.flatten(1)).T).T
    else:
        flat = d.flatten(1) + (y.flatten(1) - d.flatten(1) @ a.T) @ torch.linalg.pinv(a).T
    found = operator.prox(d, y, lam)
    assert torch.allclose(found.flatten(1), flat, atol=2e-6 * float(flat.abs().max()))


@pytest.mark.parametrize("name", ["box", "gap", "two-axes", "overlap"])
def test_projection_explains_the_data_in_single_precision(name: str) -> None:
    """The residual after the projection is rounding, below the 1e-4 that users are promised."""
    operator = OPERATORS[name]
    generator = torch.Generator().manual_seed(2)
    y = operator.apply(100 * torch.rand(1, *SHAPE, generator=generator))
    x = operator.prox(torch.rand(1, *SHAPE, generator=generator), y, 0.0)
    assert float((operator.apply(x) - y).norm() / y.norm()) < 1e-5


def test_null_space_is_unseen() -> None:
    """What the null-space projector returns measures as zero, and with the pseudo-inverse makes up x."""
    operator = OPERATORS["gap"]
    x = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    n = null_space(operator, x)
    assert float(operator.apply(n).abs().max()) < 1e-12
    assert torch.allclose(n + pinv(operator, operator.apply(x), x), x, atol=1e-12)


def test_the_quadratic_falls_at_every_iteration() -> None:
    """Conjugate gradients reduce their objective at every step, for each sample on its own."""
    operator, lam = OPERATORS["stack"], 0.1
    generator = torch.Generator().manual_seed(4)
    d = torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)
    y = operator.apply(torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64))
    y[1] *= 1000

    def objective(x: torch.Tensor) -> torch.Tensor:
        return (operator.apply(x) - y).flatten(1).square().sum(1) + lam * (x - d).flatten(1).square().sum(1)

    values = torch.stack(
        [objective(conjugate_gradients(operator, y, d, lam, iterations=k, tolerance=0).x) for k in range(12)]
    )
    assert (values.diff(dim=0) <= 1e-9 * values[0]).all() and (values[-1] < values[0]).all()


def test_a_broken_adjoint_is_found() -> None:
    """The public check fails on an operator whose adjoint forgets the factor, so it can fail."""

    class Broken(Separable):
        def adjoint(self, y: torch.Tensor) -> torch.Tensor:
            return 2 * super().adjoint(y)

    with pytest.raises(AssertionError, match="adjoint"):
        check(Broken({0: OPERATORS["box"].matrices[0]}, SHAPE), SHAPE)  # type: ignore[attr-defined]


def test_stack_joins_and_splits() -> None:
    """Data laid end to end come apart as they were."""
    stack = _stack()
    parts = [torch.randn(2, *shape) for shape in stack.shapes]
    for part, back in zip(parts, stack.split(stack.join(parts)), strict=True):
        assert torch.equal(part, back)
    with pytest.raises(ValueError, match="shape"):
        Stack([OPERATORS["box"]], [])


def test_condition_tells_when_the_projection_is_exact() -> None:
    """Touching boxes are perfectly conditioned; a strong overlap is not."""
    assert OPERATORS["box"].condition == pytest.approx(1.0)  # type: ignore[attr-defined]
    assert Separable({0: np.ones((2, 12)) / 12}, SHAPE).condition == float("inf")


def test_measurement_keeps_what_it_is_given() -> None:
    """A measurement without noise or place says so by None."""
    m = Measurement(OPERATORS["box"], torch.zeros(1, 3, 7, 9))
    assert m.sigma is None and m.affine is None
