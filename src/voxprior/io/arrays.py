"""A ``.npz`` file that is written array by array and row by row, so that none must fit into memory."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

EPOCH = (1980, 1, 1, 0, 0, 0)
"""No time is stored: equal arrays are equal files."""


class Rows:
    """The rows of one array on their way into the file, in C order, little-endian."""

    def __init__(self, stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._stream, self._dtype, self._left = stream, dtype, prod(shape) * dtype.itemsize
        self._digest = _started(shape)

    def write(self, row: NDArray[Any]) -> None:
        """Append ``row``: one index of the first axis, or several."""
        data = np.ascontiguousarray(row, self._dtype).tobytes()
        self._left -= len(data)
        self._stream.write(data)
        self._digest.update(data)

    def done(self) -> str:
        """The digest, see :func:`array_digest`; ValueError when rows are missing or too many."""
        if self._left:
            raise ValueError(f"{self._left} bytes of an array were announced and not written")
        text: str = self._digest.hexdigest()
        return text


class ArraysWriter:
    """``with ArraysWriter(path) as out: out.write("image", image)``; ``digests`` holds one of each array."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)  # as they are: readers can map them into memory
        self.digests: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._archive.close()
        elif self._archive.fp is not None:  # the file is thrown away: no directory is written to a full disk
            self._archive.fp.close()
            self._archive.fp = None

    def write(self, name: str, array: NDArray[Any]) -> None:
        """Add ``array``."""
        with self.rows(name, array.shape, array.dtype) as rows:
            rows.write(array)

    @contextmanager
    def rows(self, name: str, shape: tuple[int, ...], dtype: Any) -> Iterator[Rows]:
        """Add an array of ``shape`` and ``dtype`` of which the rows come one after the other, no other between them."""
        little = np.dtype(dtype).newbyteorder("<")
        info = zipfile.ZipInfo(f"{name}.npy", EPOCH)
        with self._archive.open(info, "w", force_zip64=True) as stream:
            header = {"descr": npy.dtype_to_descr(little), "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(stream, header)
            rows = Rows(stream, shape, little)
            yield rows
        self.digests[name] = rows.done()


def array_digest(
    shape: tuple[int, ...], rows: Iterable[NDArray[Any]], affine: NDArray[np.float64] | None = None
) -> str:
    """SHA-256 of shape (int64), ``affine`` (float64) if given, and values as stored: little-endian, in C order.

    ``rows``: of the first axis, or the whole.
    """
    digest = _started(shape)
    if affine is not None:
        digest.update(affine.astype("<f8").tobytes())
    for row in rows:
        digest.update(np.ascontiguousarray(row, row.dtype.newbyteorder("<")).tobytes())
    text: str = digest.hexdigest()
    return text


def _started(shape: tuple[int, ...]) -> Any:
    digest = hashlib.sha256()
    digest.update(np.array(shape, dtype="<i8").tobytes())
    return digest
