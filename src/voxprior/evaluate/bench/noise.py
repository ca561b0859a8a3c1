"""What becomes of the noise of the slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from voxprior.evaluate.bench.phantom import AXIS, THICKNESS, Array, Image
from voxprior.metrics.detail_noise import detail_noise

CORE = (40, 40, 70)
"""Extent of the middle of the phantom, mm, in which noise is measured."""
BANDS = ((0.02, 0.05), (0.05, 0.1), (0.1, 0.25), (0.25, 0.5))
"""Frequencies, cycles a millimetre; the slices end at 0.1 across."""


def core(image: Image, spacing: Sequence[float]) -> Image:
    """The middle of ``image``."""
    sizes = [min(n, round(extent / s)) for n, s, extent in zip(image.shape, spacing, CORE, strict=True)]
    return image[tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(image.shape, sizes, strict=True))]


def noise_figures(noise: Sequence[Image], noisy: Image, spacing: Sequence[float], sigma: float) -> dict[str, Any]:
    """``std`` of the ``noise`` images in units of ``sigma``, that of the slices; their power by band across, within.

    Power is that of lines along z, and along x, per cycle a millimetre, over that of the noise of the slices: 1 up to
    their Nyquist frequency is their noise, neither more nor less. ``detail``: what the finest detail of the ``noisy``
    image, in its planes, tells of the noise, in units of ``sigma``.
    """
    cores = [core(image, spacing) for image in noise]
    found: dict[str, Any] = {"std": float(np.mean([c.std() for c in cores])) / sigma}
    for name, axis, given in (("across", AXIS, THICKNESS), ("within", 0, 1.0)):
        power = np.mean([density(c, axis, spacing[axis]) for c in cores], axis=0) / (sigma**2 * given)
        frequency = np.linspace(0, 0.5 / spacing[axis], len(power))
        bands = [(frequency > low) & (frequency <= high) for low, high in BANDS]
        found[name] = [float(power[band].mean()) if band.any() else None for band in bands]
    detail = detail_noise(core(noisy, spacing), AXIS)
    return {**found, "detail": None if detail is None else detail / sigma}


def density(image: Image, axis: int, spacing: float) -> Array:
    """Mean power of lines along ``axis`` per cycle a millimetre, up to Nyquist: ``std^2 spacing`` of white noise."""
    lines = np.moveaxis(image, axis, -1).astype(np.float64)
    taper = np.hanning(lines.shape[-1] + 2)[1:-1]
    power = np.square(np.abs(np.fft.rfft((lines - lines.mean()) * taper, axis=-1))).mean(axis=(0, 1))
    return np.asarray(power * spacing / np.square(taper).sum())
