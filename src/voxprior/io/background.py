"""The noise of a magnitude image, from the air around the patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHELL = 8
"""The outer eighth of each axis, on both sides, is looked at."""
CUT = 3.0
"""Values up to this many sigma are taken for air; truncation is corrected for exactly."""
ITERATIONS = 100
TOLERANCE = 1e-4
MAX_ZEROS = 0.5
"""With more exact zeros than this the background was set to zero, and says nothing."""
MIN_AIR = 0.2
MIN_SAMPLES = 200
RAYLEIGH_RATIO = (0.70, 0.84)
"""Bounds on E[x]^2 / E[x^2] of the air, which is pi / 4 = .785 for a Rayleigh distribution."""
MAX_SIGMA = 0.2
"""Largest sigma, as a part of the signal, that is believed to be noise."""


def estimate_background_noise(data: NDArray[np.float32]) -> float | None:
    """Noise standard deviation a channel of the magnitude image ``data`` (i, j, k), in its units.

    In air a magnitude is Rayleigh distributed: ``E[x^2] = 2 sigma^2``. Of the border of the volume the values
    up to ``c = 3 sigma`` are used, with ``E[x^2 | x <= c] = 2 sigma^2 (1 - t / (e^t - 1))``, ``t = c^2 / (2
    sigma^2)``, solved by iteration. None when there is no air to measure: skull-stripped, defaced to zero,
    negative values, or a border that is not Rayleigh distributed.
    """
    border = _border(data)
    border = border[np.isfinite(border)]
    positive = np.sort(border[border > 0])
    zeros = int(np.count_nonzero(border == 0))
    if border.size < MIN_SAMPLES or border.min() < 0 or zeros > MAX_ZEROS * border.size or positive.size == 0:
        return None
    sigma = _truncated_rayleigh(positive, zeros)
    if sigma is None:
        return None
    air = positive[: np.searchsorted(positive, CUT * sigma, side="right")]
    step = float(positive[0])  # of integer codes; of floats it is tiny and changes nothing
    count = air.size + _true_zeros(air.size, zeros, step, sigma)
    ratio = float(air.sum()) ** 2 / (count * float(np.square(air).sum()))
    signal = float(np.percentile(data, 99))
    if air.size < MIN_AIR * border.size or not RAYLEIGH_RATIO[0] <= ratio <= RAYLEIGH_RATIO[1]:
        return None
    return sigma if sigma <= MAX_SIGMA * signal else None


def _border(data: NDArray[np.float32]) -> NDArray[np.float64]:
    """Voxels near the faces of the volume, one vector."""
    inside = np.ones(data.shape, dtype=bool)
    inside[tuple(slice(max(1, n // SHELL), n - max(1, n // SHELL)) for n in data.shape)] = False
    return data[inside].astype(np.float64)


def _truncated_rayleigh(positive: NDArray[np.float64], zeros: int) -> float | None:
    """Sigma at which the second moment of the sorted values below the cut is that of the distribution."""
    t = CUT**2 / 2
    moment = 2 * (1 - t / np.expm1(t))
    squares = np.concatenate([[0.0], np.cumsum(np.square(positive))])
    step = float(positive[0])
    sigma = max(float(np.percentile(positive, 5)), step)
    for _ in range(ITERATIONS):
        count = int(np.searchsorted(positive, CUT * sigma, side="right"))
        if count == 0:
            return None
        total = count + _true_zeros(count, zeros, step, sigma)
        new = float(np.sqrt(squares[count] / total / moment))
        if abs(new - sigma) <= TOLERANCE * sigma:
            return new
        sigma = new
    return sigma


def _true_zeros(count: int, zeros: int, step: float, sigma: float) -> float:
    """How many of the exact zeros are air rounded to 0 (the rest: a mask), beside ``count`` others."""
    share = -np.expm1(-((step / 2) ** 2) / (2 * sigma**2))
    return float(min(zeros, count * share / max(1 - share, 1e-12)))
