"""What a file is, by its first bytes: the name that a browser sends is never used."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

HEAD = 65_536
"""Bytes that are looked at."""
IMAGE, KSPACE, DICOM, ARCHIVE = "image", "kspace", "dicom", "archive"
"""Kinds of a scan; an archive is one until its members are known."""


def suffix_of(path: Path) -> str | None:
    """The suffix that the file should have: ``.nii.gz``, ``.nii``, ``.mgz``, ``.dcm``, ``.zip``, ``.npz``, ``.h5``,
    ``.mat`` or ``.npy``; None for what is no scan.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if head.startswith(b"\x1f\x8b"):
        return _compressed(head)
    if head.startswith(b"PK\x03\x04"):
        return ".npz" if _is_npz(path) else ".zip"
    if head[128:132] == b"DICM":
        return ".dcm"
    for magic, suffix in ((b"\x89HDF\r\n\x1a\n", ".h5"), (b"MATLAB 5.0", ".mat"), (b"\x93NUMPY", ".npy")):
        if head.startswith(magic):
            return suffix
    return ".nii" if _is_nifti(head) else None


def kind_of(suffix: str) -> str:
    """Image, k-space (or X-ray views), DICOM or archive, of a suffix that :func:`suffix_of` gave."""
    return {".dcm": DICOM, ".zip": ARCHIVE}.get(suffix, IMAGE if suffix in (".nii", ".nii.gz", ".mgz") else KSPACE)


def _compressed(head: bytes) -> str | None:
    try:
        inner = zlib.decompressobj(wbits=31).decompress(head, 1024)
    except zlib.error:
        return None
    if _is_nifti(inner):
        return ".nii.gz"
    return ".mgz" if inner[:4] == b"\x00\x00\x00\x01" else None


def _is_nifti(head: bytes) -> bool:
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] == b"n+2\0"


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)
