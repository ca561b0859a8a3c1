"""The reconstructions that need no learned prior: each against its own definition, and against closed-form views."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from phantoms import HEAD, Ellipsoid, Phantom
from voxprior import registry
from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.methods.result import Result
from voxprior.methods.tomography import INNER_ITERATIONS
from voxprior.methods.total_variation import denoise, gradient, gradient_adjoint, modulus, total_variation
from voxprior.operators.base import Measurement
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.operators.separable import Separable
from voxprior.operators.tomography import Tomography, whitened

METHODS = ("fbp", "cgls", "tv")
MU = Phantom(tuple(Ellipsoid(e.centre, e.radii, e.value / 8000) for e in HEAD.parts))
HEIGHTS = np.array([-3.0, 0.0, 3.0])
G = ProjectionGeometry((46, 38), (1.0, 1.0), tuple(np.arange(24) * 7.5), 62, 1.0)
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])
VOLUME = (46, 38, 3)


def _truth() -> np.ndarray:
    """Mean over the pixels, (row, column, slice)."""
    parts = (np.arange(4) + 0.5) / 4 - 0.5
    y, x = ((axis[:, None] + parts).ravel() for axis in G.axes())
    fine = MU.at(x[:, None], y[:, None, None], HEIGHTS)
    return fine.reshape(46, 4, 38, 4, 3).mean(axis=(1, 3))


def _measurement(photons: float | None = None, unit: float = 1.0) -> Measurement:
    """Closed-form views, so that no method is tried on what its own operator made; whitened if there is noise."""
    p = MU.views(G.angles, G.positions, HEIGHTS, G.bin_width)
    operator = Tomography(G, VOLUME, 2)
    if photons is None:
        return Measurement(operator, unit * torch.from_numpy(p).float()[None], None, AFFINE)
    counts = np.random.default_rng(0).poisson(photons * np.exp(-p))
    y = torch.from_numpy(-np.log(np.maximum(counts, 0.5) / photons)).float()
    return whitened(Measurement(operator, y[None], torch.exp(y / 2) / photons**0.5, AFFINE))


@cache
def _run(name: str, photons: float | None = None, unit: float = 1.0, **options: Any) -> Result:
    method = registry.resolve(name, "ct")
    result: Result = method(_measurement(photons, unit), method.Options(**options), SeededNoise(0))
    return result


def _error(name: str, photons: float | None = None) -> float:
    """Root mean square, as a part of the attenuation of the brain."""
    return float(np.sqrt(np.square(_run(name, photons).mean.numpy() - _truth()).mean())) / 0.02


def test_the_registry_has_them() -> None:
    """Every name of the job is tried here, but for those with a learned prior."""
    assert set(registry.METHODS["ct"]) - {"voxprior", "tpdm"} == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_it_says_who_it_is_and_takes_no_unknown_option(name: str) -> None:
    """Every table and sidecar names the method and where it comes from."""
    method = registry.resolve(name, "ct")
    assert method.name == name and method.citation
    with pytest.raises(ValidationError):
        method.Options(no_such_option=1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("photons", [None, 2e4])
def test_the_head_comes_back(name: str, photons: float | None) -> None:
    """Guards place, scale and units: within 20 % of the brain's attenuation (30 % back-projected), its mean 3 %."""
    image = _run(name, photons).mean
    assert image.shape == VOLUME and image.dtype == torch.float32
    truth = _truth()
    y, x = G.axes()
    brain = np.hypot(y[:, None] / 12, x / 9) < 1
    assert image.numpy()[brain].mean() == pytest.approx(truth[brain].mean(), rel=0.03)
    assert _error(name, photons) < (0.3 if name == "fbp" else 0.2)


@pytest.mark.parametrize("photons", [None, 2e4])
def test_they_stand_in_the_order_that_tables_show(photons: float | None) -> None:
    """Total variation beats least squares, and that beats back-projection, with noise and without."""
    assert _error("tv", photons) < _error("cgls", photons) < _error("fbp", photons)


@pytest.mark.parametrize("name", METHODS)
def test_the_result_carries_the_units_of_the_input(name: str) -> None:
    """TP-05: no absolute scale: views 16 times as large, a factor that rounds nothing, are 16 times the attenuation."""
    few = {} if name == "fbp" else {"iterations": 5}
    plain, scaled = _run(name, **few).mean, _run(name, unit=16.0, **few).mean
    assert torch.allclose(scaled / 16, plain, atol=1e-5 * float(plain.abs().max()))


