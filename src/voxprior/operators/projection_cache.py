"""Projection matrices are built once and kept on the disk of the user, found again by the numbers of their geometry."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import scipy.sparse

from voxprior.operators.projection_matrix import ProjectionGeometry, build_matrix

FORMAT = 1
"""Part of the key: a change of how matrices are built or stored makes new files."""
SMALLEST = 1 << 20
"""Entries below which building is as quick as reading, so that nothing is kept."""
DEFAULT_MEGABYTES = 2048
A_DAY = 86400.0
FOLDER_VARIABLE, SIZE_VARIABLE = "VOXPRIOR_CACHE", "VOXPRIOR_CACHE_MB"
"""Environment: where matrices are kept, and how much of them (0: nothing)."""


def matrix(geometry: ProjectionGeometry) -> scipy.sparse.csr_array:
    """The matrix of :func:`build_matrix`, from the disk where it was built before; read only.

    A file that is damaged, cut or of another geometry is built again; a disk that cannot be written is no error. The
    files that were not used for longest go when all of them take more than ``VOXPRIOR_CACHE_MB`` (2048).
    """
    size = matrix_shape(geometry)
    path = cache_folder() / f"{key(geometry)}.npz"
    found = _read(path, size)
    if found is not None:
        with suppress(OSError):
            os.utime(path)  # its age is the time since it was last used
        return found
    built = build_matrix(geometry)
    if built.nnz >= SMALLEST and _bytes(built) <= _limit():
        with suppress(OSError):
            _write(path, built)
            _trim(path.parent, path)
    return built


def matrix_shape(geometry: ProjectionGeometry) -> tuple[int, int]:
    """Rays and pixels of a slice."""
    return geometry.views * geometry.bins, geometry.shape[0] * geometry.shape[1]


def key(geometry: ProjectionGeometry) -> str:
    """SHA-256 of the numbers of ``geometry`` and of the format."""
    text = json.dumps({"format": FORMAT, **geometry.to_dict()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def cache_folder() -> Path:
    """Where matrices are kept: ``VOXPRIOR_CACHE``, or the user's folder for such things."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named) / "projections"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() fails where nobody has a home
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "voxprior" / "projections"


def _limit() -> int:
    """Bytes that all files may take."""
    try:
        return int(float(os.environ.get(SIZE_VARIABLE) or DEFAULT_MEGABYTES) * 2**20)
    except (ValueError, OverflowError):
        return DEFAULT_MEGABYTES * 2**20


def _bytes(a: scipy.sparse.csr_array) -> int:
    return int(a.data.nbytes + a.indices.nbytes + a.indptr.nbytes)


def _read(path: Path, shape: tuple[int, int]) -> scipy.sparse.csr_array | None:
    """The matrix in ``path``, or None unless every number in it is one that a product may trust."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:  # each array has a checksum
            data, indices, indptr = (arrays[name] for name in ("data", "indices", "indptr"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError):
        return None
    plain = data.ndim == indices.ndim == indptr.ndim == 1 and data.dtype == np.float32 and len(data) == len(indices)
    if not plain or indices.dtype != np.int32 or indptr.dtype != np.int32 or len(indptr) != shape[0] + 1:
        return None
    steps = bool((np.diff(indptr) >= 0).all()) and indptr[0] == 0 and indptr[-1] == len(data)
    if not steps or (len(indices) and not (indices.min() >= 0 and indices.max() < shape[1])):
        return None
    return scipy.sparse.csr_array((data, indices, indptr), shape=shape) if np.isfinite(data).all() else None


def _write(path: Path, a: scipy.sparse.csr_array) -> None:
    """Write ``a`` under a name of its own, and rename it when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            np.savez(stream, data=a.data, indices=a.indices, indptr=a.indptr)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _trim(folder: Path, newest: Path) -> None:
    """Remove what a killed process left, and the files not used for longest until the rest is within the limit."""
    for left in folder.glob("*.part"):
        if time.time() - left.stat().st_mtime > A_DAY:
            left.unlink(missing_ok=True)
    files = [(p.stat().st_mtime, p.stat().st_size, p) for p in folder.glob("*.npz")]
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total > _limit() and path != newest:
            path.unlink(missing_ok=True)
            total -= size
