"""Ellipsoids whose thick slices, and ellipses whose k-space, are closed forms: ground truth that no operator of the
package had a hand in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import comb, j1, ndtr

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


Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Ellipse:
    """Adds ``value``, which may be complex, within ``radii`` of ``centre``; (y, x) as parts of the field of view."""

    centre: tuple[float, float]
    radii: tuple[float, float]
    value: complex


@dataclass(frozen=True)
class Slice:
    """A sum of ellipses; coordinates (y, x) from -1/2 to 1/2, the origin at pixel n // 2 of a matrix of n."""

    parts: tuple[Ellipse, ...]

    def at(self, y: ArrayLike, x: ArrayLike) -> Complex:
        """Value at points; the arrays broadcast."""
        u, v = np.broadcast_arrays(np.asarray(y, dtype=float), np.asarray(x, dtype=float))
        total = np.zeros(u.shape, dtype=complex)
        for e in self.parts:
            inside = ((u - e.centre[0]) / e.radii[0]) ** 2 + ((v - e.centre[1]) / e.radii[1]) ** 2
            total += e.value * (inside < 1)
        return total

    def pixels(self, shape: tuple[int, int]) -> Complex:
        """Value at the pixel centres."""
        return self.at(*grid(shape))

    def kspace(self, shape: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0)) -> Complex:
        """Centred orthonormal k-space (y, x) of the slice times ``exp(2 pi i shift . r)``, by Bessel functions.

        The transform of an ellipse of radii a, b is a b J1(2 pi q) / q with q^2 = (a k_y)^2 + (b k_x)^2.
        """
        k = [np.arange(n) - n // 2 - s for n, s in zip(shape, shift, strict=True)]
        ky, kx = k[0][:, None], k[1][None, :]
        total = np.zeros(shape, dtype=complex)
        for e in self.parts:
            q = np.maximum(np.hypot(e.radii[0] * ky, e.radii[1] * kx), 1e-9)
            phase = np.exp(-2j * np.pi * (ky * e.centre[0] + kx * e.centre[1]))
            total += e.value * e.radii[0] * e.radii[1] * j1(2 * np.pi * q) / q * phase
        return total * np.sqrt(shape[0] * shape[1])

    def coils(self, shape: tuple[int, int], order: int = 2) -> Complex:
        """K-space (coil, y, x) behind the (order + 1)^2 sensitivities of :func:`sensitivities`, in closed form."""
        return np.stack([sum(c * self.kspace(shape, q) for q, c in coil.items()) for coil in _waves(order)])


def grid(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Coordinates (y, 1) and (1, x) of the pixel centres as parts of the field of view."""
    y, x = ((np.arange(n) - n // 2) / n for n in shape)
    return y[:, None], x[None, :]


def sensitivities(shape: tuple[int, int], order: int = 2) -> Complex:
    """Smooth coil sensitivities (coil, y, x), (order + 1)^2 of them, trigonometric polynomials with sum |s|^2 = 1.

    Along an axis ``sqrt(binomial(order, j)) cos^(order - j) sin^j`` of the angle pi/4 + u pi/2, with a phase a coil.
    """
    y, x = grid(shape)
    return np.stack(
        [
            sum(c * np.exp(2j * np.pi * q[0] * y) * np.exp(2j * np.pi * q[1] * x) for q, c in coil.items())
            for coil in _waves(order)
        ]
    )


def _waves(order: int) -> list[dict[tuple[float, float], complex]]:
    """Frequencies, in cycles a field of view, and coefficients of each coil."""
    along = [_powers(order, j) for j in range(order + 1)]
    coils = []
    for a, first in enumerate(along):
        for b, second in enumerate(along):
            tilt = 0.3 * (a - b) / max(order, 1)
            coils.append({(p + tilt, q - tilt): f * s for p, f in first.items() for q, s in second.items()})
    return coils


def _powers(order: int, j: int) -> dict[float, complex]:
    """cos^(order - j) sin^j as waves: products of (e^ia + e^-ia) / 2 and (e^ia - e^-ia) / 2i, a = pi/4 + u pi/2."""
    waves: dict[float, complex] = {0.0: complex(np.sqrt(comb(order, j)))}
    half = np.exp(1j * np.pi / 4)
    for power in range(order):
        up, down = (half / 2, np.conj(half) / 2) if power < order - j else (half / 2j, -np.conj(half) / 2j)
        raised: dict[float, complex] = {}
        for q, c in waves.items():
            raised[q + 0.25] = raised.get(q + 0.25, 0) + c * up
            raised[q - 0.25] = raised.get(q - 0.25, 0) + c * down
        waves = raised
    return waves


HEAD_SLICE = Slice(
    (
        Ellipse((0.0, 0.0), (0.42, 0.34), 1.0),
        Ellipse((0.0, 0.0), (0.38, 0.30), -0.4 + 0.1j),
        Ellipse((0.06, -0.1), (0.16, 0.06), -0.5 - 0.1j),
        Ellipse((0.06, 0.1), (0.16, 0.06), -0.5 - 0.1j),
        Ellipse((-0.18, 0.04), (0.07, 0.08), 0.4j),
        Ellipse((-0.02, 0.0), (0.015, 0.02), 0.6),
    )
)
"""Skull, brain, ventricles and two lumps, complex, within the field of view."""
