"""TPDM against slow references, written out of the paper's equations in numpy and float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.schedule import drawn
from voxprior.methods.result import Result
from voxprior.methods.tpdm import Settings, Tpdm
from voxprior.operators.base import Measurement, Operator
from voxprior.operators.fourier import Fourier, RealImage
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.operators.separable import Separable
from voxprior.operators.tomography import Tomography
from voxprior.volume import SliceGeometry

Array = NDArray[np.float64]
Volume = Callable[[Array], Array]
N, STEPS, FACTOR = 12, 20, 3
MEAN, STD = 0.3, 0.25


def _gain(sigma: float) -> Array:
    """Eigenvalues of C (C + sigma^2)^-1 of a slice, in the order of the FFT."""
    f = np.fft.fftfreq(N)
    power = (f[:, None] ** 2 + f[None] ** 2 + 0.05**2) ** -1.5
    power *= STD**2 / power.mean()
    return np.asarray(power / (power + sigma**2))


def _filtered(x: Array, sigma: float, normal: int) -> Array:
    """The slices of x normal to an axis, each through the gain."""
    axes = tuple(a for a in range(3) if a != normal)
    return np.asarray(np.fft.ifftn(np.fft.fftn(x, axes=axes) * np.expand_dims(_gain(sigma), normal), axes=axes).real)


class Slices:
    """The same prior for the code under test: D of slices normal to an axis."""

    sigma_range = (0.0, math.inf)

    def __init__(self, shape: tuple[int, ...], normal: int) -> None:
        assert shape == (N, N, N)
        self.normal = normal
        self.pullbacks = 0

    def _each(self, x: Tensor, sigma: float) -> Tensor:
        return torch.from_numpy(np.stack([_filtered(one.numpy(), sigma, self.normal) for one in x]))

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return MEAN + self._each(x - MEAN, sigma)

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        d = self(x, sigma)
        return d, self._each(cotangent(d), sigma)


def _rng(row: int) -> Array:
    return np.asarray(SeededNoise(5)(0, row, (N, N, N)).double().numpy())


def _foreground(image: Array) -> float:
    """Intensity scale of the input: 99th percentile of what is above a tenth of the 99.9th."""
    v = np.abs(image).ravel()
    return float(np.percentile(v[v > 0.1 * np.percentile(v, 99.9)], 99))


def _published(
    x: Array, misfit: Volume, primary: int, auxiliary: int, weight: float, turn: Callable[[int], bool]
) -> Array:
    """Predictor and corrector over the published levels; ``misfit`` of a clean volume is d|R|/dx of each slice."""

    def denoised(x: Array, sigma: float, normal: int) -> Array:
        return MEAN + _filtered(x - MEAN, sigma, normal)

    def climb(x: Array, sigma: float) -> Array:
        return weight * _filtered(misfit(denoised(x, sigma, primary)), sigma, primary)

    for i in range(STEPS):
        j = STEPS - 1 - i
        sigma = 0.01 * 37800 ** (j / (STEPS - 1))
        below = 0.01 * 37800 ** ((j - 1) / (STEPS - 1)) if j else 0.0
        data = turn(i) or i == STEPS - 1
        normal = primary if data else auxiliary
        g, z = (denoised(x, sigma, normal) - x) / sigma**2, _rng(2 * i)
        e = 2 * (0.16 * np.linalg.norm(z) / np.linalg.norm(g)) ** 2
        x1 = x + e * g + math.sqrt(2 * e) * z - (climb(x, sigma) if data else 0)
        g, z = (denoised(x1, sigma, normal) - x1) / sigma**2, _rng(2 * i + 1)
        noise = math.sqrt(sigma**2 - below**2) * z if j else 0.0
        x = x1 + (sigma**2 - below**2) * g + noise - (climb(x1, sigma) if data else 0)
    return x


def _run(operator: Operator, y: Tensor, **options: object) -> Result:
    settings = Settings.model_validate({"steps": STEPS, **options})
    return Tpdm(Slices)(Measurement(operator, y, None, np.eye(4)), settings, SeededNoise(5))


def _truth() -> Array:
    z = np.random.default_rng(3).standard_normal((N, N, N))
    return MEAN + _filtered(_filtered(z, 0.05, 0), 0.05, 2) * 0.3


def test_thick_slices_as_published() -> None:
    """Guards every number of the z-SR algorithm: levels, snr, weight, turn, start and noise, to 1e-6."""
    # An orthonormal matrix whose first column is constant splits each block of slices into mean and detail.
    m = np.linalg.qr(np.column_stack([np.ones(FACTOR), np.eye(FACTOR)[:, 1:]]))[0]
    m[:, 0] = abs(m[:, 0])
    np.testing.assert_allclose(m[:, 0], 1 / math.sqrt(FACTOR))
    np.testing.assert_allclose(m.T @ m, np.eye(FACTOR), atol=1e-12)

    def blocks(x: Array) -> Array:
        return x.reshape(N, N, N // FACTOR, FACTOR)

    def couple(mean: Array, detail: Array) -> Array:
        return np.asarray((np.concatenate([mean[..., None], detail], -1) @ m.T).reshape(N, N, N))

    y = blocks(_truth()).mean(-1)
    scale = _foreground(np.repeat(y, FACTOR, -1))
    stretched = blocks(np.repeat(y / scale, FACTOR, -1)) @ m
    nothing = np.zeros((N, N, N // FACTOR, FACTOR - 1))

    def misfit(clean: Array) -> Array:
        r = couple((blocks(clean) @ m)[..., 0] - stretched[..., 0], nothing)
        return np.asarray(r / np.sqrt((r**2).sum((1, 2), keepdims=True)))

    x = couple(stretched[..., 0], (blocks(378 * _rng(-1)) @ m)[..., 1:])
    expected = scale * _published(x, misfit, 0, 2, 2 / math.sqrt(6), lambda i: i % 2 != 1)
    g = SliceGeometry(2, N // FACTOR, float(FACTOR), float(FACTOR), N, 1.0)
    operator = Separable({2: np.kron(np.eye(N // FACTOR), np.full((1, FACTOR), 1 / FACTOR))}, (N, N, N), (g,))
    result = _run(operator, torch.from_numpy(y)[None])
    np.testing.assert_allclose(result.mean.numpy(), expected, atol=1e-6 * np.ptp(expected), rtol=0)
    assert result.calls == 2 * STEPS
    assert result.notes == {"k": 2, "primary": "sagittal", "auxiliary": "axial"}


@pytest.mark.parametrize("k", [3, 2.7])
def test_kspace_of_real_slices_as_published(k: float) -> None:
    """Guards CS-MRI: the weight of an unnormalised transform of 256, brought to ours, and both kinds of turn."""
    rolled = np.random.default_rng(8).random((N, N)) < 0.1
    rolled[0, 0] = True
    rolled |= np.roll(rolled[::-1, ::-1], (1, 1), (0, 1))  # with its mirror image the zero-filled image is real
    keep = np.fft.fftshift(rolled)
    kspace = rolled * np.fft.fftn(_truth(), axes=(1, 2))
    scale = _foreground(np.fft.ifftn(kspace, axes=(1, 2)).real)
    acceleration = keep.size / keep.sum()
    weight = np.interp(np.log(acceleration), np.log([8, 24, 48]), [0.002, 0.007, 0.01]) * 256 / math.sqrt(6)

    def misfit(clean: Array) -> Array:
        r = rolled * np.fft.fftn(clean, axes=(1, 2)) - kspace / scale
        back = np.fft.ifftn(r, axes=(1, 2)).real * N * N  # the adjoint of a transform that is not normalised
        return np.asarray(back / np.sqrt((abs(r) ** 2).sum((1, 2), keepdims=True)) / N)

    chance = drawn((1 - 1 / k, 1 / k), int(SeededNoise(5)(0, -2, (1,)).view(torch.int32)))

    def turn(i: int) -> bool:
        return i % k != k - 1 if isinstance(k, int) else chance(i, STEPS) == 0

    expected = scale * _published(378 * _rng(-1), misfit, 0, 1, weight, turn)
    operator = Fourier(torch.from_numpy(keep).expand(N, N, N), axes=(1, 2)) @ RealImage()
    y = np.fft.fftshift(kspace, axes=(1, 2)) / N
    y *= _phase()[:, None] * _phase()
    result = _run(operator, torch.from_numpy(y)[None], k=k)
    np.testing.assert_allclose(result.mean.numpy(), expected, atol=1e-6 * np.ptp(expected), rtol=0)


def _phase() -> Array:
    """What the centred transform of N samples multiplies the plain one by, in centred order: the origin is at N//2."""
    return np.asarray((-1.0) ** (np.arange(N) - N // 2))


def _strips(angles: Array, positions: Array, width: float, pixel: float) -> Array:
    """Mean over each strip of its lines' way through each pixel, mm, (view, bin, row * column); no axis-parallel view.

    The part of a square below a line is a second difference of half the square of its distance from the corners.
    """
    middles = (np.arange(N) - (N - 1) / 2) * pixel
    y, x = (m.ravel() for m in np.meshgrid(middles, middles, indexing="ij"))
    views = []
    for angle in np.deg2rad(angles):
        c, s = abs(np.cos(angle)), abs(np.sin(angle))
        low = x * np.cos(angle) + y * np.sin(angle) - (c + s) * pixel / 2

        def below(t: float, c: float = c, s: float = s, low: Array = low) -> Array:
            corners = ((0, 1), (c, -1), (s, -1), (c + s, 1))
            return np.asarray(sum(sign * np.maximum(t - low - k * pixel, 0) ** 2 for k, sign in corners) / (2 * c * s))

        views.append([(below(t + width / 2) - below(t - width / 2)) / width for t in positions])
    return np.asarray(views)


@pytest.mark.parametrize("rays", ["alike", "weighted"])
def test_views_as_published(rays: str) -> None:
    """Guards sparse-view CT: axial slices see the data, K = 2.7, the weight for their projector, water as the unit."""
    water, pixel, k = 0.021, 1.5, 2.7
    g = ProjectionGeometry((N, N), (pixel, pixel), tuple(7 + 18.0 * np.arange(10)), 17, 1.3)
    a = _strips(np.array(g.angles), (np.arange(17) - 8) * 1.3, 1.3, pixel).reshape(-1, N * N)
    w = np.ones(len(a)) if rays == "alike" else np.random.default_rng(2).uniform(0.5, 2, len(a))
    truth = water * _truth().reshape(N * N, N)  # slices along the last axis
    views = w[:, None] * (a @ truth)
    norm = np.linalg.norm(w[:, None] * a, 2)

    def misfit(clean: Array) -> Array:
        r = w[:, None] * (a @ clean.reshape(N * N, N)) - views / water
        back = (w[:, None] * a).T @ (r / np.sqrt((r**2).sum(0)))
        return np.asarray(back.reshape(N, N, N) / norm)

    chance = drawn((1 - 1 / k, 1 / k), int(SeededNoise(5)(0, -2, (1,)).view(torch.int32)))
    weight = 0.025 * 94.35 / math.sqrt(6)
    turn = [chance(i, STEPS) == 0 for i in range(STEPS)]
    assert 0 < sum(turn) < STEPS
    expected = water * _published(378 * _rng(-1), misfit, 2, 0, weight, lambda i: turn[i])
    shaped = None if rays == "alike" else torch.from_numpy(w).reshape(10, 17)
    y = torch.from_numpy(views.T.reshape(1, N, 10, 17).copy())
    result = _run(Tomography(g, (N, N, N), 2, shaped), y, mu_water=water)
    np.testing.assert_allclose(result.mean.numpy(), expected, atol=1e-6 * np.ptp(expected), rtol=0)
    assert result.notes == {"k": 2.7, "primary": "axial", "auxiliary": "sagittal"}
