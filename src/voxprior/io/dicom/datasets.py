"""DICOM's bytes to data sets, by pydicom; every way to fail is a line that says what to do."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.dicom.files import MAGIC, MAGIC_OFFSET
from voxprior.io.dicom.packed import PACKED, RUN_LENGTH, unpack

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
DEFLATED = "1.2.840.10008.1.2.1.99"
CLASSIC = {"1.2.840.10008.5.1.4.1.1.4": "MR", "1.2.840.10008.5.1.4.1.1.2": "CT"}
ENHANCED = {
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",  # legacy converted
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",  # legacy converted
}
"""SOP classes of images that are read, and their modality."""


def require_pydicom() -> None:
    """Raise :class:`InputError` that names the extra when pydicom is not installed."""
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise InputError("DICOM needs the extra 'dicom'; pip install 'voxprior[dicom]'") from None


def read_tags(stream: IO[bytes], name: str, keywords: Sequence[str]) -> FileDataset:
    """The elements ``keywords`` of a file, and nothing behind the pixels."""
    from pydicom import dcmread

    with told(name):
        _require_not_deflated(stream, name)
        return dcmread(cast(BinaryIO, stream), stop_before_pixels=True, specific_tags=list(keywords))


def read_dataset(content: bytes, name: str) -> FileDataset:
    """The whole of a file up to its pixels, as they are stored; some exports have megabytes of nothing behind them."""
    from pydicom.filereader import read_partial

    seen: list[int] = []

    def behind(tag: int, vr: str | None, length: int) -> bool:
        if seen:
            return True
        if tag in PIXELS:
            seen.append(tag)
        return False

    with told(name):
        _require_not_deflated(BytesIO(content), name)
        return read_partial(BytesIO(content), stop_when=behind)


def read_pixels(dataset: FileDataset, name: str, frame: int | None) -> NDArray[Any]:
    """Stored values of ``frame`` (from 0; None of a single one), (row, column), decompressed."""
    from pydicom.pixels.utils import pixel_array

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    with told(name):
        if syntax in PACKED:
            return unpack(dataset, name, frame)
        try:
            return np.asarray(pixel_array(dataset, index=frame, raw=True))
        except (RuntimeError, NotImplementedError):
            if syntax == RUN_LENGTH:  # known, so it is this frame that is wrong
                raise
            kind = getattr(syntax, "name", "an unknown way")
            raise InputError(f"{name}: pixels packed as {kind} cannot be read; decompress them first") from None


@contextmanager
def told(name: str) -> Iterator[None]:
    """Faults of the file ``name`` as one line; pydicom's own remarks, which may quote a header, are not passed on."""
    log = logging.getLogger("pydicom")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, MemoryError, OSError):
        raise
    except RecursionError:
        raise InputError(f"{name}: sequences nested without end; do not trust it, export it again") from None
    except Exception as error:  # pydicom raises whatever a damaged byte leads to
        raise InputError(
            f"{name}: damaged, or not DICOM as the standard has it ({type(error).__name__}); export it again"
        ) from None
    finally:
        log.setLevel(level)


def _require_not_deflated(stream: IO[bytes], name: str) -> None:
    """A deflated file is unpacked whole before any of its sizes can be seen: it is refused."""
    from pydicom.filereader import read_dataset as parse

    stream.seek(MAGIC_OFFSET + len(MAGIC))
    meta = parse(
        cast(BinaryIO, stream),
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, vr, length: tag.group != 2,
    )
    stream.seek(0)
    if meta.get("TransferSyntaxUID") == DEFLATED:
        raise InputError(f"{name}: deflated as a whole, which is not read; export it as explicit little endian")
