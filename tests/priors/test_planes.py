"""Volumes from slabs: cutting, halos, batches, derivatives, and the mean over planes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from voxprior.diffusion.denoiser import pullback
from voxprior.errors import InputError
from voxprior.priors.gaussian import StationaryGaussian, power_law
from voxprior.priors.planes import SlabDenoiser, Slabs, averaged, slicewise

SHAPE = (5, 7, 6)
AXES = list(itertools.permutations(range(3), 2))
ALL_SIGMAS = (0.0, math.inf)


def _image(n: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((n, *SHAPE))).to(dtype)


def _inner(slabs: Tensor, halo: int) -> Tensor:
    return slabs[:, halo : slabs.shape[1] - halo]


@pytest.mark.parametrize("slab", [1, 2, 3, 8])
@pytest.mark.parametrize(("axis", "rows"), AXES)
def test_slices_that_are_independent_are_denoised_exactly(axis: int, rows: int, slab: int) -> None:
    """Guards the slices' place and orientation: for a prior without links between slices the planes are the volume."""
    columns = 3 - axis - rows
    plane = power_law((SHAPE[rows], SHAPE[columns]), 1.0)
    plane = plane * torch.linspace(0.5, 1.5, SHAPE[rows], dtype=torch.float64).roll(1)[:, None].abs()
    plane = (plane + plane.flip(0, 1).roll((1, 1), (0, 1))) / 2
    spectrum = plane[None].expand(SHAPE[axis], -1, -1).movedim((0, 1, 2), (axis, rows, columns))
    volume = StationaryGaussian(torch.zeros((), dtype=torch.float64), spectrum)
    image = StationaryGaussian(torch.zeros((), dtype=torch.float64), plane)

    def denoise(slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
        inner = _inner(slabs, 1)
        return image(inner.flatten(0, 1), sigma).reshape(inner.shape)

    d = slicewise(denoise, Slabs(axis, rows, slab, 1), ALL_SIGMAS)
    torch.testing.assert_close(d(_image(), 0.7), volume(_image(), 0.7), rtol=1e-12, atol=1e-12)


def _window(halo: int) -> SlabDenoiser:
    """A weighted mean over the slices within ``halo``, which tells left from right."""

    def denoise(slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
        n = slabs.shape[1] - 2 * halo
        total = torch.zeros_like(slabs[:, :n])
        for k in range(2 * halo + 1):
            total = total + (k + 1) * slabs[:, k : k + n]
        return total

    return denoise


@pytest.mark.parametrize("halo", [0, 1, 2, 7])
@pytest.mark.parametrize("slab", [1, 2, 3, 6, 9])
@pytest.mark.parametrize(("axis", "rows"), AXES)
def test_halo_sees_the_neighbours_and_repeats_the_edge(axis: int, rows: int, slab: int, halo: int) -> None:
    """Guards seams: with a halo as wide as the filter, slabs of any size give the filter of the whole volume."""
    x = _image().numpy()
    pad = [(halo, halo) if a == axis + 1 else (0, 0) for a in range(4)]
    padded = np.pad(x, pad, mode="edge")
    n = SHAPE[axis]
    expected = sum((k + 1) * np.take(padded, range(k, k + n), axis + 1) for k in range(2 * halo + 1))
    found = slicewise(_window(halo), Slabs(axis, rows, slab, halo), ALL_SIGMAS)(_image(), 1.0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("axis", "rows"), AXES)
def test_rows_and_columns_are_what_they_are_named(axis: int, rows: int) -> None:
    """Guards TPDM's transposed slices: what a slab calls row runs along ``rows`` of the volume."""

    def denoise(slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
        assert slabs.shape[1:] == (1, SHAPE[rows], SHAPE[3 - axis - rows])
        return slabs.cumsum(2)

    found = slicewise(denoise, Slabs(axis, rows), ALL_SIGMAS)(_image(), 1.0)
    torch.testing.assert_close(found, _image().cumsum(rows + 1))


@pytest.mark.parametrize("batch", [1, 3, 50])
@pytest.mark.parametrize(("axis", "rows"), AXES)
def test_companions_are_cut_alike(axis: int, rows: int, batch: int) -> None:
    """Guards conditioning: by start and sample a second volume is cut exactly as the noisy one."""
    cuts, companion = Slabs(axis, rows, 2, 1), 3 * _image() + 1

    def denoise(slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
        return _inner(slabs - cuts.cut(companion, sample, start) + sigma, 1)

    found = slicewise(denoise, cuts, ALL_SIGMAS, batch)(_image(), 0.5)
    torch.testing.assert_close(found, _image() - companion + 0.5)


class Network(nn.Module):
    """A small convolutional slab denoiser: nonlinear, four slices in, two out."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 2, 3, padding=1)
        self.sizes: list[int] = []
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / 4
        self.to(dtype)

    def forward(self, slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
        self.sizes.append(len(slabs))
        out: Tensor = slabs[:, 1:3] + sigma * self.last(torch.tanh(self.first(slabs)))
        return out


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_result_does_not_depend_on_the_batch(batch: int) -> None:
    """Guards that memory limits do not change the answer, and that no call is larger than asked."""
    network, slabs = Network(torch.float32), Slabs(1, 2, 2, 1)
    with torch.no_grad():
        expected = slicewise(network, slabs, ALL_SIGMAS, 4)(_image(3, torch.float32), 0.5)
        network.sizes.clear()
        found = slicewise(network, slabs, ALL_SIGMAS, batch)(_image(3, torch.float32), 0.5)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert sum(network.sizes) == 3 * 4 and max(network.sizes) == min(batch, 12)


@pytest.mark.parametrize("batch", [1, 5, 100])
@pytest.mark.parametrize(("axis", "rows"), [(0, 1), (1, 0), (2, 1)])
def test_pullback_is_the_gradient_of_the_whole(axis: int, rows: int, batch: int) -> None:
    """Guards the chunked derivative: halos add up, edges repeat, and what lies beyond the volume has no weight."""
    d = slicewise(Network(torch.float64), Slabs(axis, rows, 2, 1), ALL_SIGMAS, batch)
    expected, gradient = pullback(d, _image(), 0.5, lambda out: out**2)
    found, chunked = d.pullback(_image(), 0.5, lambda out: out**2)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(chunked, gradient, rtol=1e-10, atol=1e-12)


def test_pullback_by_finite_differences() -> None:
    """Guards the derivative against a source that knows no autograd."""
    d, x = slicewise(Network(torch.float64), Slabs(0, 2, 2, 1), ALL_SIGMAS), _image(1)
    weight = torch.sin(torch.arange(x.numel(), dtype=torch.float64)).reshape(x.shape)
    with torch.no_grad():
        _, gradient = d.pullback(x, 0.5, lambda out: weight)
        way = torch.cos(torch.arange(x.numel(), dtype=torch.float64)).reshape(x.shape)
        slope = ((d(x + 1e-5 * way, 0.5) - d(x - 1e-5 * way, 0.5)) * weight).sum() / 2e-5
    assert float((gradient * way).sum()) == pytest.approx(float(slope), rel=1e-7)


def test_result_is_laid_out_as_a_volume() -> None:
    """Guards saving: the answer is contiguous whatever the axis, as safetensors wants it."""
    assert all(slicewise(_window(0), Slabs(*a), ALL_SIGMAS)(_image(), 1.0).is_contiguous() for a in AXES)


def _pair() -> list[StationaryGaussian]:
    mean = torch.ones((), dtype=torch.float64)
    return [StationaryGaussian(k * mean, power_law(SHAPE, 1.0, float(k))) for k in (1, 2)]


@pytest.mark.parametrize("weights", [None, (0.5, 0.5), (0.9, 0.1)])
def test_average_is_the_weighted_mean(weights: tuple[float, float] | None) -> None:
    """Guards the product of planes: D and its derivative are the weighted means, equal ones by default."""
    one, two = _pair()
    a, b = weights or (0.5, 0.5)
    d = averaged([one, two], weights)
    value, gradient = d.pullback(_image(), 0.7, lambda out: out**2)
    torch.testing.assert_close(value, a * one(_image(), 0.7) + b * two(_image(), 0.7))
    torch.testing.assert_close(d(_image(), 0.7), value)
    torch.testing.assert_close(gradient, pullback(d, _image(), 0.7, lambda out: out**2)[1])


def test_average_is_trusted_where_all_are() -> None:
    """Guards the noise levels: the widest range that every plane was trained for."""
    ranges = [(0.002, 20.0), (0.01, 80.0)]
    planes = [slicewise(_window(0), Slabs(0, 1), r) for r in ranges]
    assert averaged(planes).sigma_range == (0.01, 20.0)


@pytest.mark.parametrize("weights", [(0.5,), (0.7, 0.7), (1.0, 0.0, 0.0)])
def test_weights_that_do_not_fit_are_refused(weights: tuple[float, ...]) -> None:
    """Guards against an average that brightens the image."""
    with pytest.raises(InputError, match="weights"):
        averaged(_pair(), weights)


def test_average_of_nothing_is_refused() -> None:
    """Guards 1/0."""
    with pytest.raises(InputError, match="0 denoisers"):
        averaged([])


@pytest.mark.parametrize("numbers", [(0, 0, 1, 0), (3, 0, 1, 0), (0, -1, 1, 0), (0, 1, 0, 0), (0, 1, 1, -1)])
def test_slabs_that_cannot_be_are_refused(numbers: tuple[int, int, int, int]) -> None:
    """Guards axes and sizes before anything is cut."""
    with pytest.raises(InputError):
        Slabs(*numbers)


def test_batch_of_nothing_is_refused() -> None:
    """Guards an endless loop."""
    with pytest.raises(InputError, match="0 slabs"):
        slicewise(_window(0), Slabs(0, 1), ALL_SIGMAS, 0)
