"""Resolution across the slices, from a slanted interface."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from voxprior.evaluate.bench.phantom import Array, Image, height

REGION = 24.0
"""Lines up to so far from the middle, mm, are looked at."""
REACH, BIN = 25.0, 0.25
"""Distances from the interface, mm, and their step."""
FREQUENCIES = (0.05, 0.1, 0.2, 0.3)
"""Cycles a millimetre; 0.1 is the Nyquist frequency of the slices."""


class Transfer(NamedTuple):
    """Modulation transfer function: ``frequency`` in cycles a millimetre, ``value`` 1 at 0."""

    frequency: Array
    value: Array

    def at(self, frequency: float) -> float:
        """Value at a frequency."""
        return float(np.interp(frequency, self.frequency, self.value))

    def falls_to(self, level: float) -> float:
        """First frequency, cycles a millimetre, at which it is ``level``; the last one where it never is."""
        below = np.flatnonzero(self.value < level)
        if not len(below):
            return float(self.frequency[-1])
        i = int(below[0])
        f, v = self.frequency[i - 1 : i + 1], self.value[i - 1 : i + 1]
        return float(f[0] + (v[0] - level) / (v[0] - v[1]) * (f[1] - f[0]))


def through_plane(image: Image, spacing: float) -> Transfer:
    """Transfer along z of ``image`` (x, y, z) of the interface, ``spacing`` mm along z and 1 mm across.

    As for slanted edges in a plane (ISO 12233): voxels are sorted by their distance from the interface, which the slant
    makes denser than they lie; the derivative of that step is windowed and transformed.
    """
    x, y, z = (
        (np.arange(n) - (n - 1) / 2) * s for n, s in zip(image.shape, (1.0, 1.0, spacing), strict=True)
    )
    kept = np.ix_(np.abs(x) <= REGION, np.abs(y) <= REGION)
    at = z - height(x[kept[0]], y[kept[1]])[..., None]
    edges = np.arange(-REACH, REACH + BIN / 2, BIN)
    count, _ = np.histogram(at, edges)
    total, _ = np.histogram(at, edges, weights=image[kept].astype(np.float64))
    centres = (edges[1:] + edges[:-1]) / 2
    step = np.interp(centres, centres[count > 0], total[count > 0] / count[count > 0])
    line = np.diff(step) * np.hanning(len(step) + 1)[1:-1]
    spectrum = np.abs(np.fft.rfft(line, 8 * len(line)))
    return Transfer(np.asarray(np.fft.rfftfreq(8 * len(line), BIN)), np.asarray(spectrum / spectrum[0]))