def test_least_squares_stop_at_the_noise() -> None:
    """With the noise known the misfit ends at it, sooner than the most iterations; unknown, it goes on to fit."""
    m = _measurement(2e4)
    found = _run("cgls", 2e4, iterations=500)
    misfit = (m.operator.apply(found.mean[None]) - m.y).square().mean((-2, -1))
    assert found.notes["iterations"] < 100
    seen: list[tuple[int, int]] = []
    method = registry.resolve("cgls", "ct")
    method(m, method.Options(iterations=500), SeededNoise(0), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (500, 500)
    assert bool((misfit < 1).all()) and bool((misfit > 0.6).all())
    few, many = (_run("cgls", iterations=n) for n in (5, 40))
    plain = _measurement()
    errors = [float((plain.operator.apply(r.mean[None]) - plain.y).norm()) for r in (few, many)]
    assert errors[1] < 0.2 * errors[0]


def test_least_squares_of_each_slice_are_its_own() -> None:
    """A slice's answer does not depend on its neighbours: alone it is the same."""
    m = _measurement(2e4)
    operator = m.operator
    assert isinstance(operator, Tomography) and operator.weights is not None
    one = Measurement(Tomography(G, weights=operator.weights[1]), m.y[:, 1], 1.0)
    method = registry.resolve("cgls", "ct")
    alone = method(one, method.Options(), SeededNoise(0)).mean
    together = _run("cgls", 2e4).mean[..., 1]
    assert torch.allclose(alone, together, atol=2e-4 * float(alone.abs().max()))


def test_back_projection_takes_the_weights_off_again() -> None:
    """Rays of weight 0 count as air, all others with their line integral."""
    y = torch.rand(1, 3, 24, 62, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(3, 24, 62, generator=torch.Generator().manual_seed(1)) + 0.1
    weights[0, :, 5] = 0
    method = registry.resolve("fbp", "ct")
    operator = Tomography(G, VOLUME, 2)
    dead = y.clone()
    dead[:, 0, :, 5] = 0
    plain = method(Measurement(operator, dead), method.Options(), SeededNoise(0)).mean
    weighted = Measurement(operator.weighted(weights), y * weights, 1.0)
    found = method(weighted, method.Options(), SeededNoise(0)).mean
    assert torch.allclose(found, plain, atol=1e-5 * float(plain.abs().max()))


def test_attenuation_by_total_variation_is_not_negative() -> None:
    """Least squares undershoot in the air; the floor of total variation forbids it."""
    assert float(_run("tv", None).mean.min()) >= 0 > float(_run("cgls", None).mean.min())


def test_total_variation_reaches_the_minimum_of_its_cost() -> None:
    """Against a literal primal-dual iteration (Chambolle and Pock) run to convergence, floor and scales included."""
    g = ProjectionGeometry((14, 12), (1.0, 1.0), (0.0, 40.0, 80.0, 120.0, 160.0), 19, 1.0)
    a = Tomography(g, (14, 12, 3), 2).limited(INNER_ITERATIONS)
    generator = torch.Generator().manual_seed(0)
    truth = torch.zeros(1, 14, 12, 3, dtype=torch.float64)
    truth[:, 3:10, 4:9] = 1.0
    y = a.apply(truth)
    y = y + 0.3 * torch.randn(y.shape, generator=generator, dtype=torch.float64)
    axes, scales, weight = (-3, -2, -1), (1.0, 1.0, 0.5), 0.8

    def cost(x: Tensor) -> float:
        fit = (a.apply(x) - y).square().sum() / 2
        return float(fit + weight * modulus(gradient(x, axes, scales)).sum())

    x = bar = torch.zeros_like(truth)
    p, q = torch.zeros_like(gradient(x, axes)), torch.zeros_like(y)
    step = 1 / float(a.normal(torch.ones_like(x)).max() + 9) ** 0.5
    for _ in range(500):
        p = p + step * gradient(bar, axes, scales)
        p = p / (modulus(p) / weight).clamp_min(1)
        q = (q + step * (a.apply(bar) - y)) / (1 + step)
        new = (x - step * (gradient_adjoint(p, axes, scales) + a.adjoint(q))).clamp_min(0)
        x, bar = new, 2 * new - x
    found = total_variation(a, y, torch.zeros_like(x), weight, 3.0, 40, axes, scales, 0.0)
    assert float(found.min()) >= 0
    assert cost(found) < cost(x) * 1.002
    assert float((found - x).norm() / x.norm()) < 0.02


@given(st.lists(st.integers(1, 5), min_size=2, max_size=3), st.integers(0, 999))
def test_the_scaled_gradient_has_its_adjoint(shape: list[int], seed: int) -> None:
    """Voxels that are not cubes: the divergence carries the same scales."""
    generator = torch.Generator().manual_seed(seed)
    axes, scales = range(-len(shape), 0), [0.3, 1.0, 0.7][: len(shape)]
    x = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    p = torch.randn(len(axes), 2, *shape, generator=generator, dtype=torch.float64)
    left, right = (p * gradient(x, axes, scales)).sum(), (gradient_adjoint(p, axes, scales) * x).sum()
    assert float((left - right).abs()) < 1e-12 * float(p.norm() * x.norm())


def test_denoising_above_a_floor_is_the_constrained_minimum() -> None:
    """A step from -1 to 1: clamped after the fact it would stay too low beside the edge."""
    z = torch.cat([-torch.ones(1, 10), torch.ones(1, 10)], dim=1).double()
    found, _ = denoise(z, 1.0, torch.zeros(1, *z.shape, dtype=torch.float64), (-1,), floor=0.0, steps=2000)
    # Above the floor of 0 the lower half costs nothing; the upper half gives way by weight / 10.
    expected = torch.cat([torch.zeros(1, 10), torch.full((1, 10), 0.9)], dim=1).double()
    assert torch.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_other_measurements_are_refused_in_one_line(name: str) -> None:
    """Thick slices, or several scans at once, are not for these methods."""
    method = registry.resolve(name, "ct")
    with pytest.raises(InputError, match="needs X-ray views"):
        method(Measurement(Separable({}, (4, 4, 4)), torch.zeros(1, 4, 4, 4)), method.Options(), SeededNoise(0))
    m = _measurement()
    with pytest.raises(InputError, match="takes one scan"):
        method(Measurement(m.operator, m.y.expand(2, -1, -1, -1)), method.Options(), SeededNoise(0))


@pytest.mark.parametrize("name", METHODS)
def test_progress_ends_at_its_total(name: str) -> None:
    """A bar that stops short, or runs over, tells users the wrong time."""
    seen: list[tuple[int, int]] = []
    method = registry.resolve(name, "ct")
    options = method.Options(**({} if name == "fbp" else {"iterations": 3}))
    method(_measurement(), options, SeededNoise(0), lambda done, total: seen.append((done, total)))
    assert seen and all(done <= total for done, total in seen)
    assert seen[-1][0] == seen[-1][1]
