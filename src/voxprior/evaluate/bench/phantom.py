"""A uniform ellipsoid with an interface or discs in it, whose thick slices are closed forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.volume import SliceGeometry

Array = NDArray[np.float64]
Image = NDArray[np.float32]
Interval = Callable[[Array, Array], tuple[Array, Array]]
"""From x and y, mm, to where a line along z enters and leaves a body; it misses it where both are equal."""

RADII = (44.0, 46.0, 60.0)
VALUE = 600.0
"""Half axes of the ellipsoid, mm, and its value; air is 0."""
IN_PLANE, SLICES, THICKNESS = (96, 100), 26, 5.0
"""Rows and columns of 1 mm, and slices, mm thick and apart."""
AXIS = 2
SLANT = (0.13, 0.05)
"""Rise of the interface along x and y: over the middle of the phantom it crosses more than a slice."""


@dataclass(frozen=True)
class Body:
    """Adds ``value`` within an interval of every line along z."""

    interval: Interval
    value: float


def ellipsoid(x: Array, y: Array) -> tuple[Array, Array]:
    """The interval of the head."""
    half = RADII[2] * np.sqrt(np.maximum(1 - (x / RADII[0]) ** 2 - (y / RADII[1]) ** 2, 0))
    return -half, half


def height(x: Array, y: Array) -> Array:
    """Where the slanted interface is, mm."""
    return np.asarray(SLANT[0] * x + SLANT[1] * y)


def above(x: Array, y: Array) -> tuple[Array, Array]:
    """The interval of the head above the interface."""
    low, high = ellipsoid(x, y)
    return np.asarray(np.clip(height(x, y), low, high)), high


def disc(centre: Sequence[float], diameter: float, thick: float) -> Interval:
    """The interval of a flat cylinder along z about ``centre`` (mm)."""

    def interval(x: Array, y: Array) -> tuple[Array, Array]:
        inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < (diameter / 2) ** 2
        half = np.where(inside, thick / 2, 0)
        return centre[2] - half, centre[2] + half

    return interval


HEAD = Body(ellipsoid, VALUE)


def slices(bodies: Sequence[Body], count: int = SLICES, thickness: float = THICKNESS) -> Image:
    """Means over ``thickness`` mm about ``count`` centres as far apart, at the points (x, y) of a grid of 1 mm."""
    x, y = (np.asarray(np.arange(n) - (n - 1) / 2, dtype=np.float64) for n in IN_PLANE)
    z = (np.arange(count) - (count - 1) / 2) * thickness
    total = np.zeros((*IN_PLANE, count))
    for body in bodies:
        low, high = body.interval(x[:, None], y[None, :])
        ends = [np.clip((end[..., None] - z) / thickness + 0.5, 0, 1) for end in np.broadcast_arrays(low, high)]
        total += body.value * (ends[1] - ends[0])
    return np.asarray(total, dtype=np.float32)


def geometry() -> SliceGeometry:
    """The slices, and the fine grid of 1 mm."""
    return SliceGeometry(AXIS, SLICES, THICKNESS, THICKNESS, round(SLICES * THICKNESS), 1.0)


def measured(data: Image, noise: float) -> Measurement:
    """What a method is given: slices ``data`` with noise of that std."""
    y = torch.from_numpy(data)[None]
    return Measurement(Separable.from_slices(geometry(), data.shape), y, noise, np.eye(4))
