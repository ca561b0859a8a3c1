"""Three tissues by their intensity: a mixture of Gaussians of one width, fitted to the histogram.

With a width of its own for each class the fit of training scans jumped from one solution to another when they were
hardly blurred, and said nothing of the images. Three classes describe T1w scans; in most others two of them fall into
one, whose halves mean nothing: only as many are fitted as the truth shows.
"""

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
NAMES = {3: CLASSES, 2: (CLASSES[0], CLASSES[2])}
"""By the number of classes."""
APART = 1.0
"""Least distance of neighbouring means, in std: 1.7 to 3.8 in T1w scans of the training split, below .02 in others."""
BINS = 400
TAILS = (0.1, 99.9)
"""Percentiles beyond which intensities count as those: vessels and rims would have classes of their own."""
ITERATIONS, TOLERANCE = 2000, 1e-7
NARROWEST = 0.01
"""Least std, part of the span, so that classes do not fall into single intensities."""


class Mixture(NamedTuple):
    """``share`` and ``mean`` of 2 or 3 classes, dark to bright, their ``std``; values between ``low`` and ``high``."""

    share: Array
    mean: Array
    std: float
    low: float
    high: float

    def classes(self, image: Image) -> NDArray[np.intp]:
        """The likeliest class of every voxel, from 0."""
        v = np.clip(image, self.low, self.high)[..., None]
        return np.asarray(np.argmax(np.log(self.share) + norm.logpdf(v, self.mean, self.std), axis=-1))


def tell_apart(values: Image) -> int:
    """How many classes ``values`` show, 3 or 2: the most whose means lie :data:`APART`."""
    fitted = fit_mixture(values, 3)
    return 3 if float(np.diff(fitted.mean).min()) > APART * fitted.std else 2


def fit_mixture(values: Image, count: int) -> Mixture:
    """``count`` Gaussians of one std by expectation maximisation, from equal parts of ``values``; nothing is random.

    Raises :class:`InputError` for values that are all alike.
    """
    low, high = (float(v) for v in np.percentile(values, TAILS))
    if not high > low:
        raise InputError("the tissue has one intensity; give an image with contrast")
    counts, edges = np.histogram(np.clip(values, low, high), BINS, (low, high))
    at, weight = (edges[1:] + edges[:-1]) / 2, counts / counts.sum()
    mean = np.percentile(values, 100 * (np.arange(count) + 0.5) / count).astype(np.float64)
    std, share = (high - low) / (2 * count), np.full(count, 1 / count)
    floor, before = NARROWEST * (high - low), -np.inf
    for _ in range(ITERATIONS):
        density = share * norm.pdf(at[:, None], mean, std)  # (bin, class)
        total = np.maximum(density.sum(axis=1), 1e-300)
        likelihood = float(weight @ np.log(total))
        owned = weight[:, None] * density / total[:, None]
        share = np.maximum(owned.sum(axis=0), 1e-12)
        mean = (at @ owned) / share
        std = max(float(np.sqrt((np.square(at[:, None] - mean) * owned).sum())), floor)
        if likelihood - before < TOLERANCE:
            break
        before = likelihood
    order = np.argsort(mean)
    return Mixture(share[order] / share.sum(), mean[order], std, low, high)
