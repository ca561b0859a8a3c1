"""What a network is told about the measurement: the interpolated slices and how they were acquired."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxprior.operators.profiles import fine_centres, gaussian_process_matrix, slice_matrix
from voxprior.volume import SliceGeometry, axis_codes

CORRELATION_MM = 20.0
"""Correlation length of the process behind the interpolation; measured on the fit subjects, flat from 8 to 20 mm."""
SLICE_NOISE = 0.01
"""Least noise of a slice value, in units of the process's std; keeps the solve well posed."""
PROCESS_STD = 0.33
"""Std of an image about its slices for a process of unit std, on the intensity scale of the priors."""
PLANES = {pair: i for i, pair in enumerate(((0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)))}
"""(world axis of the rows, world axis of the columns) of a slice, to its place in the description."""
FEATURES = 8 + len(PLANES)


@dataclass(frozen=True, eq=False)
class Interpolation:
    """The measurement carried to the fine grid along the slice axis.

    ``matrix`` (fine_count, count); ``phase`` (2, fine_count): sine and cosine of the place within the slice distance;
    ``residual``: expected std of the image about the interpolation, on the intensity scale of the priors.
    """

    matrix: NDArray[np.float64]
    phase: NDArray[np.float64]
    residual: float


def interpolate(g: SliceGeometry, noise: float = 0.0) -> Interpolation:
    """Best linear interpolation of the slices of ``g``; ``noise``: std of a slice value, on the priors' scale."""
    matrix, std = gaussian_process_matrix(g, CORRELATION_MM, max(SLICE_NOISE, noise / PROCESS_STD))
    angle = 2 * math.pi * (fine_centres(g) / g.spacing + (g.count - 1) / 2)
    return Interpolation(matrix, np.stack([np.sin(angle), np.cos(angle)]), PROCESS_STD * float(std.mean()))


def describe(
    g: SliceGeometry | None, voxel: tuple[float, float, float], plane: tuple[int, int] | None, noise: float = 0.0
) -> NDArray[np.float32]:
    """The vector that conditions a slice network, (FEATURES,).

    ``g``: None when there is no measurement. ``voxel``: mm along rows, columns and slice normal. ``plane``: world axes
    of rows and columns, None when unknown or oblique. ``noise``: std of a slice value on the priors' scale.
    """
    vector = np.zeros(FEATURES, dtype=np.float32)
    if g is not None:
        a = slice_matrix(g)
        z = fine_centres(g)
        middle = a[g.count // 2]
        width = math.sqrt(max(float(middle @ z**2 - (middle @ z) ** 2), 0.0))
        vector[0] = 1.0
        vector[1] = math.log(g.thickness / g.fine_spacing)
        vector[2] = math.log(g.spacing / g.fine_spacing)
        vector[3] = width / g.spacing
        vector[4] = 10 * noise
    vector[5:8] = np.log(voxel)
    if plane is not None:
        vector[8 + PLANES[plane]] = 1.0
    return vector


def world_axes(affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """World axis (0 R-L, 1 A-P, 2 I-S) nearest to each array axis."""
    found = [{"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}[code] for code in axis_codes(affine)]
    return found[0], found[1], found[2]
