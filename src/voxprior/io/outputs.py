"""Files out: images, JSON, digests, and the names that belong together."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from voxprior.errors import InputError
from voxprior.io.encoding import encode
from voxprior.io.names import IMAGE_SUFFIXES, any_suffix, image_suffix, result_suffix, shown
from voxprior.io.transaction import Transaction, is_staged, lack_of_space
from voxprior.volume import Volume

__all__ = [
    "IMAGE_SUFFIXES",
    "Transaction",
    "file_digest",
    "sibling",
    "sidecar_path",
    "voxel_digest",
    "write_json",
    "write_pair",
    "write_volume",
]

GZIP_LEVEL = 4


def sibling(out: Path, tag: str, suffix: str | None = None) -> Path:
    """The file beside image ``out`` that carries ``tag``: ``out.nii.gz``, ``std`` gives ``out_std.nii.gz``.

    ``suffix`` replaces the image's own (``preview``, ``.png`` gives ``out_preview.png``). Raises
    :class:`InputError` when ``out`` is not the name of an image.
    """
    stem, own = _split(out)
    return out.with_name(f"{stem}_{tag}{suffix or own}")


def sidecar_path(out: Path) -> Path:
    """The JSON file beside image ``out``: ``out.nii.gz`` gives ``out.json``."""
    return out.with_name(f"{_split(out)[0]}.json")


def _split(out: Path) -> tuple[str, str]:
    length = len(result_suffix(out))
    return out.name[:-length], out.name[-length:]


def write_volume(path: Path, volume: Volume) -> None:
    """Write ``volume`` as float32 under its affine: a path of an open transaction, or atomically a new file.

    The bytes are a function of the volume alone. Raises :class:`InputError` when the file exists or the disk
    is full, ValueError when a voxel is not finite.
    """
    suffix = image_suffix(path)
    if not np.isfinite(volume.data).all():
        raise ValueError(f"{shown(path)}: the volume holds voxels that are not finite; nothing was written")
    _write(path, encode(volume, suffix), volume.data.nbytes, compressed=suffix != ".nii")


def write_pair(path: Path, lower: Volume, upper: Volume) -> None:
    """Write two volumes of one grid as a 4-D image of two frames, under the header of either; to a staged path."""
    suffix = image_suffix(path)
    kind: Any = nibabel.MGHImage if suffix == ".mgz" else nibabel.Nifti1Image  # nibabel carries no annotations
    header = kind.from_bytes(b"".join(encode(lower, suffix.removesuffix(".gz")))).header
    nibabel.save(kind(np.stack([lower.data, upper.data], axis=-1), lower.affine, header), path)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write ``values`` as sorted, indented JSON: a path of an open transaction, or atomically a new file.

    Numpy numbers and arrays become plain ones. Raises ValueError for NaN and infinities, :class:`InputError`
    when the file exists or the disk is full.
    """
    text = json.dumps(values, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False, default=_plain)
    data = (text + "\n").encode(
        "utf-8", "backslashreplace"
    )  # a lone surrogate becomes the JSON escape of itself
    any_suffix(path)
    _write(path, [data], len(data), compressed=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _write(path: Path, pieces: Iterable[bytes], size: int, *, compressed: bool) -> None:
    with nullcontext(path) if is_staged(path) else _alone(path) as staged:
        try:
            with staged.open("wb") as raw:
                if not compressed:
                    raw.writelines(pieces)
                    return
                # no name and no time inside: equal volumes are equal files
                with gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as packed:
                    packed.writelines(pieces)
        except OSError as error:
            raise lack_of_space(error, shown(path.parent), "up to", size) or error from error


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    with Transaction() as out:
        yield out.path(path)


def voxel_digest(volume: Volume) -> str:
    """SHA-256 of shape (int64), affine (float64) and voxels (float32), little-endian, in Fortran order."""
    digest = hashlib.sha256()
    digest.update(np.array(volume.data.shape, dtype="<i8").tobytes())
    digest.update(volume.affine.astype("<f8").tobytes(order="F"))
    for plane in volume.data.T:
        digest.update(plane.astype("<f4", order="C").tobytes())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of the bytes of ``path``; :class:`InputError` when it cannot be read."""
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{shown(path)}: cannot be read ({reason}); check the name and the disk") from None
