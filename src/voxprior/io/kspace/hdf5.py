"""HDF5 files, opened with care, and which of the formats built on it they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.kspace.arrays import Stored
from voxprior.io.kspace.file import KspaceFile, one_line
from voxprior.io.names import shown

DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)
"""What h5py raises for a file that is cut short or altered; AttributeError: a group or a type is no data set."""


def open_hdf5(path: Path) -> KspaceFile:
    """A file of fastMRI's layout or of ISMRMRD; :class:`InputError` for any other, with what it holds."""
    from voxprior.io.kspace.fastmri import open_fastmri
    from voxprior.io.kspace.ismrmrd import open_ismrmrd

    with opened(path) as file:
        if "kspace" in file:
            return open_fastmri(file, path)
        groups = [file, *(g for g in file.values() if hasattr(g, "keys"))]
        for group in groups:
            if "xml" in group and "data" in group:
                return open_ismrmrd(file, group, path)
        raise InputError(
            f"{shown(path)}: neither fastMRI's layout (a data set kspace) nor ISMRMRD (a group with xml and data), "
            f"but {', '.join(sorted(file.keys())[:12]) or 'nothing'}; give raw data"
        )


def h5py() -> ModuleType:
    """The library; :class:`InputError` that names the extra where it is not installed."""
    try:
        import h5py as library
    except ImportError:
        raise InputError("HDF5 files need the extra kspace; pip install 'voxprior[kspace]'") from None
    module: ModuleType = library
    return module


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """``path`` open for reading, and kept open unless the block fails.

    Raises :class:`InputError` when it is no HDF5 file, or damaged where the block looks at it.
    """
    library, name = h5py(), shown(path)
    with path.open("rb") as stream:
        empty = not stream.read(1)
    if empty:
        raise InputError(f"{name}: the file is empty; copy or export it again")
    try:
        file = library.File(path, "r")
    except DAMAGE as error:
        fault = "cut short" if "truncated" in str(error) else "not an HDF5 file, or damaged"
        raise InputError(f"{name}: {fault}; copy or export it again") from None
    try:
        yield file
    except DAMAGE as error:
        file.close()
        raise InputError(f"{name}: damaged ({one_line(error)}); copy or export it again") from None
    except BaseException:
        file.close()
        raise


def stored(data_set: Any) -> Stored:
    """A data set as an array that is read row by row."""
    return Stored(tuple(data_set.shape), data_set.dtype, lambda i: data_set[i], lambda: data_set[()])


def data_sets(file: Any) -> Mapping[str, Any]:
    """The data sets at the root of ``file``, by name."""
    library = h5py()
    return {name: item for name, item in file.items() if isinstance(item, library.Dataset)}


def text(data_set: Any, cap: int, name: str) -> bytes:
    """The one string of ``data_set``; :class:`InputError` when it is none or longer than ``cap`` bytes."""
    value = data_set[()] if data_set.shape == () else data_set[0]
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    raw = value.encode("utf-8") if isinstance(value, str) else value
    if not isinstance(raw, bytes) or len(raw) > cap:
        raise InputError(f"{name}: the header is not a text of at most {cap} bytes; export the file again")
    return raw


def as_complex(array: NDArray[Any]) -> NDArray[Any]:
    """``array`` with pairs named real and imag (MATLAB) or r and i joined; others unchanged."""
    names = array.dtype.names or ()
    if len(names) != 2 or {n.lower()[0] for n in names} != {"r", "i"}:
        return array
    real, imag = sorted(names, key=lambda n: n.lower()[0] != "r")
    joined: NDArray[Any] = np.empty(array.shape, np.complex64)
    joined.real, joined.imag = array[real], array[imag]
    return joined


def complex_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type that :func:`as_complex` makes of ``dtype``."""
    return as_complex(np.empty(0, dtype)).dtype
