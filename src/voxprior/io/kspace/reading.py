"""Which reader a k-space file gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.kspace.file import KspaceFile
from voxprior.io.names import IMAGE_SUFFIXES, shown

READERS: Mapping[str, str] = {
    ".h5": "hdf5:open_hdf5",
    ".hdf5": "hdf5:open_hdf5",
    ".mrd": "hdf5:open_hdf5",
    ".cfl": "cfl:open_cfl",
    ".hdr": "cfl:open_cfl",
    ".mat": "mat:open_mat",
    ".npz": "npz:open_npz",
    ".npy": "npz:open_npy",
}
"""Suffix to ``module:function`` of this package."""
CONVERTERS: Mapping[str, str] = {
    ".dat": "siemens_to_ismrmrd",
    ".7": "ge_to_ismrmrd",
    ".lab": "philips_to_ismrmrd",
    ".raw": "philips_to_ismrmrd",
}
"""Suffix of a vendor's raw data to the program that makes an ISMRMRD file of them."""


def open_kspace(path: Path) -> KspaceFile:
    """Open ``path`` as k-space by its suffix; its slices are read later, one at a time.

    Raises :class:`InputError` for a file of another kind, one that is damaged, and one that holds no k-space.
    """
    path = Path(path)
    return _reader(path)(path)


def kspace_suffix(path: Path) -> str | None:
    """The suffix of ``path`` if it is one that :func:`open_kspace` reads, in lower case."""
    suffix = path.suffix.lower()
    return suffix if suffix in READERS else None


def _reader(path: Path) -> Callable[[Path], KspaceFile]:
    name = shown(path)
    if path.is_dir():
        raise InputError(f"{name}: a folder; name the file in it")
    if path.name.lower().endswith(IMAGE_SUFFIXES):
        raise InputError(f"{name}: an image, not k-space; give the raw data, or simulate them with --simulate")
    suffix = kspace_suffix(path)
    if suffix is None and (converter := CONVERTERS.get(path.suffix.lower())):
        raise InputError(f"{name}: a vendor's raw data, it seems; make an ISMRMRD file of it with {converter}")
    if suffix is None:
        raise InputError(f"{name}: not the name of a k-space file; it must end in {', '.join(sorted(READERS))}")
    if not path.exists():
        raise InputError(f"{name}: no such file; check the name")
    if not path.is_file():
        raise InputError(f"{name}: not a regular file; give a k-space file")
    module, _, function = READERS[suffix].partition(":")
    reader: Callable[[Path], KspaceFile] = getattr(import_module(f"voxprior.io.kspace.{module}"), function)
    return reader
