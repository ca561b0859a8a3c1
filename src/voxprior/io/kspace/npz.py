"""Arrays of numpy: ``.npy``, and ``.npz`` read member by member, slice by slice."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.kspace.arrays import Stored, from_arrays
from voxprior.io.kspace.file import SAMPLE_CAP, KspaceFile, one_line
from voxprior.io.names import shown
from voxprior.io.nifti import DEFLATE_RATIO

MEMBER_CAP = 64
CHUNK_BYTES = 1 << 20
LOCAL_HEADER = struct.Struct("<26x2H")
"""End of the header before a member of a zip file: lengths of its name and of its extra field."""


def open_npy(path: Path) -> KspaceFile:
    """A ``.npy`` file as k-space, mapped into memory; raises :class:`InputError` for all that is none."""
    return from_arrays("npy", path, {"kspace": read_npy(path)})


def read_npy(path: Path) -> Stored:
    """The array of a ``.npy`` file, mapped into memory; raises :class:`InputError`, for pickled objects too."""
    name = shown(path)
    try:
        with path.open("rb") as stream:
            shape, fortran, dtype = _header(stream)
            start = stream.tell()
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{name}: not a .npy file, or cut short ({one_line(error)}); save it by numpy.save") from None
    if dtype.hasobject:
        raise InputError(f"{name}: holds Python objects, which are never loaded; save a plain array of numbers")
    if path.stat().st_size < start + prod(shape) * dtype.itemsize:
        raise InputError(f"{name}: cut short, fewer numbers than its header claims; copy it again")
    return in_memory(_mapped(path, start, shape, fortran, dtype))


def in_memory(array: NDArray[Any]) -> Stored:
    """An array that is there already, or mapped."""
    return Stored(array.shape, array.dtype, lambda i: array[i], lambda: array)


def open_npz(path: Path) -> KspaceFile:
    """A ``.npz`` file as k-space; members that are not compressed are mapped into memory, others streamed.

    Raises :class:`InputError` for a damaged archive, members that claim more than they can hold, and pickled objects.
    """
    arrays, release = read_npz(path)
    try:
        return from_arrays("npz", path, arrays, release)
    except BaseException:
        release()
        raise


def read_npz(path: Path) -> tuple[dict[str, Stored], Callable[[], None]]:
    """The arrays of a ``.npz`` file by name, and what closes it; raises as :func:`open_npz` does."""
    name = shown(path)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise InputError(f"{name}: no .npz file, or cut short ({one_line(error)}); save it by numpy.savez") from None
    try:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if len(archive.infolist()) > MEMBER_CAP:
            raise InputError(f"{name}: holds {len(archive.infolist())} members, at most {MEMBER_CAP} are read")
        arrays = {info.filename.removesuffix(".npy"): _member(path, archive, info) for info in members}
    except BaseException:
        archive.close()
        raise
    return arrays, archive.close


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Stored:
    name = f"{shown(path)}: {info.filename}"
    try:
        with archive.open(info) as stream:
            shape, fortran, dtype = _header(stream)
            start = stream.tell()
    except (ValueError, EOFError, OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{name} cannot be read ({one_line(error)}); save plain arrays by numpy.savez") from None
    if dtype.hasobject:
        raise InputError(f"{name} holds Python objects, which are never loaded; save a plain array of numbers")
    size = prod(shape) * dtype.itemsize
    stored = info.compress_type == zipfile.ZIP_STORED
    packed = info.file_size if stored else info.compress_size * DEFLATE_RATIO + start
    if size + start != info.file_size or info.file_size > packed:
        raise InputError(f"{name} claims {size} bytes that it cannot hold; save the file again")
    if stored:
        return in_memory(_mapped(path, _offset(path, info) + start, shape, fortran, dtype))
    member = _Compressed(archive, info, start, shape, fortran, dtype, name)
    return Stored(shape, dtype, member.row, member.whole)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version} holds no plain numbers")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, fortran, dtype = read(stream)
    except (TokenError, SyntaxError, TypeError, RecursionError) as error:
        raise ValueError(f"its header means nothing: {one_line(error)}") from None
    return tuple(shape), fortran, dtype


def _offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where in the file a member that is not compressed begins."""
    with path.open("rb") as raw:
        raw.seek(info.header_offset)
        name_length, extra_length = LOCAL_HEADER.unpack(raw.read(LOCAL_HEADER.size))
    return info.header_offset + LOCAL_HEADER.size + int(name_length) + int(extra_length)


def _mapped(path: Path, offset: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array that lies ``offset`` bytes into the file."""
    if prod(shape) == 0 or not shape:
        with path.open("rb") as raw:
            raw.seek(offset)
            scalar: NDArray[Any] = np.frombuffer(raw.read(prod(shape) * dtype.itemsize), dtype).reshape(shape)
            return scalar
    try:
        return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
    except (ValueError, OSError) as error:
        raise InputError(f"{shown(path)}: cut short or damaged ({one_line(error)}); copy it again") from None


@dataclass
class _Compressed:
    """A compressed member, unpacked from its start to the row that is asked for; rows in order cost one pass."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    start: int
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    name: str
    stream: IO[bytes] | None = None
    position: int = 0

    def row(self, index: int) -> NDArray[Any]:
        """Index ``index`` of the first axis."""
        if self.fortran:  # the first axis is the quickest there: no row lies in one piece
            row: NDArray[Any] = self.whole()[index]
            return row
        count = prod(self.shape[1:])
        if self.stream is None or index < self.position:
            self._rewind()
        while self.position < index:
            self._take(count)
        return self._take(count).reshape(self.shape[1:])

    def whole(self) -> NDArray[Any]:
        """All rows."""
        self._rewind()
        flat = self._take(prod(self.shape))
        self._rewind()
        return flat.reshape(self.shape, order="F" if self.fortran else "C")

    def _rewind(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.stream, self.position = self.archive.open(self.info), 0  # its header was read already, so it opens
        self.stream.read(self.start)

    def _take(self, count: int) -> NDArray[Any]:
        if count > SAMPLE_CAP:
            raise InputError(f"{self.name}: {count} samples, at most {SAMPLE_CAP} are held; take fewer slices")
        assert self.stream is not None
        taken: NDArray[Any] = np.empty(count, self.dtype)
        raw = taken.view(np.uint8)
        try:
            for start in range(0, raw.size, CHUNK_BYTES):  # a whole row at once would be held three times
                part = raw[start : start + CHUNK_BYTES]
                if self.stream.readinto(part) < part.size:  # type: ignore[attr-defined]
                    raise EOFError("fewer bytes than announced")
        except (EOFError, zlib.error, OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.name} is damaged ({one_line(error)}); copy the file again") from None
        self.position += 1
        return taken
