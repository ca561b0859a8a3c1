"""Whether a file can serve as a training volume, from its header and its last bytes."""

from __future__ import annotations

import struct
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.headers import Claim
from voxprior.io.names import shown
from voxprior.io.nifti import TRAILING_BYTES, load_frames, read_claim

LEAST = 16
"""Voxels along each axis, of what is worth training on; scouts have fewer."""


def probe(path: Path) -> Claim:
    """The header of ``path``; no voxel is read unless the file seems to be cut short.

    Raises :class:`InputError` for a file that is damaged, has several frames, or is thinner than :data:`LEAST` voxels.
    """
    name = shown(path)
    if path.is_symlink() and not path.exists():
        raise InputError(f"{name}: a link to nothing, so it was not fetched; fetch it")
    claim = read_claim(path)
    if claim.frames > 1:
        raise InputError(f"{name}: {claim.frames} frames; split them")
    if min(claim.shape) < LEAST:
        raise InputError(f"{name}: {' x '.join(map(str, claim.shape))} voxels, thinner than {LEAST}; take it out")
    if not path.name.lower().endswith(".nii") and not _ends_as_it_should(path, claim):
        load_frames(path, None)  # several gzip members in one file are no fault, so the data decide
    return claim


def _ends_as_it_should(path: Path, claim: Claim) -> bool:
    """Whether the length that a gzip file ends with is that of the image; one that is cut ends with anything."""
    with path.open("rb") as stream:
        stream.seek(-4, 2)
        (length,) = struct.unpack("<I", stream.read(4))
    return bool((length - claim.file_bytes) % 2**32 <= TRAILING_BYTES)
