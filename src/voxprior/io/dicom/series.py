"""Which series lie in a folder or an archive, and the choice of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.dicom.datasets import CLASSIC, ENHANCED, read_tags, require_pydicom
from voxprior.io.dicom.files import Entry, entries, reading
from voxprior.io.names import shown

TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"),
    *("NumberOfFrames", "Rows", "Columns"),
)
LISTED = 20


@dataclass(frozen=True)
class SeriesInfo:
    """One series of MR or CT images: number and UID, description, and how many images and voxels it has.

    ``members``: the files that hold them. Descriptions may say anything: show them to who asked, store them nowhere.
    """

    number: int | None
    uid: str
    modality: str
    description: str
    images: int
    voxels: int
    members: tuple[Entry, ...]

    def __str__(self) -> str:
        number = "without number" if self.number is None else f"number {self.number}"
        named = f" '{self.description}'" if self.description else ""
        return f"{number}: {self.modality}, {self.images} images{named}"


def list_series(path: Path) -> list[SeriesInfo]:
    """The MR and CT series in ``path`` (folder, zip archive or file), by number.

    Raises :class:`InputError` for what cannot be read, or when there is no such series.
    """
    require_pydicom()
    with entries(Path(path)) as members:
        return series_in(members, shown(Path(path)))


def series_in(members: Sequence[Entry], name: str) -> list[SeriesInfo]:
    """The same of open files; an object that lies there twice counts once."""
    found: dict[str, dict[str, Entry]] = {}
    heads: dict[str, tuple[int | None, str, str]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    others = 0
    for entry in members:
        if not entry.is_dicom():
            continue
        with reading(entry.name), entry.open() as stream:
            head = read_tags(stream, entry.name, TAGS)
        modality = {**CLASSIC, **ENHANCED}.get(str(head.get("SOPClassUID", "")))
        uid = str(head.get("SeriesInstanceUID", ""))
        if modality is None or not uid:
            others += 1
            continue
        instance = str(head.get("SOPInstanceUID", entry.name))
        if instance in found.setdefault(uid, {}):
            continue
        found[uid][instance] = entry
        heads.setdefault(uid, (_integer(head.get("SeriesNumber")), modality, _line(head.get("SeriesDescription"))))
        frames, (images, voxels) = max(1, _integer(head.get("NumberOfFrames")) or 1), sizes.get(uid, (0, 0))
        size = frames * max(0, _integer(head.get("Rows")) or 0) * max(0, _integer(head.get("Columns")) or 0)
        sizes[uid] = images + frames, voxels + size
    if not found:
        seen = f" among {others} other DICOM objects" if others else ""
        raise InputError(f"{name}: no MR or CT image here{seen}; give the folder, zip or file of a series")
    series = [
        SeriesInfo(heads[uid][0], uid, heads[uid][1], heads[uid][2], *sizes[uid], tuple(held.values()))
        for uid, held in found.items()
    ]
    return sorted(series, key=lambda s: (s.number is None, s.number or 0, s.uid))


def choose(series: Sequence[SeriesInfo], wanted: str | None, name: str) -> SeriesInfo:
    """The series that ``wanted`` names by UID or number, or the only one; :class:`InputError` that lists them."""
    if wanted is None and len(series) == 1:
        return series[0]
    fits = [s for s in series if wanted is not None and wanted.strip() in (s.uid, str(s.number))]
    if len(fits) == 1:
        return fits[0]
    listed = "; ".join(str(s) for s in series[:LISTED]) + ("; ..." if len(series) > LISTED else "")
    if wanted is None:
        raise InputError(f"{name}: holds {len(series)} series, choose with --series NUMBER (or its UID): {listed}")
    if fits:
        uids = ", ".join(s.uid for s in fits)
        raise InputError(f"{name}: {len(fits)} series have number {wanted.strip()}; give --series with a UID: {uids}")
    raise InputError(f"{name}: has no series {shown(Path(wanted))}; --series may be: {listed}")


def _integer(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _line(value: object) -> str:
    """A description as one printable line."""
    return "".join(c if c.isprintable() else " " for c in str(value or ""))[:64].strip()
