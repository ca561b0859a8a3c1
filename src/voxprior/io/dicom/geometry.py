"""Where the slices of a series are: from the numbers of DICOM to an affine, or a line that says why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError

ORIENTATION_TOLERANCE = 1e-3
"""Direction cosines that differ by more are of slices that are not parallel."""
SAME_PLACE_MM = 0.01
"""Images nearer than this along the normal show one slice."""
DRIFT_MM = 0.2
"""Vendors round positions to a tenth of a millimetre; a stack that drifts sideways by more than this is tilted."""
JITTER_MM, JITTER_PART, JITTER_MOST = 0.1, 0.02, 0.2
"""How far a slice may be from even distances: the larger of mm and part of the distance, at most the last part."""
MISSING = 1.5
"""A distance of so many usual ones has a slice missing in it."""
TELL_MM = 0.01

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """One image in patient space (DICOM's LPS, mm): its first voxel's centre, and unit vectors along row and column."""

    position: Vector
    along_row: Vector
    along_column: Vector

    @property
    def normal(self) -> Vector:
        """Direction in which slices follow each other."""
        (a, b, c), (d, e, f) = self.along_row, self.along_column
        return b * f - c * e, c * d - a * f, a * e - b * d


@dataclass(frozen=True, eq=False)
class Stack:
    """Images in order along the normal: ``groups`` of indices that share a place, and what was thought of them.

    ``affine``: 4 x 4, index (column, row, slice) to RAS+ mm, less the in-plane spacings, which are 1.
    """

    groups: tuple[tuple[int, ...], ...]
    affine: NDArray[np.float64]
    spacing: float
    warnings: tuple[str, ...]


def place(position: Sequence[float], orientation: Sequence[float]) -> Place:
    """A place from ImagePositionPatient and ImageOrientationPatient, its directions made exactly orthonormal.

    Raises ValueError when they are no three and six finite numbers, or no directions.
    """
    p, o = [float(v) for v in position], [float(v) for v in orientation]
    if len(p) != 3 or len(o) != 6 or not all(map(math.isfinite, (*p, *o))):
        raise ValueError("position or orientation is not three and six numbers")
    row, column = _unit((o[0], o[1], o[2])), (o[3], o[4], o[5])
    along = dot(row, column)
    if abs(along) > 0.01:
        raise ValueError("rows and columns are not perpendicular")
    column = _unit((column[0] - along * row[0], column[1] - along * row[1], column[2] - along * row[2]))
    return Place((p[0], p[1], p[2]), row, column)


def stack(places: Sequence[Place], name: str, alone: float | None = None) -> Stack:
    """The stack that ``places`` make, in any order, several images a place allowed if all places have as many.

    ``alone``: the distance, mm, that a single slice counts as, where one is enough. Raises :class:`InputError` for
    slices that are not parallel, tilted, missing, uneven, or unequal in number.
    """
    _require_parallel(places, name)
    normal = places[0].normal
    heights = [dot(normal, p.position) for p in places]
    groups: list[list[int]] = []
    for index in sorted(range(len(places)), key=lambda i: (heights[i], i)):
        if groups and heights[index] - heights[groups[-1][0]] < SAME_PLACE_MM:
            groups[-1].append(index)
        else:
            groups.append([index])
    if len(groups) < 2 and alone is None:
        raise InputError(f"{name}: all images show one slice; a series of at least two is needed")
    _require_equal_numbers(groups, heights, name)
    first = [g[0] for g in groups]
    if alone is not None and len(groups) < 2:
        return _stack(groups, places[0], alone, places[first[0]].position, ())
    spacing, warnings = _even([heights[i] for i in first], name)
    origin = _origin([places[i].position for i in first], normal, spacing, name)
    return _stack(groups, places[0], spacing, origin, warnings)


def _stack(
    groups: Sequence[Sequence[int]], at: Place, spacing: float, origin: Vector, warnings: tuple[str, ...]
) -> Stack:
    affine = np.eye(4)
    for column, vector in enumerate((at.along_row, at.along_column, at.normal, origin)):
        factor = spacing if column == 2 else 1.0
        affine[:3, column] = [-vector[0] * factor, -vector[1] * factor, vector[2] * factor]  # LPS to RAS
    return Stack(tuple(tuple(g) for g in groups), affine, spacing, warnings)


def dot(a: Vector, b: Vector) -> float:
    """Inner product, the same to the last bit on every machine."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(dot(vector, vector))
    if abs(length - 1) > 0.01:
        raise ValueError("a direction is not of length 1")
    return vector[0] / length, vector[1] / length, vector[2] / length


def _require_parallel(places: Sequence[Place], name: str) -> None:
    found: list[tuple[float, ...]] = []
    for p in places:
        both = (*p.along_row, *p.along_column)
        if not any(_far(both, other) <= ORIENTATION_TOLERANCE for other in found):
            found.append(both)
    if len(found) > 1:
        raise InputError(
            f"{name}: slices in {len(found)} directions, as of a localizer; choose a series of parallel slices"
        )


def _far(a: Sequence[float], b: Sequence[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def _require_equal_numbers(groups: Sequence[Sequence[int]], heights: Sequence[float], name: str) -> None:
    usual = len(groups[0]) if len(groups) < 3 else sorted(len(g) for g in groups)[len(groups) // 2]
    odd = next((g for g in groups if len(g) != usual), None)
    if odd is not None:
        raise InputError(
            f"{name}: {len(odd)} different images at {heights[odd[0]]:.1f} mm where other places have {usual}; "
            "take the extra ones away or export the series again"
        )


def _even(heights: Sequence[float], name: str) -> tuple[float, tuple[str, ...]]:
    """The even distance that fits sorted ``heights`` (mm) best, and what to say of what it does not fit."""
    n = len(heights)
    distances = [b - a for a, b in pairwise(heights)]
    usual = sorted(distances)[(n - 2) // 2]
    for index, distance in enumerate(distances):
        if distance > MISSING * usual:
            count = max(1, round(distance / usual) - 1)
            raise InputError(
                f"{name}: {count} slice{'s' if count > 1 else ''} missing between slices {index + 1} and {index + 2}, "
                f"{distance:.4g} mm apart where others are {usual:.4g}; export the whole series"
            )
    middle, mean = (n - 1) / 2, math.fsum(heights) / n
    weight = math.fsum((k - middle) ** 2 for k in range(n))
    spacing = math.fsum((k - middle) * h for k, h in enumerate(heights)) / weight
    worst = max(abs(h - mean - (k - middle) * spacing) for k, h in enumerate(heights))
    if worst > min(max(JITTER_MM, JITTER_PART * spacing), JITTER_MOST * spacing):
        raise InputError(
            f"{name}: slices are unevenly spaced, {min(distances):.4g} to {max(distances):.4g} mm apart; "
            "resample them to even distances first, or export the whole series"
        )
    warnings = []
    if worst > TELL_MM:
        warnings.append(
            f"slices are {min(distances):.4g} to {max(distances):.4g} mm apart; taken as every {spacing:.4g} mm"
        )
    return spacing, tuple(warnings)


def _origin(positions: Sequence[Vector], normal: Vector, spacing: float, name: str) -> Vector:
    """Centre of the first voxel of the first of the even slices; refuses a stack that leans."""
    n = len(positions)
    middle = (n - 1) / 2
    mean = [math.fsum(p[a] for p in positions) / n for a in range(3)]
    weight = math.fsum((k - middle) ** 2 for k in range(n))
    step = [math.fsum((k - middle) * p[a] for k, p in enumerate(positions)) / weight for a in range(3)]
    sideways = math.sqrt(math.fsum((step[a] - spacing * normal[a]) ** 2 for a in range(3)))
    if sideways * (n - 1) > DRIFT_MM:
        angle = math.degrees(math.atan2(sideways, spacing))
        raise InputError(
            f"{name}: slices are stacked {angle:.1f} degrees off their normal (gantry tilt); "
            "correct the tilt first, for example with dcm2niix"
        )
    origin = [mean[a] - middle * spacing * normal[a] for a in range(3)]
    return origin[0], origin[1], origin[2]
