"""What a block of a volume is like without a truth: how often each intensity occurs, and its power by frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOP = 1.5
"""Largest intensity of a histogram, in units of the foreground's 99th percentile; what is brighter counts there."""
BINS = 150
PLANES: Mapping[str, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Array axis that each plane is normal to, of blocks in RAS order."""
FLOOR = 1e-9
"""Power, as a part of the mean, below which the logarithm is cut."""

Block = NDArray[np.float32]
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Statistics:
    """``shares``: the cumulative histogram; ``spectra``: plane to the logarithm (base 10) of the power by frequency."""

    shares: Array
    spectra: Mapping[str, Array]


def describe(block: Block) -> Statistics:
    """Statistics of ``block`` (i, j, k) in RAS order, 1 being the 99th percentile of the foreground."""
    counts, _ = np.histogram(np.clip(block, 0, TOP), bins=BINS, range=(0, TOP))
    return Statistics(np.cumsum(counts) / block.size, {name: spectrum(block, axis) for name, axis in PLANES.items()})


def spectrum(block: Block, axis: int) -> Array:
    """Mean over slices normal to ``axis`` of their power at each radial frequency, log10, from 1 cycle to Nyquist.

    Slices are weighed by a Hann window, so that their edges make no frequencies of their own; the mean is taken off.
    """
    slices = np.moveaxis(block.astype(np.float64), axis, 0)
    slices = slices - slices.mean(axis=(1, 2), keepdims=True)
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in slices.shape[1:]))
    power = (np.abs(np.fft.fft2(slices * window)) ** 2).mean(0)
    side = min(slices.shape[1:])
    rows, columns = (np.fft.fftfreq(n) for n in slices.shape[1:])
    ring = np.rint(np.hypot(rows[:, None], columns[None]) * side).astype(int)
    total = np.bincount(ring.ravel(), power.ravel())[1 : side // 2]
    mean = total / np.bincount(ring.ravel())[1 : side // 2]
    return np.asarray(np.log10(np.maximum(mean, FLOOR * power.mean() + np.finfo(float).tiny)))


def average(found: Sequence[Statistics]) -> Statistics:
    """The mean of each: of the histograms, and of the logarithms of the power."""
    spectra = {name: np.mean([s.spectra[name] for s in found], axis=0) for name in PLANES}
    return Statistics(np.mean([s.shares for s in found], axis=0), spectra)


def histogram_distance(a: Statistics, b: Statistics) -> float:
    """How far intensity must be moved, on average, to make one histogram of the other (1-Wasserstein)."""
    return float(np.abs(a.shares - b.shares).mean() * TOP)


def spectrum_distance(a: Statistics, b: Statistics, plane: str) -> float:
    """Root mean square over frequencies of the difference of log power, dB."""
    return float(10 * np.sqrt(np.square(a.spectra[plane] - b.spectra[plane]).mean()))


def alike(a: Block, b: Block) -> float:
    """Pearson correlation of two blocks of one shape; 0 where one is constant."""
    x, y = (v.astype(np.float64).ravel() - v.mean(dtype=np.float64) for v in (a, b))
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else 0.0
