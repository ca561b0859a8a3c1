"""Arrays from the files in which sampling masks are kept: npy, BART's cfl, MATLAB's mat; in numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError

SUFFIXES = (".npy", ".cfl", ".mat")
LARGEST = 2**28
"""Most entries of a mask."""


def read_array(path: Path) -> NDArray[Any]:
    """The array in a mask file, axes as in the matrix that was saved; raises :class:`InputError` if there is none."""
    readers = {".npy": _npy, ".cfl": _cfl, ".mat": _mat}
    if path.suffix.lower() not in readers:
        raise InputError(f"mask {path}: kind {path.suffix or 'without suffix'}; give {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"mask {path} does not exist; give a file {', '.join(SUFFIXES)}, or NAME:R:ACS")
    try:
        return readers[path.suffix.lower()](path)
    except (ValueError, OSError, TypeError, KeyError, NotImplementedError, EOFError) as error:
        raise InputError(f"mask {path} cannot be read ({str(error).splitlines()[0]}); save it anew") from error


def _npy(path: Path) -> NDArray[Any]:
    return np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"))


def _cfl(path: Path) -> NDArray[Any]:
    """BART keeps the sizes in a text file beside it, and the numbers as complex64, first axis fastest."""
    header = path.with_suffix(".hdr")
    if not header.is_file():
        raise InputError(f"mask {path} has no {header.name} beside it; give both files")
    numbers = [line for line in header.read_text(errors="replace").splitlines() if line and not line.startswith("#")]
    shape = [int(n) for n in numbers[0].split()] if numbers else []
    size = int(np.prod(shape, dtype=np.int64)) if shape else 0
    if not 0 < size <= LARGEST or path.stat().st_size != 8 * size:
        raise InputError(f"mask {path}: its length is not the {8 * size} bytes of {header.name}; copy both anew")
    return np.fromfile(path, dtype=np.complex64).reshape(shape, order="F").squeeze()


def _mat(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        hdf5 = b"MATLAB 7.3" in file.read(128)
    arrays = _mat73(path) if hdf5 else _mat5(path)
    if "mask" not in arrays and len(arrays) != 1:
        raise InputError(f"mask {path}: it holds {', '.join(sorted(arrays)) or 'no array'}; name the array mask")
    return arrays["mask"] if "mask" in arrays else next(iter(arrays.values()))


def _mat5(path: Path) -> Mapping[str, NDArray[Any]]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
    except MatReadError as error:
        raise ValueError(str(error)) from error
    return {k: v for k, v in content.items() if isinstance(v, np.ndarray) and v.dtype.kind in "buifc"}


def _mat73(path: Path) -> Mapping[str, NDArray[Any]]:
    try:
        import h5py
    except ImportError:
        raise InputError(f"mask {path} is of MATLAB 7.3; install voxprior[kspace], or save it with -v7") from None
    with h5py.File(path, "r") as file:
        names = [k for k, v in file.items() if isinstance(v, h5py.Dataset) and v.dtype.kind in "buifc"]
        # HDF5 lists the axes of a MATLAB array backwards.
        return {name: np.asarray(file[name]).T for name in names if file[name].size <= LARGEST}
