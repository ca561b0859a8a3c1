"""Fourier encoding against numpy, dense algebra and closed-form k-space; every way to the proximal point agrees."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from phantoms import HEAD_SLICE, sensitivities
from voxprior.errors import InputError
from voxprior.operators import fourier
from voxprior.operators.base import solve_normal
from voxprior.operators.block_solve import LARGEST, Plan, Sizes, choose
from voxprior.operators.fourier import Fourier, RealImage, fft, ifft
from voxprior.operators.masks import make_mask

EXACT = ("cholesky", "eigen")
WAYS = ("iterate", *EXACT)


def _random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.complex128) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128).to(dtype)


def _lines(*shape: int, axis: int = -1, seed: int = 0) -> Tensor:
    """Random lines along every axis but one."""
    size = [1] * len(shape)
    size[axis] = shape[axis]
    keep = torch.from_numpy(np.random.default_rng(seed).random(size) < 0.45)
    keep.view(-1)[shape[axis] // 2] = True
    return keep.expand(shape)


def _maps(ny: int, nx: int, order: int = 1) -> Tensor:
    return torch.from_numpy(sensitivities((ny, nx), order))


def _holes(maps: Tensor) -> Tensor:
    """No coil sees some rows, some columns, and a voxel within."""
    maps = maps.clone()
    maps[..., :2, :], maps[..., :, -3:], maps[..., 4, 4] = 0, 0, 0
    return maps


CASES: dict[str, Fourier] = {
    "along-x": Fourier(_lines(7, 10), _maps(7, 10)),
    "along-y": Fourier(_lines(7, 10, axis=0), _maps(7, 10)),
    "holes": Fourier(_lines(9, 10), _holes(_maps(9, 10))),
    "two-sets": Fourier(_lines(7, 10), torch.stack([0.8 * _maps(7, 10), 0.6 * _maps(7, 10).flip(2)])),
    "one-set": Fourier(_lines(7, 10), _maps(7, 10)[None]),
    "slices": Fourier(
        torch.cat([_lines(1, 7, 10), _lines(1, 7, 10, seed=1)]), _maps(7, 10)[:, None].expand(4, 2, 7, 10), (1, 2)
    ),
    "volume": Fourier(_lines(3, 4, 6), _maps(4, 6)[:, None].expand(4, 3, 4, 6)),
}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(0, 2**31))
def test_the_transform_is_numpys_centred_and_orthonormal(shape: list[int], seed: int) -> None:
    """A shift that is off by one in odd sizes moves the image by a voxel."""
    x = _random(2, *shape, seed=seed)
    dims = tuple(range(1, x.ndim))
    expected = np.fft.fftshift(
        np.fft.fftn(np.fft.ifftshift(x.numpy(), dims), axes=dims, norm="ortho"), dims
    )
    np.testing.assert_allclose(fft(x, dims).numpy(), expected, atol=1e-12)
    assert torch.allclose(ifft(fft(x, dims), dims), x, atol=1e-12)


def test_the_zero_frequency_and_the_origin_lie_at_half_the_size() -> None:
    """Files of every kind are brought to this convention."""
    for n in (6, 7):
        assert int(fft(torch.ones(1, n, dtype=torch.complex64), (1,)).abs().argmax()) == n // 2
        point = torch.zeros(1, n, dtype=torch.complex128)
        point[0, n // 2] = 1
        assert torch.allclose(fft(point, (1,)), torch.full_like(point, n**-0.5), atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_fully_sampled_data_give_the_image_back(dtype: torch.dtype) -> None:
    """With sum |maps|^2 = 1 the pseudo-inverse of everything is the image itself."""
    x = _random(1, 32, 30, dtype=dtype)
    operator = Fourier(torch.ones(32, 30, dtype=torch.bool), _maps(32, 30, 2))
    for lam in (0.0, 1e-9):
        back = operator.prox(torch.zeros_like(x), operator.apply(x), lam)
        assert float((back - x).abs().max()) < 1e-5


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_one_coil_with_a_flat_map_is_the_single_coil_operator(lam: float, lines: bool) -> None:
    """The closed form and the general solvers must not disagree on where the image lies or how bright it is."""
    mask = _lines(8, 9) if lines else torch.from_numpy(np.random.default_rng(1).random((8, 9)) < 0.5)
    alone, coil = Fourier(mask), Fourier(mask, torch.ones(1, 8, 9))
    x, d = _random(2, 8, 9), _random(2, 8, 9, seed=1)
    y = alone.apply(x)
    assert torch.allclose(coil.apply(x)[:, 0], y, atol=1e-13)
    assert torch.allclose(coil.adjoint(y[:, None]), alone.adjoint(y), atol=1e-13)
    assert torch.allclose(coil.prox(d, y[:, None], lam), alone.prox(d, y, lam), atol=1e-8)


def _dense(operator: Fourier) -> Tensor:
    n = int(np.prod(operator.image_shape))
    basis = torch.eye(n, dtype=torch.complex128).reshape(n, *operator.image_shape)
    return operator.apply(basis).flatten(1).T


@cache
def _case(name: str, lam: float) -> tuple[Tensor, Tensor, Tensor]:
    """d, y with noise, and the proximal point by the dense matrix, a column a sample."""
    operator, a = CASES[name], _dense(CASES[name])
    d = _random(2, *operator.image_shape, seed=2)
    y = operator.apply(_random(2, *operator.image_shape, seed=3)) + 0.1 * _random(2, *operator.data_shape, seed=4)
    b, flat = (operator.mask * y).flatten(1).T, d.flatten(1).T
    if lam:
        expected = torch.linalg.solve(a.mH @ a + lam * torch.eye(a.shape[1], dtype=a.dtype), a.mH @ b + lam * flat)
    else:
        expected = flat + torch.linalg.pinv(a, rtol=1e-6) @ (b - a @ flat)
    return d, y, expected


@pytest.mark.parametrize("lam", [0.0, 1e-3, 0.1, 4.0])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_every_way_to_the_proximal_point_is_the_dense_one(
    name: str, way: str, lam: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that is transposed, or a kernel that is reversed, gives a wrong image that still looks like one."""
    monkeypatch.setattr(fourier, "choose", lambda *_: way)
    d, y, expected = _case(name, lam)
    found = CASES[name].prox(d, y, lam).flatten(1).T
    assert float((found - expected).abs().max()) < 1e-6 * float(expected.abs().max())


