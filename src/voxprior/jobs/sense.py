"""What makes no sense as a scan is refused, unless the user insists."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.jobs.options import ImageOptions
from voxprior.volume import Volume

LABELS, CODES = 256, 16
"""More values than the first no label map has. With fewer than the second they must follow each other (0, 1, 2 ...), as
codes do and the grey values of a digital phantom do not.
"""
FLAT = 0.5
"""Part of neighbouring voxels that are equal in a label map, at least along one axis. In maps of tissue at 1 mm it is
0.82, in scans of 8 bits at most 0.17.
"""
SEEN = 200_000
"""Voxels that are looked at for their values."""
CONTENT = 1e-4
"""Least part of the voxels that differ from the commonest value."""


def require_scan(volume: Volume, options: ImageOptions) -> None:
    """Raise :class:`InputError` for a label map and for a volume that is all but empty, unless ``force_input``."""
    if options.force_input:
        return
    name = volume.source or "the image"
    data = volume.data
    if is_label_map(data):
        raise InputError(f"{name}: looks like a label map, not a scan; give the scan, or --force-input")
    blank = float(np.median(data[:: max(1, data.shape[0] // 32)]))
    if np.count_nonzero(data != blank) < CONTENT * data.size:
        raise InputError(f"{name}: nearly every voxel is {blank:g}; give another image, or --force-input")


def is_label_map(data: NDArray[np.float32]) -> bool:
    """Whether ``data`` (i, j, k) holds few whole numbers, in large regions of one number each.

    A phantom is none: noise and partial volumes give it many values, or it has a few that are far apart.
    """
    step = max(1, int(np.cbrt(data.size / SEEN)))
    few = data[::step, ::step, ::step]
    values = np.unique(few)
    codes = values.size >= CODES or np.ptp(values) < 2 * values.size
    if not np.array_equal(values, np.round(values)) or values.size > LABELS or not codes:
        return False
    return any(_equal(np.moveaxis(data, axis, -1)[::step, ::step]) >= FLAT for axis in range(3))


def _equal(lines: NDArray[np.float32]) -> float:
    """Part of the neighbours along ``lines`` (.., voxel) that are equal, where one of the two is not 0."""
    a, b = lines[..., :-1], lines[..., 1:]
    filled = (a != 0) | (b != 0)
    return float((a == b)[filled].mean()) if filled.any() else 0.0
