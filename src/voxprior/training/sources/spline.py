"""Coarser volumes from fine ones by cubic splines, low-passed first as a scan would be, or as was once published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, zoom

from voxprior.errors import InputError

FWHM = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian of unit std."""

Image = NDArray[np.float32]
Affine = NDArray[np.float64]


def spline_downsample(
    image: NDArray[Any], affine: Affine, spacing: float | tuple[float, float, float], variant: str = "filtered"
) -> tuple[Image, Affine]:
    """``image`` (i, j, k) at about ``spacing`` mm (along all axes or each), with the affine of where its voxels are.

    ``filtered``: Gaussian low-pass of FWHM ``spacing``, then cubic splines at the centres of coarse voxels that begin
    where the fine ones do, ((n + 1/2) f - 1/2); a rest at the far end that fills no coarse voxel is left out. Axes that
    are as coarse already stay. ``published``: no low-pass, corner voxels on corner voxels, so that the true spacing is
    only near ``spacing``; unlike there, the affine says so. Unit and range of ``image`` are kept, overshoot apart.
    Raises :class:`InputError` for an unknown variant and for a spacing below the voxels'. METHODS 4.2, MS-08.
    """
    if variant not in VARIANTS:
        raise InputError(f"variant {variant} is unknown; give {' or '.join(VARIANTS)}")
    voxel = np.linalg.norm(affine[:3, :3], axis=0)
    factor = np.broadcast_to(np.asarray(spacing, dtype=np.float64), 3) / voxel
    if not np.isfinite(factor).all() or (factor < 1 - 1e-6).any():
        shown = " x ".join(f"{v:.3g}" for v in voxel)
        raise InputError(f"a spacing of {spacing} mm is finer than the voxels, {shown} mm; give a coarser one")
    if (np.asarray(image.shape) < 2 * factor).any():
        raise InputError(f"a spacing of {spacing} mm leaves fewer than two voxels; give a finer one")
    coarse, columns, origin = VARIANTS[variant](np.asarray(image, dtype=np.float32), np.maximum(factor, 1.0))
    result = np.array(affine, dtype=np.float64)
    result[:3, 3] += affine[:3, :3] @ origin
    result[:3, :3] = affine[:3, :3] * columns
    return coarse, result


def _filtered(image: Image, factor: Affine) -> tuple[Image, Affine, Affine]:
    """The coarse volume, and its voxel size and first voxel in fine voxels."""
    origin = (factor - 1) / 2
    count = np.floor(np.array(image.shape) / factor + 1e-6).astype(int)
    smooth = gaussian_filter(image, np.where(factor > 1 + 1e-6, factor / FWHM, 0.0), mode="nearest")
    coarse = affine_transform(smooth, factor, origin, tuple(count), order=3, mode="nearest", output=np.float32)
    return coarse, factor, origin


def _published(image: Image, factor: Affine) -> tuple[Image, Affine, Affine]:
    # Mirrored, for with the default mode rounding puts the last voxel outside, where it is zero.
    coarse = np.asarray(zoom(image, 1 / factor, order=3, mode="mirror", output=np.float32))
    columns = (np.array(image.shape) - 1) / (np.array(coarse.shape) - 1)
    return coarse, columns, np.zeros(3)


VARIANTS: dict[str, Callable[[Image, Affine], tuple[Image, Affine, Affine]]] = {
    "filtered": _filtered,
    "published": _published,
}
"""Ways to make a volume coarser."""
