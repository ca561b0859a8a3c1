"""Folders that hold many DICOM series: which there are, and which folders cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.dicom.files import entries, is_dicom
from voxprior.io.dicom.series import SeriesInfo, list_series


@dataclass(frozen=True)
class Found:
    """A series, or a folder that cannot be read: ``name`` for an output of its own, ``place`` to read it from.

    ``name`` is made of folder and number: it may say who the patient is where the folder does.
    """

    name: str
    place: Path
    number: int | None = None
    uid: str | None = None
    error: str | None = None


def holds_several(source: Path) -> bool:
    """Whether ``source`` is a folder with several DICOM series, in it or in the folders within."""
    if not source.is_dir() or not is_dicom(source):
        return False
    if len(_folders(source)) > 1:
        return True
    try:
        return len(list_series(source)) > 1
    except InputError:  # told when it is read
        return False


def find_series(source: Path) -> list[Found]:
    """Every series in the folder ``source``: of the slices in it, or of each folder within that holds some.

    A folder that cannot be read is found too, with its error.
    """
    folders = _folders(source)
    places = [(folder, f"{folder.name}_") for folder in folders] if len(folders) > 1 else [(source, "")]
    return [found for place, prefix in places for found in _of(place, prefix)]


def _folders(source: Path) -> list[Path]:
    """The folders in ``source`` that hold DICOM; none where slices lie in ``source`` itself."""
    with entries(source) as found:
        if any((source / entry.name).is_file() and entry.is_dicom() for entry in found):
            return []
    return [p for p in sorted(source.iterdir()) if p.is_dir() and not p.name.startswith(".") and is_dicom(p)]


def _of(place: Path, prefix: str) -> Iterator[Found]:
    alone = prefix.removesuffix("_")
    try:
        series = list_series(place)
    except InputError as error:
        yield Found(alone or "series", place, error=str(error))
        return
    numbers = Counter(one.number for one in series)
    for one in series:
        own = _numbered(one, numbers)
        yield Found(alone if alone and len(series) == 1 else prefix + own, place, one.number, one.uid)


def _numbered(series: SeriesInfo, numbers: Counter[int | None]) -> str:
    """``series-0003``; with the end of its UID where the number is not its own."""
    number = "none" if series.number is None else f"{series.number:04d}"
    same = numbers[series.number] > 1 or series.number is None
    return f"series-{number}-{series.uid.rpartition('.')[2][-12:]}" if same else f"series-{number}"
