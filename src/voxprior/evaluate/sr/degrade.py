"""From a fine volume to the thick slices of a case, on a grid that the restoration returns to voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.evaluate.directions import array_axis
from voxprior.evaluate.manifest import checked
from voxprior.evaluate.sr.protocols import CROP, Case
from voxprior.io.nifti import read_volume
from voxprior.metrics import data_range, foreground
from voxprior.operators.base import Measurement
from voxprior.operators.profiles import interpolation_matrix
from voxprior.operators.separable import Separable, along
from voxprior.volume import SliceGeometry, Volume, slice_affine

SUPERSAMPLING = 3
"""Points a voxel at which the spline truth is integrated."""


@dataclass(frozen=True, eq=False)
class Truth:
    """A fine volume with its full scale (the 99.9th percentile of the whole) and its foreground."""

    volume: Volume
    range: float
    foreground: NDArray[np.bool_]

    @classmethod
    def read(cls, data: Path, case: Case) -> Truth:
        """The volume of ``case``; raises :class:`InputError` when it is missing or not the file of the
        manifest.
        """
        volume = read_volume(checked(data, case.file, case.sha256))
        return cls(volume, data_range(volume.data), foreground(volume.data))


@dataclass(frozen=True, eq=False)
class Problem:
    """What a method is given (``measurement``) and judged by: ``truth`` and ``foreground`` on the restored
    grid.

    ``thick``: the same slices as a volume in patient space, for tools that read files. ``affine``: of the
    truth grid.
    """

    measurement: Measurement
    truth: NDArray[np.float32]
    foreground: NDArray[np.bool_]
    range: float
    affine: NDArray[np.float64]
    thick: Volume

    @property
    def slices(self) -> SliceGeometry:
        """Of the thick slices, as the methods are told."""
        operator = self.measurement.operator
        assert isinstance(operator, Separable) and operator.slices is not None
        return operator.slices


def thicken(truth: Truth, case: Case, crop: int = CROP) -> Problem:
    """Slices of ``case`` without noise; the truth is cut so that slice stack and fine grid are centred on one
    point.

    ``crop``: edge of a block, voxels. Raises :class:`InputError` when fewer than two slices fit.
    """
    axis = array_axis(truth.volume, case.direction)
    window = [slice(0, n) for n in truth.volume.data.shape]
    if case.crop:
        window = block(truth.foreground, case.crop, crop)
    g = _geometry(case, axis, window[axis].stop - window[axis].start, truth.volume.spacing[axis])
    spare = window[axis].stop - window[axis].start - g.fine_count
    window[axis] = slice(window[axis].start + spare // 2, window[axis].start + spare // 2 + g.fine_count)
    cut = tuple(window)
    fine = np.array(truth.volume.data[cut], order="C")  # a copy: torch wants to be able to write
    affine = np.array(truth.volume.affine)
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in window]
    y = along(torch.from_numpy(fine)[None], _slice_weights(g, case), axis)
    told = replace(g, profile=case.assumed)
    operator = Separable.from_slices(told, tuple(y.shape[1:]))
    thick = Volume(y[0].numpy(), slice_affine(affine, g), source=f"{case.subject}.nii.gz")
    measurement = Measurement(operator, y, 0.0, affine)
    return Problem(measurement, fine, truth.foreground[cut], truth.range, affine, thick)


def block(mask: NDArray[np.bool_], number: int, edge: int) -> list[slice]:
    """Block 1 or 2 of ``edge`` voxels: both ends of the longest side of the foreground's box, centred on the
    others. Block 3 is centred on all of them.
    """
    low, high = _box(mask)
    longest = int(np.argmax(high - low))
    result = []
    for axis, size in enumerate(mask.shape):
        start = (low[axis] + high[axis] - edge) // 2
        if axis == longest and number in (1, 2):
            start = low[axis] if number == 1 else high[axis] - edge
        start = int(np.clip(start, 0, max(0, size - edge)))
        result.append(slice(start, min(start + edge, size)))
    return result


def _box(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    low, high = [], []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        low.append(hit[0])
        high.append(hit[-1] + 1)
    return np.array(low), np.array(high)


def _geometry(case: Case, axis: int, size: int, voxel: float) -> SliceGeometry:
    """As many slices as fit into ``size`` voxels; thickness and distance are whole voxels, so the grid is the
    truth's.
    """
    thickness = case.factor * case.fill
    if thickness != round(thickness):
        raise InputError(f"{case.name}: a thickness of {thickness:g} voxels is not whole; change fill")
    count = (size - round(thickness)) // case.factor + 1
    if count < 2:
        raise InputError(f"{case.name}: {size} voxels hold {count} slice; at least 2 are needed")
    fine_count = (count - 1) * case.factor + round(thickness)
    return SliceGeometry(axis, count, case.factor * voxel, thickness * voxel, fine_count, voxel, case.profile)


def _slice_weights(g: SliceGeometry, case: Case) -> NDArray[np.float64]:
    """What made the slices, (count, fine_count): of a truth constant in each voxel, or of its cubic spline."""
    if case.source == "voxels":
        return g.matrix()
    finer = replace(g, fine_count=g.fine_count * SUPERSAMPLING, fine_spacing=g.fine_spacing / SUPERSAMPLING)
    voxels = replace(finer, count=g.fine_count, spacing=g.fine_spacing, thickness=g.fine_spacing)
    return np.asarray(finer.matrix() @ interpolation_matrix(voxels, 3))
