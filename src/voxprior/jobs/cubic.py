"""The yardstick of every picture and comparison: a cubic spline through the slice centres, in numpy."""

from __future__ import annotations

import numpy as np

from voxprior.operators.profiles import interpolation_matrix
from voxprior.volume import SliceGeometry, Volume, fine_affine


def cubic(volume: Volume, geometry: SliceGeometry) -> Volume:
    """``volume``, the slices, on the fine grid of ``geometry`` by cubic B-spline; input units."""
    matrix = interpolation_matrix(geometry, 3).astype(np.float32)
    data = np.moveaxis(np.tensordot(matrix, volume.data, axes=(1, geometry.axis)), 0, geometry.axis)
    return Volume(data, fine_affine(volume.affine, geometry), volume.header, volume.source)
