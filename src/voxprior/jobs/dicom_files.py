"""A restored volume and its maps become derived DICOM series in a folder, with the sidecar, or nothing does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from voxprior.io.dicom import SIDECAR, Derivation, dicom_folder, new_study, write_dicom
from voxprior.io.dicom.reading import read_written
from voxprior.io.outputs import Transaction, file_digest
from voxprior.jobs.files import Written
from voxprior.jobs.request import Request
from voxprior.jobs.sidecar import settings
from voxprior.jobs.volumes import Imaged
from voxprior.report.html import page
from voxprior.volume import Volume

PREVIEW = "preview.png"
FIRST_SAMPLE = 10
"""Number of the series of sample 1; the other maps come before."""

__all__ = [
    "PREVIEW",
    "SIDECAR",
    "files_digest",
    "in_new_study",
    "publish_series",
    "simulated_series",
    "write_images",
    "write_series",
]


def publish_series(request: Request, restore: Callable[[Path], Written]) -> list[Written]:
    """Let ``restore`` write the folder ``request.target``, and the report, all or nothing."""
    with Transaction(request.force, request.sources) as out:
        with dicom_folder(request.target, request.force, request.sources) as folder:
            written = restore(folder)
        if request.report is not None:
            out.path(request.report).write_text(page([written.entry]), encoding="utf-8")
    return [written]


def write_series(
    request: Request,
    folder: Path,
    found: Imaged,
    source: Volume,
    description: str,
    notes: Mapping[str, Any],
    thickness: float | None = None,
    others: Sequence[Volume] = (),
) -> tuple[Volume, list[str]]:
    """Write the image of ``found`` into ``folder`` and each map into a folder in it, as series derived from ``source``.

    ``thickness``: of its slices, mm; their distance by default. ``others``: what else it was made from, of which series
    are referred to. Gives the image as it is now stored, read back, and the names of what was written.
    """
    further = tuple(volume.header["dicom"] for volume in others if "dicom" in volume.header)
    told = {**settings(request.options), **notes}
    derivation = Derivation(description, told, thickness=thickness, others=further)
    return write_images(request, folder, found.image, _maps(found), source, derivation)


def write_images(
    request: Request,
    folder: Path,
    image: Volume,
    maps: Iterable[tuple[str, Volume]],
    source: Volume,
    derivation: Derivation,
) -> tuple[Volume, list[str]]:
    """Write ``image`` into ``folder`` and each of ``maps``, by label, into a folder in it, as :func:`write_series`."""
    names = [path.name for path in write_dicom(folder, image, source, derivation, request.dicom.uids)]
    for number, (label, volume) in enumerate(maps, 1):
        (folder / label).mkdir()
        map_number = FIRST_SAMPLE + int(label[-2:]) - 1 if label.startswith("sample") else number
        labelled = replace(derivation, label=label, number=map_number)
        write_dicom(folder / label, volume, source, labelled, request.dicom.uids)
        names.append(label)
    return read_written(folder), names


def files_digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the files ``paths``: what a study follows from that is not of a series."""
    return hashlib.sha256("\n".join(file_digest(path) for path in paths).encode()).hexdigest()


def in_new_study(request: Request, volume: Volume, modality: str, digest: str, **known: Any) -> Volume:
    """``volume`` as the source of derived series where no series was given: in a study of its own, without a patient.

    ``digest``: of what it was made from. ``known``: elements of the images by keyword.
    """
    return replace(volume, header={"dicom": new_study(modality, digest, request.dicom.uids, **known)})


def simulated_series(folder: Path, volume: Volume, description: str, thickness: float | None = None) -> Volume:
    """``volume``, simulated from a DICOM series, as a series of its own in the new ``folder``, and as it is stored."""
    folder.mkdir()
    derivation = Derivation(description, label="simulated", number=9, thickness=thickness)
    write_dicom(folder, volume, volume, derivation)
    return read_written(folder)


def _maps(found: Imaged) -> Sequence[tuple[str, Volume]]:
    bounds = (None, None) if found.interval is None else found.interval
    maps = [("invented", found.invented), ("std", found.std), ("lower", bounds[0]), ("upper", bounds[1])]
    maps += [(f"sample-{k + 1:02d}", sample) for k, sample in enumerate(found.samples)]
    return [(label, volume) for label, volume in maps if volume is not None]
