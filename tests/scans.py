"""Small k-space of many coils, whose image and sensitivities are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from voxprior.operators.coil_simulation import simulate_maps

Complex = NDArray[np.complex64]


class Scan(NamedTuple):
    """``kspace`` and ``maps`` (coil, *space), ``image`` (*space); the sum of |maps|^2 is 1."""

    kspace: Complex
    image: Complex
    maps: Complex


def fourier(image: NDArray[np.complexfloating], axes: tuple[int, ...]) -> NDArray[np.complexfloating]:
    """Centred and orthonormal."""
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(image, axes), axes=axes, norm="ortho"), axes)


def head(shape: tuple[int, int], shift: float = 0.0) -> Complex:
    """A smooth complex object within the field of view, maximum about 1."""
    y, x = (np.linspace(-1, 1, n, endpoint=False) for n in shape)
    y, x = y[:, None], x[None, :]
    inside = 1 / (1 + np.exp(30 * (np.hypot(x / 0.7, y / 0.8) - 1)))
    detail = 0.6 + 0.4 * np.cos(9 * x + shift) * np.cos(7 * y)
    return (inside * detail * np.exp(1j * (x + 0.5 * y + shift))).astype(np.complex64)


def scan(
    shape: tuple[int, int] = (40, 48), coils: int = 5, noise: float = 0.0, seed: int = 0, shift: float = 0.0
) -> Scan:
    """A slice; ``noise``: std of a real component."""
    rng = np.random.default_rng(seed)
    maps, image = simulate_maps(shape, coils, rng), head(shape, shift)
    kspace = fourier(maps * image, (1, 2))
    kspace = kspace + noise * (rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape))
    return Scan(kspace.astype(np.complex64), image, maps)


def volume(shape: tuple[int, int, int] = (10, 16, 24), coils: int = 3) -> Scan:
    """A 3-D acquisition (coil, z, y, x)."""
    maps = np.repeat(simulate_maps(shape[1:], coils, np.random.default_rng(1))[:, None], shape[0], axis=1)
    weight = np.hanning(shape[0] + 2)[1:-1]
    image = np.stack([w * head(shape[1:], 0.2 * z) for z, w in enumerate(weight)])
    kspace = fourier(maps * image, (1, 2, 3))
    return Scan(kspace.astype(np.complex64), image.astype(np.complex64), maps)


def lines(n: int, every: int, centre: int) -> NDArray[np.bool_]:
    """Every ``every``-th line of ``n``, and ``centre`` central ones."""
    keep = np.arange(n) % every == 0
    keep[(n - centre) // 2 : (n + centre) // 2] = True
    return keep
