"""Pixels packed as JPEG, JPEG-LS or JPEG 2000 become stored values; the codecs are those of imagecodecs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

JPEG = {
    "1.2.840.10008.1.2.4.50": "JPEG baseline",
    "1.2.840.10008.1.2.4.51": "JPEG extended",
    "1.2.840.10008.1.2.4.57": "JPEG lossless",
    "1.2.840.10008.1.2.4.70": "JPEG lossless (first-order prediction)",
}
JPEG_LS = {"1.2.840.10008.1.2.4.80": "JPEG-LS lossless", "1.2.840.10008.1.2.4.81": "JPEG-LS near-lossless"}
JPEG_2000 = {
    "1.2.840.10008.1.2.4.90": "JPEG 2000 lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "high-throughput JPEG 2000 lossless",
    "1.2.840.10008.1.2.4.202": "high-throughput JPEG 2000 lossless",
    "1.2.840.10008.1.2.4.203": "high-throughput JPEG 2000",
}
PACKED = {**JPEG, **JPEG_LS, **JPEG_2000}
"""Transfer syntaxes that are unpacked here, and what they are called."""
RUN_LENGTH = "1.2.840.10008.1.2.5"
"""What pydicom unpacks by itself."""
LOSSY = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 203)}

_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xF7}
"""Markers of JPEG's and JPEG-LS's frame header, of the processes that DICOM has."""
_HEADED = b"\xff\x4f\xff\x51"
"""A JPEG 2000 codestream begins so."""


@dataclass(frozen=True)
class _Header:
    """What a codestream says of itself."""

    size: tuple[int, int]
    bits: int
    components: int


def has_codecs() -> bool:
    """Whether what unpacks :data:`PACKED` is installed."""
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


def is_lossy(dataset: Dataset, syntax: str | None) -> bool:
    """Whether the image was ever compressed with loss: its header says so, or is silent and its packing has loss."""
    stated = dataset.get("LossyImageCompression")
    return stated == "01" or (stated != "00" and syntax in LOSSY)


def unpack(dataset: FileDataset, name: str, frame: int | None) -> NDArray[np.int64]:
    """Stored values of ``frame`` (from 0; None of a single one), (row, column), of a grey image.

    Raises :class:`InputError` when no codec is installed, or the frame is cut short or of another size than its image.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    decode = _decoder(syntax, name)
    codestream = _codestream(dataset, frame)
    header = _header(codestream, syntax)
    size = int(dataset.Rows), int(dataset.Columns)
    if header is None or not codestream.endswith(_END):
        # some decoders fill what is missing with grey, and one never comes back
        raise InputError(f"{name}: its {PACKED[syntax]} pixels are cut short or damaged; export it again")
    if header.size != size or header.components != 1:
        raise InputError(
            f"{name}: {PACKED[syntax]} pixels of {header.size} x {header.components} where the header says {size} x 1; "
            "export it again"
        )
    values: NDArray[np.int64] = decode(codestream).astype(np.int64)
    # what is stored are the lowest bits, whatever lies above them; a decoder does not know of two's complement
    bits = min(header.bits, int(dataset.BitsStored))
    values &= (1 << bits) - 1
    if int(dataset.get("PixelRepresentation", 0)) == 1:
        half = 1 << (bits - 1)
        values = (values ^ half) - half
    return values


def _decoder(syntax: str, name: str) -> Callable[[bytes], NDArray[Any]]:
    if not has_codecs():
        raise InputError(f"{name}: {PACKED[syntax]} pixels need the extra 'dicom'; pip install 'voxprior[dicom]'")
    import imagecodecs

    if syntax in JPEG:
        return imagecodecs.jpeg8_decode
    return imagecodecs.jpegls_decode if syntax in JPEG_LS else imagecodecs.jpeg2k_decode


def _codestream(dataset: FileDataset, frame: int | None) -> bytes:
    """The bytes of one frame, however many fragments hold it, without what fills them up."""
    from pydicom.encaps import get_frame

    table = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    count = int(dataset.get("NumberOfFrames") or 1)
    found = get_frame(
        dataset.PixelData, frame or 0, number_of_frames=count, extended_offsets=table if all(table) else None
    )
    return bytes(found).rstrip(b"\0\xff")


def _header(stream: bytes, syntax: str) -> _Header | None:
    """The frame header, read before a decoder believes it; None where there is none."""
    if syntax in JPEG_2000:
        if not stream.startswith(_HEADED) or len(stream) < 43:
            return None
        right, below, left, above = (int.from_bytes(stream[at : at + 4]) for at in (8, 12, 16, 20))
        return _Header((below - above, right - left), (stream[42] & 0x7F) + 1, int.from_bytes(stream[40:42]))
    at = 2 if stream.startswith(_START) else len(stream)
    while at + 10 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker in _FRAMES:
            rows, columns = (int.from_bytes(stream[k : k + 2]) for k in (at + 5, at + 7))
            return _Header((rows, columns), stream[at + 4], stream[at + 9])
        # a fill byte, or a segment with its length
        at += 1 if marker == 0xFF else 2 + int.from_bytes(stream[at + 2 : at + 4])
    return None
