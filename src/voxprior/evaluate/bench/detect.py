"""Whether low-contrast discs are seen: the signal-to-noise ratio of an observer with a matched filter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from voxprior.evaluate.bench.phantom import Array, Image

ACROSS = (-18.0, 0.0, 18.0)
HEIGHTS = (-34.9, -11.6, 12.3, 34.7)
"""Centres of the discs, mm: at four phases of the slices."""
CENTRES = tuple(product(ACROSS, ACROSS, HEIGHTS))
HALF = (8.0, 8.0, 10.0)
"""Half of what the observer looks at, mm."""
RESAMPLES = 2000


class Seen(NamedTuple):
    """Detectability, and its 95 % bootstrap interval over places."""

    value: float
    low: float
    high: float


def regions(image: Image, spacing: Sequence[float]) -> Array:
    """What the observer sees at every place (place, voxel): about the voxel that is nearest to the centre."""
    found = []
    for centre in CENTRES:
        window = []
        for c, n, s, half in zip(centre, image.shape, spacing, HALF, strict=True):
            middle, reach = round(c / s + (n - 1) / 2), round(half / s)
            window.append(slice(middle - reach, middle + reach + 1))
        piece = image[tuple(window)].astype(np.float64)
        found.append((piece - piece.mean()).ravel())
    return np.array(found)


def detectability(present: Array, absent: Array, template: Array) -> Seen:
    """d' of a non-prewhitening observer who knows the disc, its place and how the method shows it without noise.

    ``present``, ``absent``: regions (draw, place, voxel) with and without a disc, of independent noise; ``template``:
    (place, voxel). With answers t = template . region, ``d' = mean(m1 - m0) / sqrt(mean(v1 + v0) / 2)``, means and
    variances over draws at each place, then averaged over places.
    """
    unit = template / np.linalg.norm(template, axis=-1, keepdims=True)
    answers = [np.einsum("dpv,pv->dp", v, unit) for v in (present, absent)]
    draws = np.random.default_rng(0).integers(0, unit.shape[0], (RESAMPLES, unit.shape[0]))
    low, high = np.percentile([_ratio(*(a[:, d] for a in answers)) for d in draws], [2.5, 97.5])
    return Seen(_ratio(*answers), float(low), float(high))


def _ratio(a: Array, b: Array) -> float:
    spread = (a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)).mean() / 2
    return float((a.mean() - b.mean()) / np.sqrt(spread))
