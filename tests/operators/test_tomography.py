"""X-ray views as an operator: contract, closed-form projections, weights and the filtered back-projection."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from phantoms import HEAD, Ellipsoid, Phantom
from voxprior.errors import InputError
from voxprior.operators.backprojection import filtered_backprojection, view_weights
from voxprior.operators.base import Measurement, null_space
from voxprior.operators.check import check
from voxprior.operators.projection_matrix import ProjectionGeometry, build_matrix
from voxprior.operators.tomography import Tomography, _product, whitened

SHAPE = (8, 5, 6)
"""Of the images; a plane has two of its axes."""
MU = Phantom(tuple(Ellipsoid(e.centre, e.radii, e.value / 8000) for e in HEAD.parts))
"""The head with the attenuation of water, about .02 / mm."""
HEIGHT = 1.0


def operators() -> Iterator[tuple[str, Tomography]]:
    generator = torch.Generator().manual_seed(0)
    for axis in range(3):
        plane = tuple(n for a, n in enumerate(SHAPE) if a != axis)
        g = ProjectionGeometry(plane, (1.0, 1.2), (0.0, 33.0, 100.0, 160.0), 9, 1.3)  # type: ignore[arg-type]
        yield f"slices-{axis}", Tomography(g, SHAPE, axis)
        yield f"weights-{axis}", Tomography(g, SHAPE, axis, torch.rand(4, 9, generator=generator) + 0.3)
        each = torch.rand(SHAPE[axis], 4, 9, generator=generator) + 0.3
        yield f"weights-a-slice-{axis}", Tomography(g, SHAPE, axis, each)
    for beam in ("fan-flat", "fan-arc"):
        fan = replace(g, beam=beam, source=30.0, detector=50.0)  # type: ignore[arg-type]
        yield beam, Tomography(fan, SHAPE, 2)
        yield f"{beam}-slice", Tomography(fan)


OPERATORS = dict(operators())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("name", OPERATORS)
def test_contract(name: str, dtype: torch.dtype) -> None:
    """TP-10, TP-11: the adjoint is the transpose, and prox, gradient, linearity and batching hold for every layout."""
    check(OPERATORS[name], OPERATORS[name].shape, dtype)


@pytest.mark.parametrize("lam", [0.0, 0.03, 2.0])
@pytest.mark.parametrize("name", OPERATORS)
def test_proximal_point_equals_the_dense_one(name: str, lam: float) -> None:
    """Against a dense matrix: also with lam = 0, where the null space of d is kept."""
    operator = OPERATORS[name]
    size = math.prod(operator.shape)
    a = operator.apply(torch.eye(size, dtype=torch.float64).reshape(-1, *operator.shape)).flatten(1).T
    generator = torch.Generator().manual_seed(1)
    d = torch.randn(2, *operator.shape, generator=generator, dtype=torch.float64)
    y = operator.apply(torch.randn(2, *operator.shape, generator=generator, dtype=torch.float64))
    if lam:
        flat = torch.linalg.solve(a.T @ a + lam * torch.eye(size), (y.flatten(1) @ a + lam * d.flatten(1)).T).T
    else:  # views that hold the same mass depend on each other but for the rounding of float32, which is no rank
        flat = d.flatten(1) + (y.flatten(1) - d.flatten(1) @ a.T) @ torch.linalg.pinv(a, rtol=1e-6).T
    warm = None if lam == 0 else torch.randn(d.shape, generator=generator, dtype=torch.float64)
    assert torch.allclose(operator.prox(d, y, lam, warm).flatten(1), flat, atol=2e-6 * float(flat.abs().max()))


def test_the_normal_operator_is_adjoint_after_apply() -> None:
    """The shortcut that the iterations take is the same operator, weights and complex images included."""
    for operator in OPERATORS.values():
        x = torch.randn(2, *operator.shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(operator.normal(x), operator.adjoint(operator.apply(x)), rtol=1e-12, atol=1e-12)


def test_gradients_of_gradients_flow() -> None:
    """Guidance through a prox differentiates twice: of |A x|^2 the second derivative is 2 A'A."""
    operator = OPERATORS["weights-0"]
    x = torch.randn(1, *SHAPE, dtype=torch.float64, requires_grad=True)
    v = torch.randn(1, *SHAPE, dtype=torch.float64)
    (first,) = torch.autograd.grad(operator.apply(x).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad((first * v).sum(), x)
    torch.testing.assert_close(second, 2 * operator.normal(v))


def test_scipy_and_torch_multiply_alike() -> None:
    """A machine whose torch has no sparse products computes the same."""
    a = build_matrix(OPERATORS["slices-0"].geometry)
    x = torch.randn(a.shape[1], 40, generator=torch.Generator().manual_seed(3))
    expected = torch.from_numpy(a.toarray() @ x.numpy())
    torch.testing.assert_close(_product(a, torch.device("cpu"), torch.float32)(x), expected, rtol=1e-5, atol=1e-5)


def test_scipy_multiplies_where_torch_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the other branch on this machine too, in both number formats."""
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    for dtype in (torch.float32, torch.float64):
        operator = Tomography(OPERATORS["slices-1"].geometry, SHAPE, 1)
        x = torch.randn(1, *SHAPE, dtype=dtype, generator=torch.Generator().manual_seed(3))
        found = operator.apply(x)
        assert found.dtype == dtype
        torch.testing.assert_close(found, OPERATORS["slices-1"].apply(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("call", ["apply", "adjoint", "weights", "slices"])
def test_shapes_that_do_not_fit_are_told(call: str) -> None:
    """Guards against a silent reshape: image, sinogram, weights and slices of another size are refused."""
    operator = OPERATORS["slices-0"]
    with pytest.raises(InputError):
        if call == "apply":
            operator.apply(torch.zeros(1, 8, 6, 5))
        elif call == "adjoint":
            operator.adjoint(torch.zeros(1, 8, 9, 4))
        elif call == "weights":
            operator.weighted(torch.zeros(9, 4))
        else:
            Tomography(operator.geometry, SHAPE, 1)


def test_weights_that_are_no_weights_are_told() -> None:
    """A negative or infinite weight is a slip of the noise model."""
    for bad in (-1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="finite and not negative"):
            OPERATORS["slices-0"].weighted(torch.full((4, 9), bad))


def test_whitening_gives_every_ray_noise_of_std_1() -> None:
    """Weighted least squares: the answer is that of the generalised normal equations, and a dead ray has no say."""
    operator = Tomography(OPERATORS["slices-2"].geometry, (8, 5, 3), 2)
    generator = torch.Generator().manual_seed(4)
    sigma = torch.rand(1, *operator.data_shape, generator=generator, dtype=torch.float64) + 0.2
    sigma[..., 3] = torch.inf
    y = torch.randn(1, *operator.data_shape, generator=generator, dtype=torch.float64)
    white = whitened(Measurement(operator, y, sigma[0]))
    assert white.sigma == 1.0
    d = torch.randn(1, *operator.shape, generator=generator, dtype=torch.float64)
    found = white.operator.prox(d, white.y, 0.5)
    size = math.prod(operator.shape)
    a = operator.apply(torch.eye(size, dtype=torch.float64).reshape(-1, *operator.shape)).flatten(1).T
    w = torch.where(torch.isfinite(sigma), sigma**-2, 0).flatten()
    h = a.T @ (w[:, None] * a) + 0.5 * torch.eye(a.shape[1])
    expected = torch.linalg.solve(h, a.T @ (w * y.flatten()) + 0.5 * d.flatten())
    torch.testing.assert_close(found.flatten(), expected, rtol=1e-6, atol=1e-7)
    again = whitened(Measurement(white.operator, white.y, torch.full(operator.data_shape, 2.0)))
    torch.testing.assert_close(again.operator.apply(d), white.operator.apply(d) / 2)
    one = Measurement(operator, y, 0.3)
    assert whitened(one) is one


def _views(g: ProjectionGeometry) -> np.ndarray:
    """Closed-form sinogram (slice, view, bin) of one slice of the head."""
    if g.source is None or g.detector is None:
        return MU.views(g.angles, g.positions, [HEIGHT], g.bin_width)
    inside = g.positions + ((np.arange(9) + 0.5)[:, None] / 9 - 0.5) * g.bin_width
    fan = np.arctan(inside / g.detector) if g.beam == "fan-flat" else inside / g.detector
    angles = np.array(g.angles)[:, None, None] - np.rad2deg(fan)
    return MU.rays(angles, g.source * np.sin(fan), HEIGHT).mean(axis=1)[None]


def _truth(g: ProjectionGeometry, fine: int = 5) -> np.ndarray:
    """Mean of the head over each pixel."""
    parts = (np.arange(fine) + 0.5) / fine - 0.5
    y, x = ((axis[:, None] + parts * p).ravel() for axis, p in zip(g.axes(), g.pixel, strict=True))
    values = MU.at(x, y[:, None], HEIGHT)
    return values.reshape(g.shape[0], fine, g.shape[1], fine).mean(axis=(1, 3))


def _scanner(beam: str, views: int, turn: float, size: int = 64) -> ProjectionGeometry:
    pixel = 48.0 / size
    fan = {} if beam == "parallel" else {"source": 120.0, "detector": 200.0}
    width = pixel if beam == "parallel" else pixel * 200 / 120
    angles = tuple(7.0 + np.arange(views) * turn / views)
    return ProjectionGeometry((size, size - 4), (pixel, pixel), angles, int(1.3 * size), width, 0.2, beam, **fan)  # type: ignore[arg-type]


@pytest.mark.parametrize("beam", ["parallel", "fan-flat", "fan-arc"])
def test_views_of_pixels_tend_to_the_closed_form(beam: str) -> None:
    """No inverse crime: what the matrix makes of finer and finer pixels tends to the integrals through ellipses."""
    errors = []
    for size in (32, 96):
        g = _scanner(beam, 12, 180.0, size)
        found = Tomography(g).apply(torch.from_numpy(_truth(g))[None])[0].numpy()
        expected = _views(g)[0]
        errors.append(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    assert errors[1] < 6e-3 and errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("turn", [180.0, 360.0])
@pytest.mark.parametrize("beam", ["parallel", "fan-flat", "fan-arc"])
def test_filtered_backprojection_of_closed_form_views_is_the_head(beam: str, turn: float) -> None:
    """Scale, angles and the share of opposite rays: 1 % of the mean, whatever the beam and the turn (fan: 230)."""
    g = _scanner(beam, 120, 230.0 if beam != "parallel" and turn == 180.0 else turn)
    image = filtered_backprojection(torch.from_numpy(_views(g)), g)[0].numpy()
    truth = _truth(g)
    brain = np.hypot(g.axes()[0][:, None] / 12, g.axes()[1] / 9) < 1
    assert image[brain].mean() == pytest.approx(truth[brain].mean(), rel=0.01)
    assert np.sqrt(np.square(image - truth).mean()) < 0.06 * truth.max()


def test_filtered_backprojection_equals_that_of_another_library() -> None:
    """scikit-image, with the same filter, agrees but for its own interpolation, which turns the other way."""
    from skimage.transform import iradon

    size = 65
    g = ProjectionGeometry((size, size), (1.0, 1.0), tuple(np.arange(60) * 3.0), size, 1.0)
    y = _views(g)
    for name, other in (("ram-lak", "ramp"), ("shepp-logan", "shepp-logan"), ("cosine", "cosine"), ("hann", "hann")):
        ours = filtered_backprojection(torch.from_numpy(y), g, name)[0].numpy()  # type: ignore[arg-type]
        theirs = iradon(y[0].T, np.array(g.angles), filter_name=other, circle=True)[::-1]
        inner = np.hypot(*np.meshgrid(*g.axes())) < 30
        assert np.abs(ours - theirs)[inner].max() < 0.03 * ours.max(), name


def test_a_limited_angle_is_not_stretched_over_the_gap() -> None:
    """TP-11: views that were not taken count nothing: 90 degrees of parallel views weigh half of 180."""
    assert view_weights(tuple(np.arange(30) * 3.0), 180.0).sum() == pytest.approx(math.pi / 2)
    assert view_weights(tuple(np.arange(60) * 3.0), 180.0).sum() == pytest.approx(math.pi)
    assert view_weights(tuple(np.arange(120) * 3.0), 180.0).sum() == pytest.approx(math.pi)
    assert view_weights((10.0,), 180.0).sum() == pytest.approx(math.pi)
    doubled = view_weights((0.0, 0.0, 90.0), 180.0)
    np.testing.assert_allclose(doubled, [math.pi / 4, math.pi / 4, math.pi / 2])


def test_an_unknown_filter_is_told() -> None:
    """A misspelt filter is not a ramp."""
    g = _scanner("parallel", 4, 180.0)
    with pytest.raises(InputError, match="ram-lak, shepp-logan, cosine, hann"):
        filtered_backprojection(torch.from_numpy(_views(g)), g, "ramp")  # type: ignore[arg-type]


def test_what_no_view_sees_is_left_to_the_prior() -> None:
    """The null space of few views is large, and projects to nothing."""
    operator = Tomography(_scanner("parallel", 6, 120.0, 24))
    x = torch.randn(1, *operator.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    hidden = null_space(operator, x)
    assert float(hidden.norm() / x.norm()) > 0.5
    assert float(operator.apply(hidden).norm() / operator.apply(x).norm()) < 4e-3
