"""BART's pairs of files: ``.hdr`` with the sizes, ``.cfl`` with complex64 in Fortran order."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.kspace.arrays import Stored, from_arrays
from voxprior.io.kspace.file import KspaceFile
from voxprior.io.kspace.npz import in_memory
from voxprior.io.names import shown

COIL, MAPS, SLICE = 3, 4, 13
"""BART's dimensions beside the three of space."""
DIMENSIONS = 16
HEADER_CAP = 1 << 16
DTYPE = np.dtype("<c8")


def open_cfl(path: Path) -> KspaceFile:
    """The pair ``path`` (``.cfl`` or ``.hdr``) as k-space, mapped into memory.

    The axes of space that are longer than 1 are, in BART's order, (y, x) or (y, x, z). Raises :class:`InputError` for
    a lone half, a data file of another size than the header says, several maps, and dimensions that are no slices.
    """
    stored = read_cfl(path)
    sets = stored.shape[1]
    if sets != 1:
        raise InputError(f"{shown(path)}: {sets} sets of maps (dimension {MAPS}), not k-space; give it with --maps")
    kspace = Stored(
        (stored.shape[0], *stored.shape[2:]), stored.dtype, lambda i: stored.row(i)[0], lambda: stored.whole()[:, 0]
    )
    return from_arrays("cfl", path, {"kspace": kspace})


def read_cfl(path: Path) -> Stored:
    """The array (slice, set, coil, y, x) or (slice, set, coil, z, y, x) of a pair; raises as :func:`open_cfl`."""
    sizes = read_header(path.with_suffix(".hdr"))
    data, name = path.with_suffix(".cfl"), shown(path)
    if not data.is_file():
        raise InputError(f"{shown(data)}: no such file, only its header; put both halves of the pair side by side")
    wanted, got = prod(sizes) * DTYPE.itemsize, data.stat().st_size
    if got != wanted:
        fault = "cut short" if got < wanted else "too long"
        raise InputError(f"{shown(data)}: {fault}, {got} bytes where its header says {wanted}; copy both files again")
    other = [d for d, n in enumerate(sizes) if n > 1 and d > COIL and d not in (MAPS, SLICE)]
    if other:
        raise InputError(
            f"{name}: dimension {other[0]} has {sizes[other[0]]} entries; take one (bart slice {other[0]} 0 IN OUT)"
        )
    space = [d for d in range(COIL) if sizes[d] > 1]
    if len(space) < 2:
        raise InputError(f"{name}: of sizes {' '.join(map(str, sizes[:3]))} in space, which is no image; give k-space")
    array: NDArray[Any] = np.memmap(data, DTYPE, "r", shape=tuple(sizes), order="F")
    order = space if len(space) == 2 else [2, 0, 1]
    kept = [SLICE, MAPS, COIL, *order]
    rest = [d for d in range(DIMENSIONS) if d not in kept]
    return in_memory(array.transpose(rest + kept)[(0,) * len(rest)])


def read_header(path: Path) -> list[int]:
    """The sixteen sizes of a ``.hdr`` file; :class:`InputError` when there is none in it."""
    name = shown(path)
    if not path.is_file():
        raise InputError(f"{name}: no such file, only its data; put both halves of the pair side by side")
    with path.open("rb") as stream:
        lines = stream.read(HEADER_CAP).decode("utf-8", "replace").splitlines()
    for title, line in pairwise(lines):
        if title.strip() == "# Dimensions":
            words = line.split()
            if words and len(words) <= DIMENSIONS and all(w.isdecimal() and 0 < int(w) < 1 << 31 for w in words):
                return [int(w) for w in words] + [1] * (DIMENSIONS - len(words))
    raise InputError(f"{name}: no line of sizes follows '# Dimensions'; give a header that BART wrote")
