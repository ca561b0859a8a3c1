"""A DICOM series, in a folder, an archive or a file, becomes a volume in patient space."""

from __future__ import annotations

from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.dicom.datasets import CLASSIC, read_tags, require_pydicom
from voxprior.io.dicom.files import entries, reading
from voxprior.io.dicom.loading import Source, load_series
from voxprior.io.dicom.series import choose, list_series, series_in
from voxprior.io.names import shown
from voxprior.io.nifti import DEFAULT_CAP, require_content
from voxprior.volume import Volume

__all__ = ["Source", "read_dicom", "read_dicom_frames", "read_matching", "read_written"]


def read_dicom(path: Path, series: str | None = None, frame: int | None = None, voxel_cap: int = DEFAULT_CAP) -> Volume:
    """The series in ``path`` (a folder, zip archive or file) as float32 in its own units, rescaled slice by slice.

    ``series``: UID or number where there are several; ``frame`` (from 0) where several images share each place.
    Axes: columns, rows, slices along their normal. ``header`` has ``thickness`` (mm, or None), ``dicom`` (a
    :class:`Source`) and ``warnings``. Raises :class:`InputError` for what is no even stack of parallel slices, has
    slices missing, is damaged, or larger than ``voxel_cap`` voxels.
    """
    return read_dicom_frames(path, series, None if frame is None else str(frame), voxel_cap)[0]


def read_dicom_frames(
    path: Path, series: str | None = None, frames: str | None = None, voxel_cap: int = DEFAULT_CAP
) -> list[Volume]:
    """The frames that ``frames`` names (``"0"``, ``"0,3"``, ``"0-4"``, ``"all"``) of :func:`read_dicom`."""
    require_pydicom()
    path = Path(path)
    name = shown(path)
    place, own = _whole(path)
    with entries(place) as members:
        found = choose(series_in(members, name), series or own, name)
        return require_content(load_series(found, frames, voxel_cap, name))


def read_written(folder: Path) -> Volume:
    """The series that this package wrote into ``folder``, whatever its voxels hold; a single slice is one, too."""
    require_pydicom()
    name = shown(folder)
    with entries(folder) as members:
        return load_series(choose(series_in(members, name), None, name), None, DEFAULT_CAP, name, least=1)[0]


def read_matching(path: Path, digest: str, frame: int | None) -> Volume:
    """The series in ``path`` whose files have ``digest``; without one the last that can be read."""
    place, _ = _whole(path)
    found, reason = None, InputError(f"{shown(path)}: no series here can be read")
    for info in list_series(place):
        try:
            found = read_dicom(place, info.uid, frame)
        except InputError as error:
            reason = error
            continue
        if found.header["dicom"].digest == digest:
            break
    if found is None:
        raise reason
    return found


def _whole(path: Path) -> tuple[Path, str | None]:
    """Where the series of ``path`` is: of a file with one slice, the others lie beside it. And its UID, if known."""
    if not path.exists():
        raise InputError(f"{shown(path)}: no such file or folder; check the name")
    if path.is_dir() or path.name.lower().endswith(".zip"):
        return path, None
    with entries(path) as (entry, *_), reading(entry.name):
        if not entry.is_dicom():
            raise InputError(f"{shown(path)}: not a DICOM file, its mark is missing; give an image of a series")
        with entry.open() as stream:
            head = read_tags(stream, entry.name, ("SOPClassUID", "SeriesInstanceUID"))
    return (path.parent, str(head.get("SeriesInstanceUID"))) if head.get("SOPClassUID") in CLASSIC else (path, None)
