"""What may be told of an image by its header alone: how many voxels of which size, and which way its slices lie."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEADER = 348
THICK = 1.2
"""An axis so many times coarser than the next is that of the slices."""
PLANES = ("sagittal", "coronal", "axial")
"""By the axis of the world that slices follow each other along."""

Vector = Sequence[float]


def glance(path: Path, suffix: str) -> dict[str, Any]:
    """``size`` (voxels), ``voxel`` (mm) and ``plane`` (or None) of a NIfTI-1 file; nothing of others.

    No text of the header is looked at. The server reads 348 bytes, and needs no library for it.
    """
    head = _head(path, suffix)
    if len(head) < HEADER or head[344:348] not in (b"n+1\0", b"ni1\0"):
        return {}
    order = "<" if struct.unpack_from("<i", head)[0] == HEADER else ">"
    size = struct.unpack_from(f"{order}8h", head, 40)
    columns = _columns(head, order)
    voxel = [math.sqrt(sum(x * x for x in column)) for column in columns]
    if size[0] < 3 or not all(math.isfinite(v) and v > 0 for v in voxel):
        return {}
    return {"size": list(size[1:4]), "voxel": [round(v, 3) for v in voxel], "plane": plane_of(columns, voxel)}


def plane_of(columns: Sequence[Vector], voxel: Vector) -> str | None:
    """Axial, coronal or sagittal, as the coarsest axis runs; None where no axis is much coarser than the others."""
    *_, next_, coarsest = sorted(range(3), key=lambda axis: voxel[axis])
    return facing(columns[coarsest]) if voxel[coarsest] >= THICK * voxel[next_] else None


def facing(normal: Vector) -> str:
    """The plane that ``normal`` stands on, or nearly so."""
    return PLANES[max(range(3), key=lambda axis: abs(normal[axis]))]


def _head(path: Path, suffix: str) -> bytes:
    with path.open("rb") as stream:
        start = stream.read(8192)
    if suffix != ".nii.gz":
        return start[:HEADER]
    try:
        return zlib.decompressobj(wbits=31).decompress(start, HEADER)
    except zlib.error:
        return b""


def _columns(head: bytes, order: str) -> list[tuple[float, ...]]:
    """Steps in mm along the three axes: by the sform, or the qform, or the voxel sizes."""
    if struct.unpack_from(f"{order}h", head, 254)[0] > 0:
        rows = [struct.unpack_from(f"{order}4f", head, at) for at in (280, 296, 312)]
        return [tuple(row[axis] for row in rows) for axis in range(3)]
    sizes = struct.unpack_from(f"{order}8f", head, 76)
    turn = struct.unpack_from(f"{order}3f", head, 256)
    b, c, d = turn if struct.unpack_from(f"{order}h", head, 252)[0] > 0 else (0.0, 0.0, 0.0)
    a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    turned = (
        (a * a + b * b - c * c - d * d, 2 * (b * c + a * d), 2 * (b * d - a * c)),
        (2 * (b * c - a * d), a * a + c * c - b * b - d * d, 2 * (c * d + a * b)),
        (2 * (b * d + a * c), 2 * (c * d - a * b), a * a + d * d - b * b - c * c),
    )
    return [tuple(sizes[axis + 1] * x for x in turned[axis]) for axis in range(3)]
