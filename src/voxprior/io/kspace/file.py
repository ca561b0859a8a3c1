"""What every k-space file is to the rest of the house: slices that are read one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.names import shown

Complex = NDArray[np.complex64]
Bool = NDArray[np.bool_]

SAMPLE_CAP = 1 << 29
"""Complex samples that are held at a time at most: 4 GiB, all coils of a slice or of a 3-D volume."""


@dataclass(frozen=True, eq=False)
class KspaceFile:
    """An open file of Cartesian k-space; nothing but its header has been read.

    ``shape``: (y, x), or (z, y, x) for 3-D acquisitions; y is the read-out where the format says which axis is, x the
    first phase encoding. ``affine``: 4 x 4, index (x, y, z or slice) to RAS+ mm at voxel centres, or None.
    ``crop``: the matrix that the scanner would show, where it is smaller than ``shape``. ``noise``: (coil, samples) of
    a noise scan, scaled to what the averaged data hold. ``maps``: (coil, *space) or (slice, coil, *space), with several
    sets (slice or 1, set, coil, *space). ``mask``: (*space), where the file says what was measured. ``warnings``: one
    sentence each. ``fetch`` and ``release`` are the format's own reading and closing.
    """

    kind: str
    path: Path
    slices: int
    coils: int
    shape: tuple[int, ...]
    fetch: Callable[[int], NDArray[Any]]
    affine: NDArray[np.float64] | None = None
    crop: tuple[int, ...] | None = None
    noise: Complex | None = None
    maps: Complex | None = None
    mask: Bool | None = None
    warnings: tuple[str, ...] = ()
    release: Callable[[], None] = lambda: None

    def read(self, index: int) -> Complex:
        """K-space of slice ``index``, (coil, *space) complex64, centred; exact zeros were not measured.

        Raises :class:`InputError` for a slice that the file does not have, that is not finite, that is zero
        everywhere, or that is zero on lines which the file's own mask calls measured.
        """
        where = f"{shown(self.path)}: slice {index}"
        if not 0 <= index < self.slices:
            raise InputError(f"{where} is not in the file; its slices are 0 to {self.slices - 1}")
        try:
            data = np.require(self.fetch(index), np.complex64, ["C", "W"])  # not a mapping: the file may be closed
        except MemoryError:
            raise InputError(f"{where} does not fit into memory; crop the read-out, or compress the coils") from None
        except (OSError, RuntimeError, EOFError, KeyError) as error:
            raise InputError(f"{where} is damaged ({one_line(error)}); copy or export the file again") from None
        if data.shape != (self.coils, *self.shape):
            raise InputError(f"{where} has shape {data.shape}, not {(self.coils, *self.shape)}; export the file again")
        magnitude = np.zeros(self.shape, np.float32)
        for coil in data:
            np.maximum(magnitude, np.abs(coil), out=magnitude)  # a NaN or an infinity of any coil stays one
        bad = magnitude.size - int(np.count_nonzero(np.isfinite(magnitude)))
        if bad:
            raise InputError(f"{where}: NaN or infinite at {bad} positions of k-space; set them to 0 (not measured)")
        if not magnitude.any():
            raise InputError(f"{where}: every sample is zero, nothing was measured; leave the slice out")
        if self.mask is not None:
            require_measured(magnitude > 0, self.mask, where)
        return data

    def close(self) -> None:
        """Close the file; may be repeated."""
        self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def require_measured(measured: Bool, mask: Bool, where: str) -> None:
    """:class:`InputError` when ``mask`` keeps samples of a line along an axis of which none was ``measured``."""
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        empty = np.flatnonzero(mask.any(axis=others) & ~measured.any(axis=others))
        if empty.size:
            raise InputError(
                f"{where}: all samples are zero on {empty.size} lines that the mask calls measured (the first: "
                f"{empty[0]} of axis {axis - mask.ndim}); give the mask that was used, or none"
            )


def one_line(error: BaseException) -> str:
    """What a library said, short enough for a message of one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__
