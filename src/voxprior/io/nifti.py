"""Images in: NIfTI-1, NIfTI-2 and MGH, every claim of the header checked before a voxel is read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.headers import HEADER_BYTES, Claim, parse_header, thin
from voxprior.io.names import image_suffix, shown
from voxprior.volume import Volume

DEFAULT_CAP = 1 << 29
"""Voxels that are read at most (all frames asked for): 812^3, 2 GiB as float32."""
DEFLATE_RATIO = 1032
"""No gzip stream expands by more."""
TRAILING_BYTES = 1 << 24
"""Bytes accepted after the last voxel (MGH footers, padding)."""
CHUNK_VOXELS = 1 << 22
GZIP_MAGIC = b"\x1f\x8b"

Frames = dict[int, NDArray[np.float32]]


def read_volume(path: Path, frame: int | None = None, voxel_cap: int = DEFAULT_CAP) -> Volume:
    """The image in ``path`` as float32 in its own units, scaled; ``frame`` (from 0) of one with several.

    Raises :class:`InputError` for a file that is damaged, too large (over ``voxel_cap`` voxels), no 3-D
    scalar image, of one value everywhere, or has voxels that are not finite or several frames and no
    ``frame``.
    """
    volumes = load_frames(path, None if frame is None else str(frame), voxel_cap)
    return require_content(volumes)[0]


def read_frames(path: Path, frames: str | None, voxel_cap: int = DEFAULT_CAP) -> list[Volume]:
    """The frames of ``path`` that ``frames`` names: ``"2"``, ``"0,3"``, ``"0-4"``, ``"all"``, from 0.

    None stands for the only frame. Raises :class:`InputError` as :func:`read_volume` does.
    """
    return require_content(load_frames(path, frames, voxel_cap))


def load_frames(path: Path, frames: str | None, voxel_cap: int = DEFAULT_CAP, least: int = 2) -> list[Volume]:
    """As :func:`read_frames`, whatever the voxels hold: for checks of files that may have been altered.

    ``least``: voxels along each axis, of what is a volume.
    """
    path = Path(path)
    name = shown(path)
    with _opened(path) as (stream, suffix):
        block = stream.read(HEADER_BYTES)
        claim = parse_header(block, suffix, name)
        if min(claim.shape) < least:
            raise thin(claim.shape, name)
        chosen = frame_numbers(frames, claim.frames, name)
        _require_plausible(claim, len(set(chosen)), path.stat().st_size, suffix, voxel_cap, name)
        stream.seek(claim.offset)
        arrays = _read_arrays(stream, claim, set(chosen), name)
    volumes = []
    for t in chosen:
        header = {**claim.header, "frame": None if claim.frames == 1 else t, "frames": claim.frames}
        volumes.append(Volume(arrays[t], claim.affine, header, path.name))
    return volumes


def read_claim(path: Path, voxel_cap: int = DEFAULT_CAP) -> Claim:
    """What the header of ``path`` claims of its first frame, held against the size of the file; no voxel is read.

    Raises :class:`InputError` as :func:`read_volume` does, for what shows without the voxels.
    """
    path = Path(path)
    with _opened(path) as (stream, suffix):
        claim = parse_header(stream.read(HEADER_BYTES), suffix, shown(path))
    _require_plausible(claim, 1, path.stat().st_size, suffix, voxel_cap, shown(path))
    return claim


def frame_numbers(frames: str | None, count: int, name: str) -> list[int]:
    """Frame numbers that the text ``frames`` names; :class:`InputError` for one not below ``count``."""
    if frames is None:
        if count > 1:
            raise InputError(
                f"{name}: holds {count} frames; choose with --frames, such as 0, 0,3, 0-4 or all"
            )
        return [0]
    if frames.strip().lower() == "all":
        return list(range(count))
    numbers: list[int] = []
    for part in frames.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise InputError(
                f"--frames {frames}: not understood; give numbers from 0, such as 2, 0,3, 0-4 or all"
            )
        low, high = int(first), int(last or first)
        if low > high or high >= count:
            raise InputError(f"{name}: has no frame {part.strip()}; --frames must lie within 0-{count - 1}")
        numbers += range(low, high + 1)
    return list(dict.fromkeys(numbers))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """The uncompressed bytes of ``path``, and its suffix; every way to fail is an InputError."""
    name = shown(path)
    try:
        if path.is_dir():
            raise InputError(f"{name}: a folder; name the image file in it")
        suffix = image_suffix(path)
        if not path.exists():
            raise InputError(f"{name}: no such file; check the name")
        if not path.is_file():
            raise InputError(f"{name}: not a regular file; give an image file")
        with path.open("rb") as raw:
            _require_magic(raw, suffix, name)
            if suffix == ".nii":
                yield raw, suffix
                return
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                yield cast(BinaryIO, stream), suffix
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(
            f"{name}: the compressed data are cut short or damaged; copy or export it again"
        ) from None
    except OSError as error:
        raise InputError(
            f"{name}: cannot be read ({error.strerror or error}); check the file and the disk"
        ) from None


def _require_magic(raw: BinaryIO, suffix: str, name: str) -> None:
    magic = raw.read(2)
    raw.seek(0)
    if not magic:
        raise InputError(f"{name}: the file is empty; copy or export it again")
    compressed = magic == GZIP_MAGIC
    if compressed and suffix == ".nii":
        raise InputError(f"{name}: compressed by gzip; rename it to end in .nii.gz")
    if not compressed and suffix != ".nii":
        raise InputError(f"{name}: not compressed by gzip as its name says; give a real {suffix} file")


def _require_plausible(claim: Claim, frames: int, size: int, suffix: str, voxel_cap: int, name: str) -> None:
    """Refuse what the header claims before memory is taken or anything is decompressed."""
    text = " x ".join(map(str, claim.shape))
    if claim.voxels * frames > voxel_cap:
        raise InputError(
            f"{name}: the header claims {text} voxels in {frames} frame(s); at most {voxel_cap} are read, "
            "crop the image"
        )
    if suffix == ".nii" and claim.file_bytes > size:
        raise InputError(
            f"{name}: cut short, {size} bytes where the header claims {claim.file_bytes}; "
            "copy or export it again"
        )
    if claim.file_bytes > size * DEFLATE_RATIO + HEADER_BYTES:
        raise InputError(
            f"{name}: {size} compressed bytes cannot hold the {claim.file_bytes} that the header claims; "
            "copy or export it again"
        )


def _read_arrays(stream: BinaryIO, claim: Claim, wanted: set[int], name: str) -> Frames:
    """The wanted frames, Fortran-ordered; then the stream to its end, so that its checksum is tested."""
    arrays: Frames = {}
    for t in range(max(wanted) + 1):
        if t in wanted:
            arrays[t] = _read_array(stream, claim, name)
        else:
            _skip(stream, claim.frame_bytes, name)
    _skip(stream, (claim.frames - max(wanted) - 1) * claim.frame_bytes, name)
    left = TRAILING_BYTES
    while left >= 0 and (chunk := stream.read(1 << 20)):
        left -= len(chunk)
    if left < 0:
        raise InputError(f"{name}: holds far more data than its header claims; export the file again")
    return arrays


def _read_array(stream: BinaryIO, claim: Claim, name: str) -> NDArray[np.float32]:
    try:
        flat = np.empty(claim.voxels, dtype=np.float32)
    except MemoryError:
        raise InputError(f"{name}: {claim.voxels} voxels do not fit into memory; crop the image") from None
    for start in range(0, claim.voxels, CHUNK_VOXELS):
        count = min(CHUNK_VOXELS, claim.voxels - start)
        raw = stream.read(count * claim.dtype.itemsize)
        if len(raw) < count * claim.dtype.itemsize:
            raise _cut_short(name)
        stored = np.frombuffer(raw, dtype=claim.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is counted as infinite afterwards
            if (claim.slope, claim.intercept) != (1.0, 0.0):
                stored = stored.astype(np.float64) * claim.slope + claim.intercept
            flat[start : start + count] = stored
    return flat.reshape(claim.shape, order="F")


def _skip(stream: BinaryIO, count: int, name: str) -> None:
    while count > 0:
        chunk = stream.read(min(count, 1 << 20))
        if not chunk:
            raise _cut_short(name)
        count -= len(chunk)


def _cut_short(name: str) -> InputError:
    return InputError(f"{name}: cut short, fewer voxels than the header claims; copy or export it again")


def require_content(volumes: Sequence[Volume]) -> list[Volume]:
    """``volumes`` as they are; :class:`InputError` for voxels that are not finite, or all of one value."""
    for volume in volumes:
        frame = volume.header["frame"]
        name = shown(Path(volume.source or "image")) + ("" if frame is None else f" frame {frame}")
        bad = volume.data.size - int(np.count_nonzero(np.isfinite(volume.data)))
        if bad:
            raise InputError(f"{name}: {bad} voxels are NaN or infinite; set them to a number such as 0")
        low, high = float(volume.data.min()), float(volume.data.max())
        if low == high:
            value = "zero" if low == 0 else f"{low:g}"
            raise InputError(f"{name}: every voxel is {value}, nothing to restore; give another image")
    return list(volumes)
