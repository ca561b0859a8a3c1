"""A folder of ``.npy`` slices, 000.npy, 001.npy and so on: the layout of TPDM's data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.names import shown
from voxprior.io.nifti import DEFAULT_CAP
from voxprior.volume import Volume

Slice = NDArray[np.float32]


def slice_files(folder: Path) -> list[Path]:
    """The ``.npy`` files of ``folder``, in the order of their names."""
    return sorted(p for p in folder.iterdir() if p.suffix == ".npy" and not p.name.startswith("."))


def read_slices(folder: Path) -> Volume:
    """Stack the slices of ``folder`` along k, with voxels of 1 mm at an arbitrary place; integers are divided by 255.

    Raises :class:`InputError` for files that are not plain 2-D arrays of one shape, not finite, or too many voxels.
    """
    files = slice_files(folder)
    slices: list[Slice] = []
    for path in files:
        array = _read(path)
        if slices and array.shape != slices[0].shape:
            raise InputError(f"{shown(path)}: shape {array.shape} is not that of the other slices {slices[0].shape}")
        if array.size * len(files) > DEFAULT_CAP:
            raise InputError(f"{shown(folder)}: more than {DEFAULT_CAP} voxels; take fewer slices")
        slices.append(array)
    if len(slices) < 2:
        raise InputError(f"{shown(folder)}: at least two .npy slices are needed")
    data = np.stack(slices, axis=-1)
    if not np.isfinite(data).all() or data.min() == data.max():
        raise InputError(f"{shown(folder)}: voxels are NaN, infinite or all equal; give other slices")
    warning = "slices of .npy files have no place in a patient: voxels are taken as 1 mm"
    return Volume(data, np.eye(4), {"warnings": (warning,)}, "slices")


def _read(path: Path) -> Slice:
    try:
        lazy = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{shown(path)}: not a plain array ({type(error).__name__}); save it by numpy.save") from None
    if not isinstance(lazy, np.ndarray) or lazy.dtype.kind not in "uif" or np.squeeze(lazy).ndim != 2:
        raise InputError(f"{shown(path)}: not a real 2-D array; give one slice a file")
    array = np.squeeze(np.asarray(lazy, dtype=np.float32))
    return array / np.float32(255) if lazy.dtype.kind in "ui" else array
