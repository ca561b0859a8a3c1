"""Three tissues by their intensity: a mixture of Gaussians, fitted to the histogram."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from voxprior.errors import InputError

Array = NDArray[np.float64]
Image = NDArray[np.float32]

CLASSES = ("dark", "middle", "bright")
"""Of a T1w image: fluid, grey and white matter."""
BINS = 400
TAILS = (0.1, 99.9)
"""Percentiles beyond which intensities count as those: vessels and rims would have classes of their own."""
ITERATIONS, TOLERANCE = 2000, 1e-7
NARROWEST = 0.01
"""Least std of a class, part of the span, so that none falls into a single intensity."""


class Mixture(NamedTuple):
    """``share``, ``mean`` and ``std`` of each class, dark to bright; intensities between ``low`` and ``high``."""

    share: Array
    mean: Array
    std: Array
    low: float
    high: float

    def classes(self, image: Image) -> NDArray[np.intp]:
        """The likeliest class of every voxel, 0 to 2."""
        v = np.clip(image, self.low, self.high)[..., None]
        return np.asarray(np.argmax(np.log(self.share) + norm.logpdf(v, self.mean, self.std), axis=-1))


def fit_mixture(values: Image) -> Mixture:
    """Three Gaussians by expectation maximisation, from three thirds of ``values``; nothing is random.

    Raises :class:`InputError` for values that are all alike.
    """
    low, high = (float(v) for v in np.percentile(values, TAILS))
    if not high > low:
        raise InputError("the tissue has one intensity; give an image with contrast")
    counts, edges = np.histogram(np.clip(values, low, high), BINS, (low, high))
    at, weight = (edges[1:] + edges[:-1]) / 2, counts / counts.sum()
    mean = np.percentile(values, [100 / 6, 50, 500 / 6]).astype(np.float64)
    std, share = np.full(3, (high - low) / 6), np.full(3, 1 / 3)
    floor, before = NARROWEST * (high - low), -np.inf
    for _ in range(ITERATIONS):
        density = share * norm.pdf(at[:, None], mean, std)  # (bin, class)
        total = np.maximum(density.sum(axis=1), 1e-300)
        likelihood = float(weight @ np.log(total))
        owned = weight[:, None] * density / total[:, None]
        share = np.maximum(owned.sum(axis=0), 1e-12)
        mean = (at @ owned) / share
        spread = (np.square(at[:, None] - mean) * owned).sum(axis=0) / share
        std = np.maximum(np.sqrt(spread), floor)
        if likelihood - before < TOLERANCE:
            break
        before = likelihood
    order = np.argsort(mean)
    return Mixture(share[order] / share.sum(), mean[order], std[order], low, high)
