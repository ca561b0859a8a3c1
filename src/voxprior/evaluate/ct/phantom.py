"""A thorax of ellipsoids whose X-ray views are closed forms: a truth that no projector had a hand in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from voxprior.operators.projection_matrix import ProjectionGeometry

Array = NDArray[np.float64]
SHAPE, PIXEL = (112, 144), 2.5
"""Rows and columns of a slice, and voxels, mm."""
SUBPOINTS = 4
"""Points along each side of a voxel whose mean it is; views are the mean over as many heights of a slice."""


class Ellipsoid(NamedTuple):
    """Adds ``hu`` within ``radii`` of ``centre``, (row, column, slice) in mm about the middle of the volume."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    hu: float


THORAX = (
    Ellipsoid((0, 0, 0), (115, 160, 300), 1040),
    Ellipsoid((0, 0, 0), (104, 149, 290), -90),
    Ellipsoid((5, -75, 0), (80, 55, 120), -790),
    Ellipsoid((5, 75, 0), (80, 55, 120), -790),
    Ellipsoid((-15, 14, -5), (52, 50, 60), 95),
    Ellipsoid((75, 0, 0), (20, 22, 300), 420),
    Ellipsoid((80, 0, 0), (8, 9, 300), -330),
    Ellipsoid((42, 20, 0), (11, 11, 300), 110),
    Ellipsoid((-92, 0, 0), (7, 18, 200), 320),
    Ellipsoid((-20, -80, 4), (6, 6, 6), 820),
    Ellipsoid((30, 92, -6), (9, 7, 8), 780),
    Ellipsoid((-10, 10, 2), (9, 12, 10), -35),
)
"""Skin and fat, muscle, lungs, heart, a vertebra with its canal, aorta, sternum, and nodules."""


def volume(slices: int, parts: Sequence[Ellipsoid] = THORAX) -> NDArray[np.float32]:
    """HU (row, column, slice), vacuum outside: means over voxels, by :data:`SUBPOINTS` points along each side."""
    total = np.zeros((*SHAPE, slices))
    steps = (np.arange(SUBPOINTS) - (SUBPOINTS - 1) / 2) / SUBPOINTS * PIXEL
    rows, columns, heights = (_centres(n) for n in total.shape)
    for e in parts:
        for dr in steps:
            for dc in steps:
                flat = _square(rows + dr, e, 0)[:, None] + _square(columns + dc, e, 1)[None, :]
                for dz in steps:
                    total += e.hu * (flat[..., None] + _square(heights + dz, e, 2) < 1)
    return np.asarray(total / SUBPOINTS**3 - 1000, dtype=np.float32)


def views(geometry: ProjectionGeometry, slices: int, parts: Sequence[Ellipsoid] = THORAX) -> Array:
    """Line integrals (slice, view, bin) of HU + 1000 in HU mm, means over each bin, of parallel beams.

    With ``a, b`` the radii at a height, ``s = |(a sin, b cos)|`` and t0 the shadow of the centre, the integral over an
    ellipse is ``2 a b sqrt(s^2 - (t - t0)^2) / s^2``; its own integral over t, ``a b (u sqrt(1 - u^2) + asin u)`` with
    ``u = (t - t0)/s``, gives the mean over a bin.
    """
    angle = np.deg2rad(np.asarray(geometry.angles))[:, None]
    at = np.arange(geometry.bins + 1) - geometry.bins / 2
    edges = np.asarray(at * geometry.bin_width + geometry.offset, dtype=np.float64)
    found = np.zeros((slices, geometry.views, geometry.bins))
    steps = (np.arange(SUBPOINTS) - (SUBPOINTS - 1) / 2) / SUBPOINTS * PIXEL
    for index, height in enumerate(_centres(slices)):
        for e in parts:
            for dz in steps:
                left = 1 - ((height + dz - e.centre[2]) / e.radii[2]) ** 2
                if left > 0:
                    found[index] += e.hu * _shadow(e, math.sqrt(left), angle, edges) / geometry.bin_width
    return found / SUBPOINTS


def _shadow(e: Ellipsoid, shrink: float, angle: Array, edges: Array) -> Array:
    """Integral over each bin of the line integrals across the ellipse that is ``shrink`` of the largest."""
    across, along = e.radii[1] * shrink, e.radii[0] * shrink
    middle = e.centre[1] * np.cos(angle) + e.centre[0] * np.sin(angle)
    reach = np.hypot(across * np.cos(angle), along * np.sin(angle))
    u = np.clip((edges - middle) / reach, -1, 1)
    return np.asarray(across * along * np.diff(u * np.sqrt(1 - u**2) + np.arcsin(u), axis=1))


def _centres(n: int) -> Array:
    return np.asarray((np.arange(n) - (n - 1) / 2) * PIXEL)


def _square(at: Array, e: Ellipsoid, axis: int) -> Array:
    return np.asarray(((at - e.centre[axis]) / e.radii[axis]) ** 2)
