"""What may be told of an image by its header alone: how many voxels of which size, and which way its slices lie."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

from voxprior.volume import THICK_RATIO

HEADER = 348
PLANES = ("sagittal", "coronal", "axial")
"""By the axis of the world that slices follow each other along."""
_READER: Any = Nifti1Header


def glance(path: Path, suffix: str) -> dict[str, Any]:
    """``size`` (voxels), ``voxel`` (mm) and ``plane`` (or None) of a NIfTI-1 file; nothing of others.

    No text of the header is looked at, and of the file no more than the header.
    """
    head = _head(path, suffix)
    if len(head) < HEADER or head[344:348] not in (b"n+1\0", b"ni1\0"):
        return {}
    try:
        header = _READER.from_fileobj(BytesIO(head), check=False)
        with np.errstate(all="ignore"):  # what a header claims may be no number
            steps, size = header.get_best_affine()[:3, :3], header["dim"]
    except (ValueError, ArithmeticError):  # of what cannot be a place nothing is told
        return {}
    voxel = np.linalg.norm(steps, axis=0)
    if size[0] < 3 or not np.isfinite(voxel).all() or not (voxel > 0).all():
        return {}
    told = [round(float(v), 3) for v in voxel]
    return {"size": [int(n) for n in size[1:4]], "voxel": told, "plane": _plane(steps, voxel)}


def _plane(steps: NDArray[np.float64], voxel: NDArray[np.float64]) -> str | None:
    """Axial, coronal or sagittal, as the coarsest axis runs; None where no axis is much coarser than the others."""
    *_, next_, coarsest = np.argsort(voxel, kind="stable")
    return facing(steps[:, coarsest]) if voxel[coarsest] >= THICK_RATIO * voxel[next_] else None


def facing(normal: NDArray[np.float64]) -> str:
    """The plane that ``normal`` stands on, or nearly so."""
    return PLANES[int(np.abs(normal).argmax())]


def _head(path: Path, suffix: str) -> bytes:
    with path.open("rb") as stream:
        start = stream.read(8192)
    if suffix != ".nii.gz":
        return start[:HEADER]
    try:
        return zlib.decompressobj(wbits=31).decompress(start, HEADER)
    except zlib.error:
        return b""
