"""DICOM numbers slices along their normal, so that a left-handed grid is stored, and read, in the other order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.volume import Volume

MOST_LEAN_MM = 0.005
"""More than this of a sheared grid is told; it is half of what a place may be off when a result is verified."""


def right_handed(volume: Volume) -> Volume:
    """``volume`` with its slices along the normal of rows and columns: the same voxels at the same places."""
    return volume if np.linalg.det(volume.affine[:3, :3]) > 0 else _turned(volume)


def in_order_of(volume: Volume, affine: NDArray[np.float64]) -> Volume:
    """``volume`` with its slices in the order of a grid with ``affine`` (4 x 4), of which it is a stored copy."""
    same = np.linalg.det(volume.affine[:3, :3]) * np.linalg.det(affine[:3, :3]) > 0
    return volume if same else _turned(volume)


def require_straight(affine: NDArray[np.float64] | None, shape: tuple[int, ...], name: str) -> None:
    """Raise :class:`InputError` for a grid whose axes are not perpendicular: an image object has no words for it."""
    if affine is not None and lean(affine, shape) > MOST_LEAN_MM:
        off = lean(affine, shape)
        raise InputError(f"{name}: sheared by {off:.2g} mm, which a DICOM image cannot be; leave --dicom out")


def lean(affine: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """How far the last voxels of a grid are from where perpendicular axes would have them, mm."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    unit, extent = affine[:3, :3] / lengths, lengths * (np.array(shape) - 1)
    off = np.abs(unit.T @ unit - np.eye(3)) * np.minimum(extent[:, None], extent)
    return float(off.max())


def _turned(volume: Volume) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (volume.data.shape[2] - 1)
    affine[:3, 2] *= -1
    return Volume(volume.data[:, :, ::-1], affine, volume.header, volume.source)
