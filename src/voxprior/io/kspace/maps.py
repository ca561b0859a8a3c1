"""Sensitivity maps from a file of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.kspace.arrays import MAPS_NAMES, Stored, as_maps, listed, loaded
from voxprior.io.kspace.cfl import read_cfl
from voxprior.io.kspace.file import Complex, KspaceFile
from voxprior.io.kspace.hdf5 import data_sets, opened, stored
from voxprior.io.kspace.mat import read_mat
from voxprior.io.kspace.npz import read_npy, read_npz
from voxprior.io.names import shown


def read_maps(path: Path, kspace: KspaceFile) -> Complex:
    """Maps for ``kspace`` from ``path``: (coil, *space), (slice, coil, *space) or (slice, set, coil, *space).

    ``.npz``, ``.h5`` and ``.mat`` hold them as ``maps`` or ``s_maps``, or hold nothing else; ``.npy`` and ``.cfl`` are
    the array itself. Raises :class:`InputError` when coils, matrix or slices are not those of ``kspace``.
    """
    path = Path(path)
    name = shown(path)
    if not path.is_file():
        raise InputError(f"{name}: no such file; check the name given with --maps")
    arrays, release = _arrays(path)
    try:
        chosen = next((arrays[m] for m in MAPS_NAMES if m in arrays), None)
        if chosen is None and len(arrays) == 1:
            (chosen,) = arrays.values()
        if chosen is None:
            raise InputError(f"{name}: none of its arrays is called maps, only {listed(arrays)}; rename one")
        return as_maps(loaded(chosen, f"{name}: maps"), kspace.slices, kspace.coils, kspace.shape, name)
    finally:
        release()


def _arrays(path: Path) -> tuple[Mapping[str, Stored], Callable[[], None]]:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path)
    if suffix == ".npy":
        return {"maps": read_npy(path)}, lambda: None
    if suffix in (".cfl", ".hdr"):
        return {"maps": read_cfl(path)}, lambda: None
    if suffix in (".h5", ".hdf5"):
        with opened(path) as file:
            return {name: stored(item) for name, item in data_sets(file).items()}, file.close
    if suffix == ".mat":
        return read_mat(path)
    raise InputError(f"{shown(path)}: maps must be in a .npz, .npy, .cfl, .h5 or .mat file; convert them")
