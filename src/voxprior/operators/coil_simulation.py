"""Receive coils that were never built: the fields of current loops around a head, for training and evaluation.

Lengths are in units of half the longer side of the slice, B0 lies along z, and so does the axis of the cylinder that
carries the loops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ellipe, ellipkm1

from voxprior.operators.splines import spline_matrix

COARSE = 33  # points along the longer side on which the fields are computed; splines carry them to the pixels
WIRE = 0.12  # half-width of the conductor: it keeps the field finite where a corner of the slice lies on a loop


@dataclass(frozen=True)
class Loop:
    """A circular loop of current: ``centre`` and unit ``normal`` (3,), ``radius`` in the same length."""

    centre: NDArray[np.float64]
    normal: NDArray[np.float64]
    radius: float


def loop_field(loop: Loop, points: NDArray[np.float64], wire: float = 0.0) -> NDArray[np.float64]:
    """Magnetic field (..., 3) of ``loop`` at ``points`` (..., 3), in units of mu_0 I / length.

    Biot and Savart's integral over a circle in complete elliptic integrals (Smythe, Static and Dynamic Electricity,
    7.10). ``wire`` > 0 takes the field at height sqrt(h^2 + wire^2) above the loop, which is finite on the wire.
    """
    offset = points - loop.centre
    along = offset @ loop.normal
    radial = offset - along[..., None] * loop.normal
    # On the axis the radial field is 0/0; it is proportional to the distance, so that any tiny distance gives it.
    distance = np.maximum(np.linalg.norm(radial, axis=-1), 1e-6 * loop.radius)
    height = np.hypot(along, wire)
    square = loop.radius**2 + distance**2 + height**2
    near = square - 2 * loop.radius * distance
    far = square + 2 * loop.radius * distance
    ratio = np.maximum(near / far, np.finfo(np.float64).tiny)
    first, second = near * ellipkm1(ratio), ellipe(1 - ratio)
    scale = 1 / (2 * np.pi * np.maximum(near, np.finfo(np.float64).tiny) * np.sqrt(far))
    axial = scale * ((loop.radius**2 - distance**2 - height**2) * second + first)
    outward = scale * along / distance * (square * second - first)
    return np.asarray(axial[..., None] * loop.normal + (outward / distance)[..., None] * radial)


def head_coil(coils: int, rng: np.random.Generator) -> list[Loop]:
    """Draw ``coils`` loops in one to four rings on a cylinder about z: radius, size, place and tilt are random."""
    cylinder = rng.uniform(1.05, 1.6)
    rings = min(coils, int(rng.integers(1, 3)) + (coils > 12) + (coils > 24))
    loops = []
    for ring, members in enumerate(np.array_split(np.arange(coils), rings)):
        count = len(members)
        start = rng.uniform(0, 2 * np.pi)
        height = (ring - (rings - 1) / 2) * rng.uniform(0.5, 0.8)
        size = cylinder * np.sin(np.pi / max(count, 4)) * rng.uniform(0.9, 1.4)
        for member in range(count):
            angle = start + 2 * np.pi * (member + rng.uniform(-0.15, 0.15)) / count
            normal = np.array([-np.cos(angle), -np.sin(angle), 0.0]) + rng.normal(0, 0.15, 3)
            place = [cylinder * np.cos(angle), cylinder * np.sin(angle), height + rng.normal(0, 0.08)]
            loops.append(Loop(np.array(place), normal / np.linalg.norm(normal), size * rng.uniform(0.9, 1.1)))
    return loops


def simulate_maps(shape: tuple[int, int], coils: int, rng: np.random.Generator) -> NDArray[np.complex64]:
    """Sensitivity maps (coil, y, x) of a random head coil, sum of |maps|^2 = 1 everywhere; a function of ``rng`` alone.

    Each map is B1- = Bx - i By of one loop on an axial, sagittal or coronal slice, slightly oblique, times a random
    receiver phase and gain. One coil stands for a uniform one: its map is 1.
    """
    if coils < 1 or min(shape) < 1:
        raise ValueError(f"{coils} coils on {shape}; give at least one coil and one pixel")
    if coils == 1:
        return np.ones((1, *shape), np.complex64)
    rows, columns = (_axis(length, max(shape)) for length in shape)
    across, down, normal = _orientation(rng)
    points = rows[:, None, None] * down + columns[:, None] * across + rng.uniform(-0.5, 0.5) * normal
    coarse = np.empty((coils, 2, len(rows), len(columns)), np.float32)
    for loop, out in zip(head_coil(coils, rng), coarse, strict=True):
        field = loop_field(loop, points, WIRE)
        receiver = rng.uniform(0.7, 1.3) * np.exp(2j * np.pi * rng.uniform())
        sensitivity = receiver * (field[..., 0] - 1j * field[..., 1])
        out[0], out[1] = sensitivity.real, sensitivity.imag
    fine = spline_matrix(len(rows), shape[0]) @ coarse @ spline_matrix(len(columns), shape[1]).T
    fine /= np.sqrt(np.maximum(np.einsum("cryx,cryx->yx", fine, fine), np.finfo(np.float32).tiny))
    maps = np.empty((coils, *shape), np.complex64)
    maps.real, maps.imag = fine[:, 0], fine[:, 1]
    return maps


def _axis(length: int, longest: int) -> NDArray[np.float64]:
    """Coarse coordinates from the first to the last of ``length`` pixels, the centre of the longest axis' field 0."""
    points = min(length, max(4, round(COARSE * length / longest)))
    return np.linspace(-(length // 2), length - 1 - length // 2, points) * 2 / longest


def _orientation(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors of x, y and the normal of a slice: axial, sagittal or coronal, tilted by some ten degrees."""
    choice = np.eye(3)[[(0, 1, 2), (1, 2, 0), (0, 2, 1)][rng.integers(3)], :]
    rotation, triangle = np.linalg.qr(np.eye(3) + rng.normal(0, 0.12, (3, 3)))
    across, down, normal = choice @ (rotation * np.sign(np.diag(triangle)))
    return across, down, normal
