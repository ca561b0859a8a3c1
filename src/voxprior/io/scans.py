"""Scans of either kind, NIfTI or DICOM: read by what is there, and known again when a result is verified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voxprior.errors import InputError
from voxprior.io.dicom import is_dicom, read_dicom_frames
from voxprior.io.dicom.reading import read_matching, read_written
from voxprior.io.encoding import as_stored
from voxprior.io.names import image_suffix, shown
from voxprior.io.nifti import load_frames, read_frames
from voxprior.io.outputs import file_digest
from voxprior.io.verification import relative_path
from voxprior.volume import Volume

ANONYMOUS = "DICOM series"
"""What sidecars and reports call a DICOM input: its files and folders may be named after the patient."""


def read_scans(source: Path, frames: str | None = None, series: str | None = None) -> list[Volume]:
    """The volumes of ``source``, an image file or a DICOM folder, zip or file; ``frames`` of several, one ``series``.

    Raises :class:`InputError` as the readers do, and for a ``series`` of what is no DICOM.
    """
    if is_dicom(source):
        return read_dicom_frames(source, series, frames)
    if series is not None:
        raise InputError(f"{shown(source)}: not DICOM, so it has no --series; leave it out")
    return read_frames(source, frames)


def read_scan(source: Path, series: str | None = None) -> Volume:
    """The only volume of ``source``, as :func:`read_scans`."""
    return read_scans(source, None, series)[0]


def input_names(inputs: Sequence[Path]) -> list[str]:
    """How a sidecar names ``inputs``: without folders, and DICOM not at all."""
    return [ANONYMOUS if is_dicom(path) else path.name for path in inputs]


def origin(measurement: Volume, source: Path, target: Path) -> dict[str, Any]:
    """What a certificate says of the input: where it is (of DICOM: nothing), its frame, and its SHA-256."""
    dicom = measurement.header.get("dicom") if is_dicom(source) else None
    return {
        "input": relative_path(source, target) if dicom is None else None,
        "input_frame": measurement.header.get("frame"),
        "input_sha256": file_digest(source) if dicom is None else dicom.digest,
    }


def stored(output: Volume, target: Path) -> Volume:
    """``output`` as a reader of ``target`` will see it; one that was read back from DICOM is that already."""
    return output if output.header.get("format") == "dicom" else as_stored(output, image_suffix(target))


def load_result(output: Path, least: int = 2) -> Volume:
    """The image of an output, a file or a DICOM folder, whatever its voxels hold."""
    return read_written(output) if output.is_dir() else load_frames(output, None, least=least)[0]


def load_input(source: Path, frame: int | None, digest: str) -> tuple[Volume, str]:
    """The input of an output again, and its SHA-256; of several DICOM series the one that has ``digest``."""
    if is_dicom(source):
        volume = read_matching(source, digest, frame)
        return volume, str(volume.header["dicom"].digest)
    return load_frames(source, None if frame is None else str(frame))[0], file_digest(source)
