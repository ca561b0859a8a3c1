"""MATLAB files: version 5 through scipy, version 7.3, which is HDF5, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat

from voxprior.errors import InputError
from voxprior.io.kspace.arrays import Stored, from_arrays
from voxprior.io.kspace.file import SAMPLE_CAP, KspaceFile, one_line
from voxprior.io.kspace.hdf5 import as_complex, complex_type, data_sets, opened
from voxprior.io.names import shown
from voxprior.io.nifti import DEFLATE_RATIO

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
USER_BLOCK = 512
NUMBERS = {"double": "f8", "single": "f4", "logical": "?"} | {
    f"{sign}int{bits}": f"{sign or 'i'}{bits // 8}" for sign in ("u", "") for bits in (8, 16, 32, 64)
}
"""MATLAB's classes of numbers, and their types; cells, structures and functions are never loaded."""

Arrays = tuple[Mapping[str, Stored], Callable[[], None]]


def open_mat(path: Path) -> KspaceFile:
    """The variable ``kspace`` of a MATLAB file; raises :class:`InputError` that names the variables where none is."""
    if not is_hdf5(path):
        return from_arrays("mat", path, _version_5(path))
    with opened(path) as file:
        return from_arrays("mat", path, _version_7(file), file.close)


def read_mat(path: Path) -> Arrays:
    """The arrays of numbers in a MATLAB file of either version by name, and what closes the file."""
    if not is_hdf5(path):
        return _version_5(path), lambda: None
    with opened(path) as file:
        return _version_7(file), file.close


def is_hdf5(path: Path) -> bool:
    """Whether the MATLAB file ``path`` is one of version 7.3."""
    with path.open("rb") as stream:
        start = stream.read(USER_BLOCK + len(HDF5_MAGIC))
    return HDF5_MAGIC in (start[: len(HDF5_MAGIC)], start[USER_BLOCK:])


def _version_7(file: Any) -> dict[str, Stored]:
    return {name: _transposed(item) for name, item in data_sets(file).items()}


def _transposed(item: Any) -> Stored:
    """A variable of version 7.3, whose axes HDF5 lists in reverse."""

    def whole() -> NDArray[Any]:
        return as_complex(item[()]).T

    def row(index: int) -> NDArray[Any]:
        return as_complex(item[..., index]).T

    return Stored(tuple(item.shape[::-1]), complex_type(item.dtype), row, whole)


def _version_5(path: Path) -> dict[str, Stored]:
    name = shown(path)
    try:
        variables = whosmat(str(path), appendmat=False)
    except Exception as error:  # scipy's parser fails in many ways on bytes that are no MATLAB file
        raise InputError(f"{name}: not a MATLAB file, or damaged ({one_line(error)}); save it again") from None
    limit = path.stat().st_size * DEFLATE_RATIO * 8  # MATLAB stores small numbers in fewer bytes, and deflates
    arrays = {}
    for variable, shape, kind in variables:
        if kind not in NUMBERS:
            continue
        if prod(shape) > min(SAMPLE_CAP, limit):
            raise InputError(f"{name}: {variable} claims {prod(shape)} numbers, too many; save fewer slices")
        arrays[variable] = _variable(path, variable, tuple(shape), np.dtype(NUMBERS[kind]))
    return arrays


def _variable(path: Path, variable: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Stored:
    """A variable of version 5, loaded when it is first asked for (the format holds 2 GiB at most)."""
    load = partial(_load, path, variable, [])
    if variable in ("kspace", "maps", "s_maps", "sensitivity_maps", "noise"):  # whether complex is not in the list
        dtype = load().dtype
    return Stored(shape, dtype, lambda i: load()[i], load)


def _load(path: Path, variable: str, kept: list[NDArray[Any]]) -> NDArray[Any]:
    if not kept:
        try:
            array = loadmat(str(path), appendmat=False, variable_names=[variable])[variable]
        except Exception as error:
            raise InputError(f"{shown(path)}: {variable} cannot be read ({one_line(error)}); save it again") from None
        kept.append(np.asarray(array))
    return kept[0]
