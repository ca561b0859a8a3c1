"""Volumes that are coarse along one to three array axes: which axes, what they measured, and of which fine grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.volume import GRID_SLACK, KSPACE, SliceGeometry, Volume, fine_affine, slice_affine

COARSER = 1.5
"""An axis at least so many times coarser than the finest is one to refine."""
LARGEST = 2048
"""Most fine voxels along an axis."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Refinement:
    """Which ``axes`` (of 0, 1, 2) become ``factor`` times finer, and whether they were truncated in k-space."""

    axes: tuple[int, ...]
    factor: float
    profile: str = "box"


def coarse_axes(spacing: Sequence[float], axes: str = "auto") -> tuple[int, ...]:
    """Array axes to refine: named, as ``ij``, or found from ``spacing`` (mm).

    Those at least 1.5 times coarser than the finest or, where there are none or just one (a slice axis), the two
    finest. Raises :class:`InputError` for an unknown name and for one that comes twice.
    """
    if axes != "auto":
        names = axes.lower()
        if not names or set(names) - set("ijk"):
            raise InputError(f"--axes {axes} is unknown; give auto, or array axes such as ij, ik or ijk")
        if len(set(names)) < len(names):
            raise InputError(f"--axes {axes} names an axis twice; give each once")
        return tuple(sorted("ijk".index(name) for name in names))
    coarser = [a for a in range(3) if spacing[a] >= COARSER * min(spacing) - 1e-6]
    return tuple(coarser) if len(coarser) > 1 else tuple(sorted(sorted(range(3), key=lambda a: spacing[a])[:2]))


def decimation(shape: Sequence[int], spacing: Sequence[float], refinement: Refinement) -> tuple[SliceGeometry, ...]:
    """What a volume of ``shape`` and ``spacing`` (mm) measured of the grid ``factor`` times finer, an axis each.

    Along an axis the fine grid has ``ceil(n factor)`` voxels about the same middle. Raises :class:`InputError` for
    axes of one voxel and for grids that are too large.
    """
    found = []
    for axis in refinement.axes:
        count, fine = shape[axis], grown(shape[axis], refinement.factor)
        if count < 2:
            raise InputError(f"axis {'ijk'[axis]} holds {count} voxel; at least 2 are needed, name others with --axes")
        if fine > LARGEST:
            factor = f"--factor {refinement.factor:g}"
            raise InputError(f"{factor} makes {fine} voxels along {'ijk'[axis]}; {LARGEST} at most")
        distance = float(spacing[axis])
        fine_spacing = distance / refinement.factor
        found.append(SliceGeometry(axis, count, distance, distance, fine, fine_spacing, refinement.profile))
    return tuple(found)


def grown(count: int, factor: float) -> int:
    """Fine voxels over the span of ``count`` voxels."""
    return math.ceil(count * factor - GRID_SLACK)


def refined(volume: Volume, axes: Sequence[SliceGeometry]) -> tuple[Shape, NDArray[np.float64]]:
    """Shape and affine of the fine grid of ``volume``, measured along ``axes``."""
    counts = {g.axis: g.fine_count for g in axes}
    i, j, k = (counts.get(axis, n) for axis, n in enumerate(volume.data.shape))
    return (i, j, k), reduce(fine_affine, axes, volume.affine)


def decimate(image: NDArray[Any], axes: Sequence[SliceGeometry]) -> NDArray[np.float64]:
    """What is measured of ``image`` (i, j, k), a matrix an axis; float64."""
    found = np.asarray(image, dtype=np.float64)
    for g in axes:
        found = np.moveaxis(np.tensordot(g.matrix(), found, axes=(1, g.axis)), 0, g.axis)
    return found


def coarsened(truth: Volume, refinements: Sequence[Refinement]) -> tuple[Volume, tuple[tuple[SliceGeometry, ...], ...]]:
    """``truth`` cropped about its middle to what coarse voxels cover, and the geometries of every refinement.

    ``refinements``: in the order in which they restore, from the coarsest grid on. Raises :class:`InputError` when
    fewer than two coarse voxels fit.
    """
    counts = [_fitting(n, axis, refinements) for axis, n in enumerate(truth.data.shape)]
    spacing = [s * math.prod(r.factor for r in refinements if a in r.axes) for a, s in enumerate(truth.spacing)]
    shape, stages = counts, []
    for refinement in refinements:
        axes = decimation(shape, spacing, refinement)
        stages.append(axes)
        for g in axes:
            shape[g.axis], spacing[g.axis] = g.fine_count, g.fine_spacing
    return _cropped(truth, shape), tuple(stages)


def coarse_affine(affine: NDArray[np.float64], stages: Sequence[Sequence[SliceGeometry]]) -> NDArray[np.float64]:
    """Affine of the coarsest grid, from that of the finest."""
    return reduce(slice_affine, [g for axes in reversed(stages) for g in axes], affine)


def _fitting(available: int, axis: int, refinements: Sequence[Refinement]) -> int:
    factors = [r.factor for r in refinements if axis in r.axes]
    count = math.floor(available / math.prod(factors) + 1) if factors else available
    while reduce(grown, factors, count) > available:
        count -= 1
    if factors and count < 2:
        name = "ijk"[axis]
        raise InputError(f"--simulate leaves {count} of {available} voxels along {name}; give a smaller --factor")
    return count


def _cropped(volume: Volume, shape: Sequence[int]) -> Volume:
    start = [(n - m) // 2 for n, m in zip(volume.data.shape, shape, strict=True)]
    window = tuple(slice(a, a + m) for a, m in zip(start, shape, strict=True))
    affine = np.array(volume.affine)
    affine[:3, 3] += affine[:3, :3] @ start
    return Volume(volume.data[window], affine, volume.header, volume.source)


def profile_of(degradation: str) -> str:
    """Profile of an axis that was measured by ``degradation``: box, kspace, or 1.5t (whose voxels are boxes)."""
    return KSPACE if degradation == KSPACE else "box"
