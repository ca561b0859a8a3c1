"""How fine an image really is: where its spectrum ends, along each axis.

A scanner that fills its k-space with zeros, or a program that interpolates, stores voxels that are finer than what was
measured. Above the highest measured frequency nothing is left but noise, rounding and the edges of masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_SAMPLES = 32
"""Voxels along an axis below which its spectrum tells nothing."""
LINES = 20_000
"""Lines of voxels that are looked at, about."""
BINS = 60
LOWEST = 0.06
"""Lowest frequency that is fitted, of Nyquist: below it every object has a shape of its own."""
EXPONENTS = np.arange(1.0, 4.6, 0.25)
CUTS = np.arange(0.2, 0.93, 0.01)
WIDTHS = np.array([0.005, 0.015, 0.03, 0.05, 0.07])
"""Exponents of the falling power, cut-offs, and half widths of their edges, parts of Nyquist, that are tried."""
END = np.log(9)
"""Half widths above the half power of an edge, where its power is 10 dB down: there an interpolated spectrum ends."""
CLEAR, LEAST_DROP, LEAST_DROP_ABOVE = 0.8, 9.0, 15.0
"""dB that power must fall at an end below what the lower frequencies promise: up to 0.8 of Nyquist, and above it, where
the windows of reconstructions take away up to 10 dB. Of training scans the sharpest without interpolation falls by 8,
the softest with it by 12.
"""
HIGHEST = 0.9
"""Above this part of Nyquist an end is none: the difference is a tenth of a voxel, and windows reach there."""
LEAST_GAIN = 0.35
"""Part of the misfit of a spectrum without an end that the end must explain."""
EXACT = 0.05
"""dB of misfit that is no misfit."""


@dataclass(frozen=True)
class CutOff:
    """The end of a spectrum: ``frequency`` (part of Nyquist) and how many dB the power falls there.

    ``gain``: the part of the misfit, of a spectrum that falls smoothly, that the end explains.
    """

    frequency: float
    drop: float
    gain: float

    @property
    def voxels(self) -> float:
        """Stored voxels that one measured voxel takes."""
        return 1 / self.frequency


def line_power(data: NDArray[np.floating], axis: int) -> Array:
    """Mean power of the lines of ``data`` (i, j, k) along ``axis``, from frequency 0 to Nyquist; ends are tapered.

    The half of the lines with the most contrast is taken, so that air and blank background do not count.
    """
    count = data.shape[axis]
    whole = np.moveaxis(data, axis, -1)
    step = max(1, int(np.sqrt(whole.shape[0] * whole.shape[1] / LINES)))
    lines = whole[::step, ::step].reshape(-1, count).astype(np.float64)
    spread = lines.std(axis=1)
    lines = lines[spread >= np.median(spread)]
    lines = (lines - lines.mean(axis=1, keepdims=True)) * np.hanning(count)
    return np.asarray(np.square(np.abs(np.fft.rfft(lines, axis=-1))).mean(axis=0))


def fit_cut_off(data: NDArray[np.floating], axis: int) -> CutOff | None:
    """The best cut-off of the spectrum of ``data`` (i, j, k) along ``axis``, however unlikely; None without a spectrum.

    Two laws are fitted to the logarithm of the power: ``c f^-b + n``, and the same with an edge at f_c,
    ``c f^-b / (1 + exp((f - f_c) / w)) + n``.
    """
    if data.shape[axis] < LEAST_SAMPLES:
        return None
    power = line_power(data, axis)
    if not power[1:].max() > 0:
        return None
    f, p = _binned(power)
    law = f[:, None] ** -EXPONENTS  # (bin, exponent)
    smooth, _, _ = _fit(p, law.T)
    edge = 1 / (1 + np.exp(np.clip((f - CUTS[:, None, None]) / WIDTHS[:, None], -60, 60)))  # (cut, width, bin)
    shapes = (law.T[:, None, None, :] * edge[None]).reshape(-1, len(f))
    misfit, amount, floor = _fit(p, shapes)
    best = int(np.argmin(misfit))
    e, c, w = np.unravel_index(best, (len(EXPONENTS), len(CUTS), len(WIDTHS)))
    whole = amount[best] * law[:, e] + floor[best]
    ended = amount[best] * shapes[best] + floor[best]
    above = f > CUTS[c]
    drop = float((10 * np.log10(whole / ended))[above].max()) if above.any() else 0.0
    before = max(float(smooth.min()), EXACT)
    return CutOff(min(1.0, float(CUTS[c] + END * WIDTHS[w])), drop, 1 - float(misfit[best]) / before)


def cut_off(data: NDArray[np.floating], axis: int) -> CutOff | None:
    """The cut-off of the spectrum of ``data`` (i, j, k) along ``axis``; None where it reaches (nearly) to Nyquist.

    That is also said of fewer than :data:`LEAST_SAMPLES` voxels.
    """
    found = fit_cut_off(data, axis)
    if found is None or found.frequency > HIGHEST or found.gain < LEAST_GAIN:
        return None
    return found if found.drop >= (LEAST_DROP if found.frequency <= CLEAR else LEAST_DROP_ABOVE) else None


def _binned(power: Array) -> tuple[Array, Array]:
    """Frequencies, parts of Nyquist, and mean power of at most :data:`BINS` bins from :data:`LOWEST` to 1."""
    f = np.arange(len(power)) / (len(power) - 1)
    keep = f >= LOWEST
    f, power = f[keep], power[keep]
    edges = np.unique(np.linspace(0, len(f), min(BINS, len(f)) + 1).round().astype(int))
    sizes = np.diff(edges)
    p = np.add.reduceat(power, edges[:-1]) / sizes
    return np.add.reduceat(f, edges[:-1]) / sizes, np.maximum(p, p.max() * 1e-14)


def _fit(p: Array, shapes: Array) -> tuple[Array, Array, Array]:
    """Misfit (rms, dB), amount and floor of ``amount shape + floor`` for every shape (n, bin); both are positive.

    The floor is tried at levels about the power at the highest frequencies; the amount follows in the logarithm.
    """
    lowest = float(np.median(np.sort(p)[: max(3, len(p) // 12)]))
    floors = np.concatenate([[1e-3 * lowest], lowest * np.array([0.25, 0.5, 0.7, 0.85, 0.95, 1.0])])
    top = p.max() / shapes.max(axis=1)
    scale = np.median(p[: len(p) // 4] / shapes[:, : len(p) // 4], axis=1)
    scale = np.where(np.isfinite(scale) & (scale > 0), scale, top)
    best = np.full(len(shapes), np.inf)
    amount, floor = scale.copy(), np.full(len(shapes), floors[0])
    logs = 10 * np.log10(p)
    for level in floors:
        for step in (0.7, 0.85, 1.0, 1.15, 1.35):
            model = 10 * np.log10((scale * step)[:, None] * shapes + level)
            misfit = np.sqrt(np.square(model - logs).mean(axis=1))
            better = misfit < best
            best, amount, floor = (
                np.where(better, misfit, best),
                np.where(better, scale * step, amount),
                np.where(better, level, floor),
            )
    return best, amount, floor
