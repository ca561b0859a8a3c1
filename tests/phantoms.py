"""Ellipsoids whose thick slices are closed forms: ground truth that no operator of the package had a hand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
FWHM = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class Ellipsoid:
    """Adds ``value`` within ``radii`` (mm) of ``centre`` (mm), the axes along those of the image."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    value: float


@dataclass(frozen=True)
class Phantom:
    """A sum of ellipsoids; coordinates in mm about the middle of the image."""

    parts: tuple[Ellipsoid, ...]

    def at(self, x: ArrayLike, y: ArrayLike, z: ArrayLike) -> Array:
        """Value at points; the arrays broadcast."""
        points = np.broadcast_arrays(*(np.asarray(p, dtype=float) for p in (x, y, z)))
        total = np.zeros(points[0].shape)
        for e in self.parts:
            r2 = sum(((p - c) / r) ** 2 for p, c, r in zip(points, e.centre, e.radii, strict=True))
            total += e.value * (r2 < 1)
        return total

    def line(self, x: ArrayLike, y: ArrayLike, z: ArrayLike, thickness: float, profile: str = "box") -> Array:
        """Mean along z about the points, weighted by the slice profile: ``box`` of the width, ``gaussian`` of the FWHM.

        Within an ellipsoid the line runs from c - h to c + h, so the mean is a difference of two integrals.
        """
        px, py, pz = np.broadcast_arrays(*(np.asarray(p, dtype=float) for p in (x, y, z)))
        total = np.zeros(px.shape)
        for e in self.parts:
            inside = 1 - ((px - e.centre[0]) / e.radii[0]) ** 2 - ((py - e.centre[1]) / e.radii[1]) ** 2
            half = e.radii[2] * np.sqrt(np.maximum(inside, 0))
            low, high = e.centre[2] - half - pz, e.centre[2] + half - pz
            total += e.value * (_below(high, thickness, profile) - _below(low, thickness, profile))
        return total

    def slices(
        self,
        shape: tuple[int, int],
        spacing: tuple[float, float],
        centres: Sequence[float] | Array,
        thickness: float,
        profile: str = "box",
    ) -> Array:
        """Slices (i, j, slice) ``thickness`` mm thick at ``centres`` (mm), sampled at points ``spacing`` mm apart."""
        x, y = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True))
        z = np.asarray(centres, dtype=float)
        return self.line(x[:, None, None], y[None, :, None], z[None, None, :], thickness, profile)

    def rays(self, angle: ArrayLike, t: ArrayLike, z: ArrayLike) -> Array:
        """Integral along the line ``x cos a + y sin a = t`` (mm, degrees) at height z; the arrays broadcast.

        Across an ellipse whose shadow reaches from t0 - s to t0 + s it is ``2 v a b sqrt(s^2 - (t - t0)^2) / s^2``.
        """
        angle, t, z = np.broadcast_arrays(*(np.asarray(p, dtype=float) for p in (angle, t, z)))
        total = np.zeros(t.shape)
        for e in self.parts:
            a, b, middle, reach = _shadow(e, angle, z)
            inside = np.sqrt(np.maximum(reach**2 - (t - middle) ** 2, 0))
            total += 2 * e.value * a * b * inside / np.where(reach > 0, reach, 1) ** 2
        return total

    def views(self, angles: ArrayLike, t: ArrayLike, z: ArrayLike, width: float) -> Array:
        """Means of :meth:`rays` over ``width`` mm about t, exactly, (z, angle, t)."""
        angle, at, height = np.meshgrid(*(np.asarray(p, dtype=float) for p in (angles, t, z)), indexing="ij")
        angle, at, height = (np.moveaxis(p, -1, 0) for p in (angle, at, height))
        total = np.zeros(at.shape)
        for e in self.parts:
            a, b, middle, reach = _shadow(e, angle, height)
            reach = np.where(reach > 0, reach, 1)
            edges = (np.clip((at - middle + side * width) / reach, -1, 1) for side in (0.5, -0.5))
            high, low = (u * np.sqrt(1 - u**2) + np.arcsin(u) for u in edges)
            total += e.value * a * b * (high - low) / width
        return total


def _shadow(e: Ellipsoid, angle: Array, z: Array) -> tuple[Array, Array, Array, Array]:
    """Radii of the ellipse at height z, and middle and half width of its shadow at an angle (degrees)."""
    shrink = np.sqrt(np.maximum(1 - ((z - e.centre[2]) / e.radii[2]) ** 2, 0))
    a, b = e.radii[0] * shrink, e.radii[1] * shrink
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return a, b, e.centre[0] * cos + e.centre[1] * sin, np.hypot(a * cos, b * sin)


def _below(u: Array, thickness: float, profile: str) -> Array:
    """Integral of the unit-area profile up to u mm from its middle."""
    if profile == "box":
        return np.clip(u / thickness + 0.5, 0, 1)
    if profile == "gaussian":
        return np.asarray(ndtr(u * FWHM / thickness))
    raise ValueError(f"profile {profile}; give box or gaussian")


HEAD = Phantom(
    (
        Ellipsoid((0, 0, 0), (17, 21, 16), 100.0),
        Ellipsoid((0, 0, 0), (15, 19, 14), 60.0),
        Ellipsoid((-5, 3, 1), (3, 8, 6), -90.0),
        Ellipsoid((5, 3, 1), (3, 8, 6), -90.0),
        Ellipsoid((2, -9, -4), (4, 3.5, 5), 45.0),
    )
)
"""Skull, brain, two ventricles and a lump, 34 x 42 x 32 mm."""
