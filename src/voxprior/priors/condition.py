"""What a network is told about the measurement: the interpolated slices and how they were acquired."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from voxprior.operators.profiles import fine_centres, gaussian_process_matrix, slice_matrix
from voxprior.volume import KSPACE, SliceGeometry, axis_codes

CORRELATION_MM = 20.0
"""Correlation length of the process behind the interpolation; measured on the fit subjects, flat from 8 to 20 mm."""
SLICE_NOISE = 0.01
"""Least noise of a slice value, in units of the process's std; keeps the solve well posed."""
PROCESS_STD = 0.33
"""Std of an image about its slices for a process of unit std, on the intensity scale of the priors."""
FIELD_STD = 0.08
"""Std of what a simulated field of 1.5 T changes besides the sampling, on the intensity scale of the priors."""
MOST_NOISE = 0.1
"""Largest noise that a network is told of, on the intensity scale of the priors. They were trained up to 0.05; told of
more than 0.2 they are carried away without bound."""
PLANES = {pair: i for i, pair in enumerate(((0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)))}
"""(world axis of the rows, world axis of the columns) of a slice, to its place in the description."""
FEATURES = 8 + len(PLANES)
AXIS_FEATURES = 4
DEGRADATIONS = ("kspace", "1.5t")
"""What besides averaging may lie behind coarse slices, to their place in the description; see :func:`describe_grid`."""
PLACE = FEATURES + 2 * AXIS_FEATURES
"""Where the description has the place of a slab along a coarse normal."""
GRID_FEATURES = PLACE + 2 + len(DEGRADATIONS)


@dataclass(frozen=True, eq=False)
class Interpolation:
    """The measurement carried to the fine grid along the slice axis.

    ``matrix`` (fine_count, count); ``phase`` (2, fine_count): sine and cosine of the place within the slice distance;
    ``residual``: expected std of the image about the interpolation, on the intensity scale of the priors.
    """

    matrix: NDArray[np.float64]
    phase: NDArray[np.float64]
    residual: float


@lru_cache(maxsize=256)
def interpolate(g: SliceGeometry, noise: float = 0.0) -> Interpolation:
    """Best linear interpolation of the slices of ``g``; ``noise``: std of a slice value, on the priors' scale."""
    matrix, std = gaussian_process_matrix(g, CORRELATION_MM, max(SLICE_NOISE, noise / PROCESS_STD))
    angle = 2 * math.pi * (fine_centres(g) / g.spacing + (g.count - 1) / 2)
    return Interpolation(matrix, np.stack([np.sin(angle), np.cos(angle)]), PROCESS_STD * float(std.mean()))


def interpolate_grid(
    axes: Sequence[SliceGeometry], noise: float = 0.0, degradation: str = "box"
) -> tuple[dict[int, Interpolation], float]:
    """:func:`interpolate` along every coarse axis, by axis, and the expected std of the image about the outcome."""
    ways = {g.axis: interpolate(g, noise) for g in axes}
    field = FIELD_STD if degradation == "1.5t" else 0.0
    return ways, math.hypot(field, *(way.residual for way in ways.values()))


def phase_maps(
    rows: NDArray[np.float64] | None, columns: NDArray[np.float64] | None, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Phases (2, n) of rows and of columns as maps (4, *shape); zeros for an axis that is fine, None."""
    maps = np.zeros((4, *shape), dtype=np.float32)
    if rows is not None:
        maps[:2] = rows[:, :, None]
    if columns is not None:
        maps[2:] = columns[:, None, :]
    return maps


def describe(
    g: SliceGeometry | None, voxel: tuple[float, float, float], plane: tuple[int, int] | None, noise: float = 0.0
) -> NDArray[np.float32]:
    """The vector that conditions a slice network, (FEATURES,).

    ``g``: None when there is no measurement. ``voxel``: mm along rows, columns and slice normal. ``plane``: world axes
    of rows and columns, None when unknown or oblique. ``noise``: std of a slice value on the priors' scale.
    """
    vector = np.zeros(FEATURES, dtype=np.float32)
    if g is not None:
        vector[:AXIS_FEATURES] = _acquired(g)
        vector[4] = 10 * noise
    vector[5:8] = np.log(voxel)
    if plane is not None:
        vector[8 + PLANES[plane]] = 1.0
    return vector


def _acquired(g: SliceGeometry) -> tuple[float, float, float, float]:
    """How one axis was acquired: 1, logarithms of thickness and spacing in fine voxels, width of the profile."""
    width = 0.0
    if g.profile != KSPACE:  # negative lobes leave a second moment without meaning; that they are there is told apart
        z = fine_centres(g)
        middle = slice_matrix(g)[g.count // 2]
        width = math.sqrt(max(float(middle @ z**2 - (middle @ z) ** 2), 0.0))
    return 1.0, math.log(g.thickness / g.fine_spacing), math.log(g.spacing / g.fine_spacing), width / g.spacing


def describe_grid(
    axes: Sequence[SliceGeometry | None],
    voxel: tuple[float, float, float],
    plane: tuple[int, int] | None,
    first: tuple[float, float] = (0.0, 0.0),
    noise: float = 0.0,
    degradation: str = "box",
) -> NDArray[np.float32]:
    """The vector that conditions a slice network which knows of coarse columns and slices too, (GRID_FEATURES,).

    ``axes``: of rows, columns and slice normal, None where the sampling is fine. ``first``: sine and cosine of the
    place of the slab's first slice within the slice distance along a coarse normal. ``degradation``: one of
    :data:`DEGRADATIONS`, or ``box``. The rest as :func:`describe`, whose vector comes first.
    """
    rows, columns, normal = axes
    vector = np.zeros(GRID_FEATURES, dtype=np.float32)
    vector[:FEATURES] = describe(rows, voxel, plane, noise)
    vector[4] = 10 * noise
    for i, g in enumerate((columns, normal)):
        if g is not None:
            place = FEATURES + i * AXIS_FEATURES
            vector[place : place + AXIS_FEATURES] = _acquired(g)
    if normal is not None:
        vector[PLACE : PLACE + 2] = first
    if degradation in DEGRADATIONS:
        vector[PLACE + 2 + DEGRADATIONS.index(degradation)] = 1.0
    return vector


def world_axes(affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """World axis (0 R-L, 1 A-P, 2 I-S) nearest to each array axis."""
    found = [{"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}[code] for code in axis_codes(affine)]
    return found[0], found[1], found[2]