@pytest.mark.parametrize("lam", [0.0, 1e-2])
@pytest.mark.parametrize("way", WAYS)
def test_single_precision_is_as_good_as_its_conditioning_allows(
    way: str, lam: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two and a half digits less than rounding at lam = 0.01; at lam = 0 what was measured is explained."""
    monkeypatch.setattr(fourier, "choose", lambda *_: way)
    operator = Fourier(torch.from_numpy(make_mask("uniform", (8, 48), 3, 10).keep), _maps(8, 48))
    x, d = _random(1, 8, 48), _random(1, 8, 48, seed=1)
    y = operator.apply(x)
    wide, narrow = operator.prox(d, y, lam), operator.prox(d.to(torch.complex64), y.to(torch.complex64), lam)
    assert narrow.dtype == torch.complex64
    if lam:
        assert float((wide - narrow).abs().max()) < 1e-3
    assert float((operator.apply(narrow) - y).norm() / y.norm()) < (0.1 if lam else 1e-4)


def test_what_no_coil_sees_keeps_the_prior() -> None:
    """Outside the maps the data say nothing: a solver that puts zero there would cut the prior."""
    operator = CASES["holes"]
    d = _random(1, 9, 10)
    for lam in (0.0, 0.5):
        x = operator.prox(d, operator.apply(_random(1, 9, 10, seed=1)), lam)
        assert torch.allclose(x[..., :2, :], d[..., :2, :]) and torch.allclose(x[..., -3:], d[..., -3:])
        assert float((x - d)[..., 2:4, :-3].abs().min()) > 1e-6


def test_tiny_weights_are_not_lost_in_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight below rounding makes a matrix that has no Cholesky factor; the answer is that of lam = 0."""
    monkeypatch.setattr(fourier, "choose", lambda *_: "cholesky")
    operator = Fourier(_lines(7, 10), _holes(_maps(7, 10)))
    d, y = _random(1, 7, 10, dtype=torch.complex64), _random(1, 4, 7, 10, seed=1, dtype=torch.complex64)
    y = operator.apply(operator.adjoint(y))
    x = operator.prox(d, y, 1e-9)
    assert torch.isfinite(torch.view_as_real(x)).all()
    assert float((operator.apply(x) - y).norm() / y.norm()) < 1e-3


def test_eigenvectors_that_single_precision_misses_come_from_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards k-space on which the quick algorithm fails by chance: four coils, a line in four, 192 x 192."""
    monkeypatch.setattr(fourier, "choose", lambda *_: "eigen")
    d, y = _random(1, 7, 10, dtype=torch.complex64), _random(1, 4, 7, 10, seed=1, dtype=torch.complex64)
    mask, maps = _lines(7, 10), _maps(7, 10).to(torch.complex64)
    expected = Fourier(mask, maps).prox(d, y, 0.1)
    eigh = torch.linalg.eigh

    def failing(matrices: torch.Tensor) -> object:
        if matrices.dtype == torch.complex64:
            raise torch.linalg.LinAlgError("failed to converge")
        return eigh(matrices)

    monkeypatch.setattr(torch.linalg, "eigh", failing)
    found = Fourier(mask, maps).prox(d, y, 0.1)
    assert found.dtype == d.dtype and torch.allclose(found, expected, atol=1e-5)


def test_a_matrix_that_the_quick_algorithm_leaves_without_a_number_comes_from_double(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Guards k-space of eight coils on which one matrix of a batch came back as not a number, and nothing said so."""
    monkeypatch.setattr(fourier, "choose", lambda *_: "eigen")
    d, y = _random(1, 7, 10, dtype=torch.complex64), _random(1, 4, 7, 10, seed=1, dtype=torch.complex64)
    mask, maps = _lines(7, 10), _maps(7, 10).to(torch.complex64)
    expected = Fourier(mask, maps).prox(d, y, 0.1)
    eigh = torch.linalg.eigh

    def silent(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, vectors = eigh(matrices)
        if matrices.dtype == torch.complex64:
            values[2], vectors[2] = math.nan, math.nan
        return values, vectors

    monkeypatch.setattr(torch.linalg, "eigh", silent)
    found = Fourier(mask, maps).prox(d, y, 0.1)
    assert torch.allclose(found, expected, atol=1e-5)


def test_kept_matrix_entries_are_told() -> None:
    """Guards the prediction of memory: as many as are kept where a coil sees every voxel; none for one coil."""
    operator = Fourier(_lines(7, 10), _maps(7, 10))
    operator.prox(_random(1, 7, 10), _random(1, 4, 7, 10, seed=1), 0.0)
    (blocks,) = operator._blocks.values()
    assert operator.entries == blocks._decomposition()[1].numel() > 0
    assert Fourier(_lines(7, 10)).entries == 0


@pytest.mark.parametrize("lam", [0.0, 0.1])
@pytest.mark.parametrize("way", WAYS)
def test_maps_that_are_zero_everywhere_leave_the_prior(way: str, lam: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end slices of a stack hold no head, and their maps are masked away."""
    monkeypatch.setattr(fourier, "choose", lambda *_: way)
    d = _random(1, 7, 10)
    for mask in (_lines(7, 10), torch.ones(7, 10, dtype=torch.bool)):
        operator = Fourier(mask, torch.zeros(4, 7, 10))
        assert torch.allclose(operator.prox(d, _random(1, 4, 7, 10, seed=1), lam), d)


@pytest.mark.parametrize("name", ["along-x", "slices", "volume"])
def test_samples_outside_the_mask_are_ignored(name: str) -> None:
    """Files hold noise or zero-filling there; neither is a measurement."""
    operator = CASES[name]
    y, d = _random(1, *operator.data_shape), _random(1, *operator.image_shape, seed=1)
    noisy = y + ~operator.mask * 1e6
    assert torch.allclose(operator.adjoint(y), operator.adjoint(noisy))
    assert torch.allclose(operator.prox(d, y, 0.2), operator.prox(d, noisy, 0.2))
    alone = Fourier(operator.mask)
    assert torch.allclose(alone.prox(d, y[:, 0], 0.2), alone.prox(d, noisy[:, 0], 0.2))


def test_iterations_may_start_anywhere() -> None:
    """A warm start saves time and must not move the answer."""
    operator = Fourier(torch.from_numpy(np.random.default_rng(0).random((9, 10)) < 0.4), _maps(9, 10))
    y, d = _random(2, 9, 10, seed=1), _random(2, 9, 10, seed=2)
    y = operator.apply(y)
    cold = operator.prox(d, y, 0.05)
    assert torch.allclose(operator.prox(d, y, 0.05, _random(2, 9, 10, seed=3)), cold, atol=1e-7)
    assert torch.allclose(operator.prox(d, y, 0.05, cold), cold, atol=1e-7)


def test_a_system_that_has_converged_is_left_alone() -> None:
    """A faint column solved long before a bright one would be driven by rounding into its null space."""
    operator = Fourier(_lines(6, 32), _maps(6, 32))
    x = _random(1, 6, 32, dtype=torch.complex64)
    x[:, 1:] *= 1e-5
    back = operator.adjoint(operator.apply(x))
    solution = solve_normal(operator.normal, back, torch.zeros_like(x), 0.0, 400, 1e-7, together=(-1,))
    assert float(solution.x[:, 1:].abs().max()) < 1e-3 * float(x[:, 0].abs().max())
    assert torch.isfinite(solution.residual).all()


def test_the_normal_operator_is_the_adjoint_of_the_operator() -> None:
    """Transforms that are left out must not change A'A."""
    for operator in CASES.values():
        x = _random(2, *operator.image_shape)
        assert torch.allclose(operator.normal(x), operator.adjoint(operator.apply(x)), atol=1e-12)
    real = Fourier(_lines(6, 8)) @ RealImage()
    assert real.adjoint(real.apply(torch.ones(1, 6, 8))).dtype == torch.float32


def test_gradients_flow_through_the_proximal_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Jacobian in d is lam (A'A + lam)^-1, whose action on a vector is a proximal point too."""
    lam = 0.3
    for way in WAYS:
        monkeypatch.setattr(fourier, "choose", lambda *_, way=way: way)
        for operator in CASES.values():
            d, v = (_random(1, *operator.image_shape, seed=s) for s in (5, 6))
            d.requires_grad_()
            x = operator.prox(d, _random(1, *operator.data_shape, seed=7), lam)
            (found,) = torch.autograd.grad((v.conj() * x).real.sum(), d)
            blank = torch.zeros(1, *operator.data_shape, dtype=torch.complex128)
            assert torch.allclose(found, operator.prox(v, blank, lam), atol=1e-7)


def test_data_that_do_not_fit_are_refused() -> None:
    """A broadcast of 8 coils against 1, or of another grid, gives a picture of nothing."""
    with pytest.raises(InputError, match="sensitivity maps"):
        Fourier(_lines(8, 9), _maps(9, 8))
    with pytest.raises(InputError, match="sensitivity maps"):
        Fourier(_lines(8, 9), _maps(8, 9)[0])
    for operator in (Fourier(_lines(8, 9), _maps(8, 9)), Fourier(_lines(8, 9))):
        with pytest.raises(InputError, match="coils and grid"):
            operator.prox(_random(1, 8, 9), _random(1, 1, 8, 9), 0.1)


def test_sense_of_closed_form_data_beats_zero_filling() -> None:
    """Data that the operator had no hand in: an unfolded image must come out, in its place and as bright."""
    shape = (96, 80)
    full = torch.from_numpy(HEAD_SLICE.coils(shape, 2))[None]
    maps = torch.from_numpy(sensitivities(shape, 2))
    everything = torch.ones(shape, dtype=torch.bool)
    truth = Fourier(everything, maps).adjoint(full)
    assert float((truth[0] - torch.from_numpy(HEAD_SLICE.pixels(shape))).abs().mean() / truth.abs().mean()) < 0.1
    mask = torch.from_numpy(make_mask("uniform", shape, 3, 16).keep)
    operator = Fourier(mask, maps)

    def error(x: Tensor) -> float:
        return float((x - truth).norm() / truth.norm())

    blank = torch.zeros_like(truth)
    assert error(operator.prox(blank, full, 1e-4)) < 0.1 * error(operator.adjoint(full))


def test_the_way_is_chosen_from_sizes_alone() -> None:
    """The rule of the benchmark: points iterate; lam = 0 is exact; weights that fall or stay are told apart."""
    slice_ = Sizes(320, 320, 15)
    assert choose(Sizes(320 * 320, 1, 15, changing=2), Plan(), 0.01) == "iterate"
    assert choose(slice_, Plan(), 0.0) == "eigen"
    assert choose(slice_, Plan(30), 1.0) == "iterate"
    assert choose(slice_, Plan(30), 1e-4) == "eigen"
    assert choose(slice_, Plan(1), 1e-4) == "cholesky"
    assert choose(slice_, Plan(100, weights=1), 1e-2) == "cholesky"
    assert choose(Sizes(320, LARGEST // 320**2 + 1, 15), Plan(), 0.0) == "iterate"
    planned = CASES["along-x"].planned(5, 1)
    assert planned.plan == Plan(5, 1) and torch.equal(planned.mask, CASES["along-x"].mask)


def test_a_wider_tolerance_ends_the_iterations_earlier() -> None:
    """Guidance at a high noise level needs few digits; the residual keeps its promise at each tolerance."""
    operator = Fourier(torch.from_numpy(np.random.default_rng(0).random((16, 18)) < 0.4), _maps(16, 18))
    d, y = _random(1, 16, 18), operator.apply(_random(1, 16, 18, seed=1))
    target = operator.adjoint(y) + 0.01 * d
    residuals = []
    for tolerance in (1e-1, 1e-3, 1e-6):
        x = operator.planned(30, tolerance=tolerance).prox(d, y, 0.01)
        residuals.append(float((operator.normal(x) + 0.01 * x - target).norm() / target.norm()) / tolerance)
    assert all(1e-3 < r <= 1.01 for r in residuals)


def test_shapes_are_told() -> None:
    """Methods make room for images and data from these."""
    operator = CASES["two-sets"]
    assert (operator.shape, operator.image_shape, operator.data_shape) == ((7, 10), (2, 7, 10), (4, 7, 10))
    assert Fourier(_lines(7, 10)).data_shape == (7, 10)
    assert Fourier(torch.ones(4, 5, dtype=torch.bool)).acceleration == 1.0


@pytest.mark.parametrize("mean", [0.0, 100.0])
def test_a_real_image_behind_scattered_samples_is_solved_once(mean: float) -> None:
    """After the two steps that it takes, the residual is rounding; steps along that would have no end."""
    keep = torch.from_numpy(make_mask("poisson", (48, 51), 8, 8).keep).expand(3, 48, 51)
    operator = Fourier(keep, axes=(1, 2)) @ RealImage()
    x = mean + torch.rand(1, 3, 48, 51, generator=torch.Generator().manual_seed(0))
    y = operator.apply(x)
    found = operator.prox(torch.zeros_like(x), y, 0.0)
    assert float((operator.apply(found) - y).norm() / y.norm()) < 1e-5
    assert float(found.norm()) <= float(x.norm()) * (1 + 1e-5)  # of all that explain the data, the smallest
