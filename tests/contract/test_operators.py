"""Every registered operator passes the same contract, against a dense matrix too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import Tensor

from phantoms import sensitivities
from voxprior import registry
from voxprior.operators.base import Compose, Measurement, Operator, Stack, conjugate_gradients, null_space, pinv
from voxprior.operators.check import check
from voxprior.operators.deepinv import DeepinvOperator
from voxprior.operators.fourier import Fourier, RealImage
from voxprior.operators.placement import Grid
from voxprior.operators.placement import Stack as Slab
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.operators.separable import Separable
from voxprior.operators.tilted import TiltedSlices, operator_of
from voxprior.operators.tomography import Tomography
from voxprior.volume import SliceGeometry

SHAPE = (12, 7, 9)
REAL = (torch.float32, torch.float64)
COMPLEX = (torch.complex64, torch.complex128)


@dataclass(frozen=True, eq=False)
class Example:
    """An operator at a small size, with the images that it takes."""

    operator: Operator
    shape: tuple[int, ...] = SHAPE
    dtypes: tuple[torch.dtype, ...] = (*REAL, torch.complex64)


def _slices(axis: int, distance: float, thickness: float, profile: str, fine: float = 1.0) -> Separable:
    n = SHAPE[axis]
    count = int((n * fine - thickness) / distance + 1e-6) + 1
    g = SliceGeometry(axis, count, distance, thickness, n, fine, profile)
    return Separable({axis: g.matrix()}, SHAPE, (g,))


def _truncated(axes: dict[int, float]) -> Separable:
    """SHAPE seen through the centre of k-space: axis to how many times coarser."""
    geometry = [SliceGeometry(a, round(SHAPE[a] / f), f, f, SHAPE[a], 1.0, "kspace") for a, f in axes.items()]
    measured = tuple(round(n / axes.get(a, 1.0)) for a, n in enumerate(SHAPE))
    return Separable.from_axes(geometry, measured)


def _stack() -> Stack:
    parts = [_slices(0, 3.0, 3.0, "box"), _slices(2, 2.0, 2.5, "gaussian")]
    return Stack(parts, [p.data_shape for p in parts])


def _tilted(*degrees: float) -> TiltedSlices:
    """Thick slices of SHAPE, turned about one axis after the other, through the middle."""
    turn = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        rotation, rest = np.eye(4), [a for a in range(3) if a != axis]
        rotation[np.ix_(rest, rest)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        turn = turn @ rotation
    affine = turn @ np.diag([1.2, 1.0, 2.5, 1.0])
    affine[:3, 3] = (np.array(SHAPE) - 1) / 2 - affine[:3, :3] @ [3.5, 2.5, 1.5]
    operator, _ = operator_of(Slab(affine, (8, 6, 4), 2, 2.0, "gaussian"), Grid(np.eye(4), SHAPE))
    assert isinstance(operator, TiltedSlices)
    return operator


def _keep(*shape: int, share: float = 0.4, seed: int = 0) -> Tensor:
    """Random mask whose first sample is kept; axes of length 1 are expanded by the caller."""
    keep = torch.from_numpy(np.random.default_rng(seed).random(shape) < share)
    keep.view(-1)[0] = True
    return keep


def _maps(*space: int, order: int = 1) -> Tensor:
    """Smooth maps (coil, *space); a leading axis of the space gets another phase a slice."""
    maps = torch.from_numpy(sensitivities((space[-2], space[-1]), order))
    if len(space) == 2:
        return maps
    turns = torch.exp(1j * torch.arange(space[0], dtype=torch.float64)[:, None] * torch.arange(len(maps))).T
    return turns[:, :, None, None] * maps[:, None]


def _two_sets() -> Tensor:
    first, second = _maps(8, 9), _maps(8, 9).flip(1, 2)
    return torch.stack([0.8 * first, 0.6j * second])


class Decimation:
    """Stands for a physics of deepinv: images (sample, channel, *space), a blur along the last axis and every other."""

    weights = (1.0, -2.5, 0.5)

    def A(self, x: Tensor) -> Tensor:
        blurred = sum(w * x.roll(k, -1) for k, w in enumerate(self.weights))
        assert isinstance(blurred, Tensor)
        return blurred[..., ::2]

    def A_adjoint(self, y: Tensor) -> Tensor:
        wide = torch.stack([y, torch.zeros_like(y)], dim=-1).flatten(-2)
        back = sum(w * wide.roll(-k, -1) for k, w in enumerate(self.weights))
        assert isinstance(back, Tensor)
        return back


VIEWS = ProjectionGeometry((5, 6), (1.0, 1.2), (0.0, 33.0, 100.0, 160.0), 9, 1.3)
FAN = replace(VIEWS, beam="fan-arc", source=30.0, detector=50.0)

EXAMPLES: dict[str, dict[str, Example]] = {
    "separable": {
        "identity": Example(Separable({}, SHAPE)),
        "box": Example(_slices(0, 4.0, 4.0, "box")),
        "box-real-ratio": Example(_slices(0, 3.7, 3.7, "box")),
        "gap": Example(_slices(2, 3.0, 2.0, "box")),
        "overlap": Example(_slices(0, 3.0, 4.5, "box")),
        "gaussian": Example(_slices(1, 2.0, 2.0, "gaussian")),
        "slr": Example(_slices(0, 4.0, 4.0, "slr")),
        "two-axes": Example(
            Separable(
                {0: _slices(0, 4.0, 4.0, "box").matrices[0], 2: _slices(2, 2.0, 2.0, "gaussian").matrices[2]}, SHAPE
            )
        ),
        "kspace-even": Example(_truncated({0: 2.0})),
        "kspace-odd-and-even": Example(_truncated({1: 7 / 3, 2: 9 / 4})),
        "kspace-real-ratio": Example(_truncated({0: 2.3})),
        "three-axes": Example(Separable({a: _slices(a, 2.0, 2.0, "box").matrices[a] for a in range(3)}, SHAPE)),
    },
    "tilted-slices": {
        "turned": Example(_tilted(25.0)),
        "turned-two-ways": Example(_tilted(-14.0, 31.0)),
    },
    "fourier": {
        "one-coil": Example(Fourier(_keep(8, 9)), (8, 9), COMPLEX),
        "one-coil-volume": Example(Fourier(_keep(4, 5, 6)), (4, 5, 6), COMPLEX),
        "one-coil-slices": Example(Fourier(_keep(4, 5, 6), axes=(0, 2)), (4, 5, 6), COMPLEX),
        "lines": Example(Fourier(_keep(1, 9).expand(8, 9), _maps(8, 9)), (8, 9), COMPLEX),
        "lines-along-x": Example(Fourier(_keep(8, 1).expand(8, 9), _maps(8, 9)), (8, 9), COMPLEX),
        "points": Example(Fourier(_keep(8, 9), _maps(8, 9, order=2)), (8, 9), COMPLEX),
        "everything": Example(Fourier(_keep(8, 9, share=1.0), _maps(8, 9)), (8, 9), COMPLEX),
        "slices": Example(Fourier(_keep(3, 1, 7).expand(3, 6, 7), _maps(3, 6, 7), (1, 2)), (3, 6, 7), COMPLEX),
        "volume": Example(Fourier(_keep(5, 6, 1).expand(5, 6, 7), _maps(5, 6, 7)), (5, 6, 7), COMPLEX),
        "two-sets": Example(Fourier(_keep(1, 9).expand(8, 9), _two_sets()), (2, 8, 9), COMPLEX),
        "two-sets-points": Example(Fourier(_keep(8, 9), _two_sets()), (2, 8, 9), COMPLEX),
    },
    "real-image": {"embedding": Example(RealImage(), (5, 6), REAL)},
    "compose": {
        "slices-of-slices": Example(
            Separable({1: np.eye(7)[::2]}, (4, 7, 9)) @ Separable({0: _slices(0, 3.0, 3.0, "box").matrices[0]}, SHAPE)
        ),
        "k-space-of-real-images": Example(Fourier(_keep(8, 9)) @ RealImage(), (8, 9), REAL),
        "coils-of-real-images": Example(
            Fourier(_keep(1, 9).expand(8, 9), _maps(8, 9)) @ RealImage(), (8, 9), REAL
        ),
        "slices-of-a-k-space-stack": Example(
            Separable({0: np.eye(4)[1:3]}, (4, 5, 6)) @ Fourier(_keep(4, 5, 6), axes=(1, 2)), (4, 5, 6), COMPLEX
        ),
    },
    "stack": {"two-stacks": Example(_stack())},
    "tomography": {
        "slices": Example(Tomography(VIEWS, (3, 5, 6)), (3, 5, 6)),
        "fan": Example(Tomography(FAN, (5, 3, 6), 1), (5, 3, 6)),
    },
    "deepinv": {
        "one-channel": Example(DeepinvOperator(Decimation()), (5, 6), REAL),
        "two-channels": Example(DeepinvOperator(Decimation()), (4, 5, 6), COMPLEX),
    },
}
"""Registered name to examples; an operator that joins the registry gets a line here."""

ALL = {f"{name}:{example}": e for name, examples in EXAMPLES.items() for example, e in examples.items()}
CASES = [(name, dtype) for name, e in ALL.items() for dtype in e.dtypes]
DOUBLE = [name for name, e in ALL.items() if {torch.float64, torch.complex128} & set(e.dtypes)]


def test_every_registered_operator_has_an_example_of_its_own_class() -> None:
    """An operator that nobody checks is the one that is wrong."""
    assert set(EXAMPLES) == set(registry.OPERATORS)
    for name, where in registry.OPERATORS.items():
        module, _, attribute = where.partition(":")
        kind = getattr(import_module(module), attribute)
        assert EXAMPLES[name] and all(isinstance(e.operator, kind) for e in EXAMPLES[name].values())


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_contract(name: str, dtype: torch.dtype) -> None:
    """Adjoint, linearity, proximal point, gradient and batching hold for every operator and type."""
    check(ALL[name].operator, ALL[name].shape, dtype)


def _images(example: Example, count: int, seed: int) -> Tensor:
    dtype = torch.complex128 if torch.complex128 in example.dtypes else torch.float64
    return torch.randn(count, *example.shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def _flat(x: Tensor, real: bool) -> Tensor:
    """(sample, numbers); complex data of real images as twice as many real ones."""
    return torch.view_as_real(x).flatten(1) if real and x.is_complex() else x.flatten(1)


@pytest.mark.parametrize("lam", [0.0, 0.03, 2.0])
@pytest.mark.parametrize("name", DOUBLE)
def test_proximal_point_equals_the_dense_one(name: str, lam: float) -> None:
    """The proximal point is that of the dense matrix; lam = 0 keeps the null space of d.

    A singular value that is nothing but the rounding of stored numbers counts as zero.
    """
    example = ALL[name]
    d = _images(example, 2, 1)
    real = not d.is_complex()
    basis = torch.eye(d[0].numel(), dtype=d.dtype)
    a = _flat(example.operator.apply(basis.reshape(-1, *example.shape)), real).T
    data = example.operator.apply(_images(example, 2, 2))
    y = _flat(data, real)
    if lam:
        flat = torch.linalg.solve(a.mH @ a + lam * basis, a.mH @ y.T + lam * d.flatten(1).T).T
    else:
        flat = d.flatten(1) + (torch.linalg.pinv(a, rtol=1e-6) @ (y.T - a @ d.flatten(1).T)).T
    found = example.operator.prox(d, data, lam)
    assert torch.allclose(found.flatten(1), flat, atol=2e-6 * float(flat.abs().max()))


def _operator(name: str) -> Operator:
    return ALL[name].operator


@pytest.mark.parametrize("name", ["box", "gap", "two-axes", "overlap", "kspace-even", "kspace-odd-and-even"])
def test_projection_explains_the_data_in_single_precision(name: str) -> None:
    """The residual after the projection is rounding, below the 1e-4 that users are promised."""
    operator = _operator(f"separable:{name}")
    generator = torch.Generator().manual_seed(2)
    y = operator.apply(100 * torch.rand(1, *SHAPE, generator=generator))
    x = operator.prox(torch.rand(1, *SHAPE, generator=generator), y, 0.0)
    assert float((operator.apply(x) - y).norm() / y.norm()) < 1e-5


@pytest.mark.parametrize("name", ["separable:gap", "fourier:one-coil", "fourier:lines"])
def test_null_space_is_unseen(name: str) -> None:
    """What the null-space projector returns measures as zero, and with the pseudo-inverse makes up x."""
    operator = _operator(name)
    x = _images(ALL[name], 1, 3)
    n = null_space(operator, x)
    assert float(operator.apply(n).abs().max()) < 1e-10
    assert torch.allclose(n + pinv(operator, operator.apply(x), x), x, atol=1e-10)


@pytest.mark.parametrize("name", ["stack:two-stacks", "fourier:points", "compose:k-space-of-real-images"])
def test_the_quadratic_falls_at_every_iteration(name: str) -> None:
    """Conjugate gradients reduce their objective at every step, for each sample on its own, complex ones too."""
    operator, lam = _operator(name), 0.1
    d = _images(ALL[name], 2, 4)
    y = operator.apply(_images(ALL[name], 2, 5))
    y[1] *= 1000

    def objective(x: torch.Tensor) -> torch.Tensor:
        fit = (operator.apply(x) - y).abs().flatten(1).square().sum(1)
        return fit + lam * (x - d).abs().flatten(1).square().sum(1)

    values = torch.stack(
        [objective(conjugate_gradients(operator, y, d, lam, iterations=k, tolerance=0).x) for k in range(12)]
    )
    assert (values.diff(dim=0) <= 1e-9 * values[0]).all() and (values[-1] < values[0]).all()


class _Doubled(Separable):
    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return 2 * super().adjoint(y)


class _Unconjugated(Fourier):
    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return super().adjoint(y).conj()


@pytest.mark.parametrize(
    ("operator", "example"),
    [
        (_Doubled({0: _slices(0, 4.0, 4.0, "box").matrices[0]}, SHAPE), "separable:box"),
        (_Unconjugated(_keep(8, 9), _maps(8, 9)), "fourier:points"),
    ],
)
def test_a_broken_adjoint_is_found(operator: Operator, example: str) -> None:
    """The public check fails on an adjoint that forgets a factor or a conjugate, so it can fail."""
    with pytest.raises(AssertionError, match="adjoint"):
        check(operator, ALL[example].shape, ALL[example].dtypes[0])


def test_stack_joins_and_splits() -> None:
    """Data laid end to end come apart as they were."""
    stack = _stack()
    parts = [torch.randn(2, *shape) for shape in stack.shapes]
    for part, back in zip(parts, stack.split(stack.join(parts)), strict=True):
        assert torch.equal(part, back)
    with pytest.raises(ValueError, match="shape"):
        Stack([_operator("separable:box")], [])


def test_composition_reads_from_right_to_left() -> None:
    """A @ B measures with B first, as matrices do, and composes further."""
    x = _images(ALL["compose:slices-of-a-k-space-stack"], 1, 6)
    pick, transform = Separable({0: np.eye(4)[1:3]}, (4, 5, 6)), Fourier(_keep(4, 5, 6), axes=(1, 2))
    both = pick @ transform @ transform
    assert isinstance(both, Compose)
    assert torch.equal(both.apply(x), pick.apply(transform.apply(transform.apply(x))))


def test_condition_tells_when_the_projection_is_exact() -> None:
    """Touching boxes are perfectly conditioned; a strong overlap is not."""
    assert _slices(0, 4.0, 4.0, "box").condition == pytest.approx(1.0)
    assert Separable({0: np.ones((2, 12)) / 12}, SHAPE).condition == float("inf")


def test_measurement_keeps_what_it_is_given() -> None:
    """A measurement without noise or place says so by None."""
    m = Measurement(_operator("separable:box"), torch.zeros(1, 3, 7, 9))
    assert m.sigma is None and m.affine is None
