"""Soft-edged ellipsoids, where they lie, and how they are drawn into voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]
Image = NDArray[np.float32]

SOFT = 1.0
"""Width of the edge, mm, over which a lesion fades into its surroundings."""
SUBPOINTS = 4
"""Points along each side of a voxel whose mean it is."""
LONGEST = 1.4
"""Half axes are drawn between 1 / 1.4 and 1.4 before their product is made that of the sphere."""
WINDOW = 6.0
"""Std of the Gaussian window of the local standard deviation, mm."""
SHELL = (1.0, 5.0)
"""Distances from the lesion between which its surroundings are measured, mm."""
SEPARATION, MARGIN = 10.0, 8.0
"""Least distance of the edges of two lesions, and of a lesion from the ends of the volume, mm."""
TRIES = 300
LEAST_SPREAD = 0.01
"""Local standard deviation, part of the largest, below which there is nothing to compare a contrast with."""


class Lesion(NamedTuple):
    """``centre``: voxel indices. ``shape``: (3, 3), from mm about it to units of half axes. ``contrast``: signed."""

    centre: Array
    shape: Array
    diameter: float
    contrast: float


class Drawn(NamedTuple):
    """The part of the volume that a lesion and its surroundings fill: share of the lesion, distance from it in mm."""

    window: tuple[slice, slice, slice]
    share: Array
    outside: Array


def local_spread(truth: Image, mask: NDArray[np.bool_], spacing: Sequence[float]) -> Image:
    """Standard deviation of ``truth`` within ``mask`` in a Gaussian window of std :data:`WINDOW` mm, of its shape."""
    sigma = [WINDOW / s for s in spacing]
    inside = mask.astype(np.float32)
    centred = np.where(mask, truth - truth[mask].mean(), 0).astype(np.float32)
    weight, first, second = (gaussian_filter(v, sigma, truncate=3) for v in (inside, centred, centred**2))
    known = weight > 1e-3
    scale = np.where(known, weight, 1)
    return np.asarray(np.where(known, np.sqrt(np.maximum(second / scale - (first / scale) ** 2, 0)), 0), np.float32)


def scatter(
    truth: Image,
    mask: NDArray[np.bool_],
    spread: Image,
    spacing: Sequence[float],
    diameters: Sequence[float],
    multiple: float,
    rng: np.random.Generator,
) -> list[Lesion]:
    """Lesions of the ``diameters`` (mm), bright and dark in turn, at random places wholly within ``mask``; what does
    not fit after :data:`TRIES` places is left out.

    The contrast is ``multiple`` times ``spread`` at the centre. A dark one is only put where the image is bright enough
    to lose three quarters of it.
    """
    step = np.asarray(spacing)
    depth = distance_transform_edt(mask, sampling=spacing)
    ends = np.asarray(truth.shape) - 1
    floor = LEAST_SPREAD * float(spread.max())
    found: list[Lesion] = []
    for number, diameter in enumerate(sorted(diameters, reverse=True)):
        sign = 1 if number % 2 else -1
        radius = LONGEST * diameter / 2
        places = np.argwhere((depth >= radius) & (spread > floor))
        for _ in range(TRIES if len(places) else 0):
            centre = places[rng.integers(len(places))] + rng.uniform(-0.5, 0.5, 3)
            near = np.minimum(centre, ends - centre) * step < radius + MARGIN
            apart = [np.linalg.norm((centre - o.centre) * step) - (diameter + o.diameter) / 2 for o in found]
            if near.any() or (apart and min(apart) < SEPARATION):
                continue
            contrast = sign * multiple * float(spread[tuple(np.rint(centre).astype(int))])
            lesion = Lesion(centre, _half_axes(diameter, rng), diameter, contrast)
            drawn = draw(lesion, truth.shape, spacing)
            under = float((drawn.share * truth[drawn.window]).sum() / drawn.share.sum())
            if sign > 0 or under >= 0.75 * abs(contrast):
                found.append(lesion)
                break
    return found


def draw(lesion: Lesion, shape: Sequence[int], spacing: Sequence[float]) -> Drawn:
    """The share of each voxel that is lesion: mean over :data:`SUBPOINTS` points a side of a smooth step."""
    step = np.asarray(spacing)
    reach = np.ceil((LONGEST**2 * lesion.diameter / 2 + SHELL[1] + SOFT) / step).astype(int) + 1
    middle = np.rint(lesion.centre).astype(int)
    low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, shape)
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
    fractions = (np.arange(SUBPOINTS) - (SUBPOINTS - 1) / 2) / SUBPOINTS
    share = np.zeros(grid.shape[:-1])
    near = _distance(lesion, grid, step) < SOFT + float(np.linalg.norm(step))
    points = grid[near]
    for offset in np.stack(np.meshgrid(fractions, fractions, fractions), -1).reshape(-1, 3):
        t = np.clip(0.5 - _distance(lesion, points + offset, step) / SOFT, 0, 1)
        share[near] += t * t * (3 - 2 * t)
    a, b, c = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return Drawn((a, b, c), share / SUBPOINTS**3, _distance(lesion, grid, step))


def insert(truth: Image, drawn: Sequence[Drawn], lesions: Sequence[Lesion]) -> Image:
    """``truth`` with all lesions added; what would fall below 0, where no magnitude is, stays at 0."""
    result = truth.copy()
    for d, lesion in zip(drawn, lesions, strict=True):
        old = truth[d.window]
        result[d.window] += np.maximum(lesion.contrast * d.share, -np.maximum(old, 0)).astype(np.float32)
    return result


def _distance(lesion: Lesion, points: NDArray[np.floating], step: Array) -> Array:
    """About how far ``points`` (..., 3), voxel indices, lie outside of the lesion, mm; negative within."""
    q = ((points - lesion.centre) * step) @ lesion.shape.T
    return np.asarray((np.linalg.norm(q, axis=-1) - 1) * lesion.diameter / 2)


def _half_axes(diameter: float, rng: np.random.Generator) -> Array:
    axes = LONGEST ** rng.uniform(-1, 1, 3)
    axes *= diameter / 2 / axes.prod() ** (1 / 3)
    return np.asarray(Rotation.random(random_state=rng).as_matrix() / axes[:, None])
