"""What a door asks of ``sr`` with several scans of one patient, read and checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.dicom import is_dicom
from voxprior.io.names import shown
from voxprior.io.outputs import sibling, sidecar_path
from voxprior.io.scans import ANONYMOUS, read_scan
from voxprior.jobs.options import SrOptions, require_method
from voxprior.jobs.registration import require_library
from voxprior.jobs.request import Request, require_outputs, require_report_name, require_source, require_target
from voxprior.jobs.sense import require_scan
from voxprior.jobs.slices import understand
from voxprior.volume import Volume

ATMOST = 16
"""Scans that one volume is made from."""


@dataclass(frozen=True)
class SeveralRequest(Request):
    """One restoration of several scans: ``source``, which gives the grid, and the ``others``.

    ``register``: align the others to the first, instead of trusting the headers.
    """

    options: SrOptions
    others: tuple[Path, ...] = ()
    register: bool = False

    @property
    def sources(self) -> tuple[Path, ...]:
        """Every scan, the one that gives the grid first."""
        return (self.source, *self.others)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that makes sense, and its scans, read."""

    request: SeveralRequest
    volumes: tuple[tuple[Volume, Path], ...]


def prepare(request: SeveralRequest) -> Prepared:
    """Read and check everything about ``request``; raises :class:`InputError` for what the user can mend."""
    options = request.options
    require_method("sr", options)
    require_report_name(request.report)
    if options.mode not in (None, "mean"):
        raise InputError(f"--mode {options.mode} takes one scan; several together give their mean, leave --mode out")
    if options.strength != 1:
        raise InputError("--strength takes one scan; leave it out with several")
    if len(request.sources) > ATMOST:
        raise InputError(f"{len(request.sources)} scans; give at most {ATMOST} of one patient")
    if len({path.resolve() for path in request.sources}) < len(request.sources):
        raise InputError("the same scan is named twice; name each once")
    if request.register:
        require_library()
    for path in request.sources:
        require_source(path)
        if path.is_dir() and not is_dicom(path):
            raise InputError(f"{shown(path)}: no DICOM series here; of several scans each is an image or a series")
    require_target(request)
    require_outputs(request, request.sources, _outputs(request))
    volumes = [(read_scan(path), path) for path in request.sources]
    _require_different(volumes)
    _require_one_patient(volumes)
    for volume, path in volumes:
        try:
            require_scan(volume, options)
            understand(volume, options)
        except InputError as error:
            raise InputError(f"{shown(path)}: {error}") from None
    return Prepared(request, tuple(volumes if request.register else _doubted(volumes)))


def _outputs(request: SeveralRequest) -> list[Path]:
    """Every file beside an image; a folder for DICOM is looked at as a whole."""
    target = request.target
    if request.dicom.dicom:
        return []
    maps = [sibling(target, tag) for tag in ("std", "interval", "invented")]
    return [target, sidecar_path(target), sibling(target, "preview", ".png"), *maps]


def _require_different(volumes: Sequence[tuple[Volume, Path]]) -> None:
    """A file of a series stands for all of it: two files of one series are the same scan."""
    digests = [volume.header["dicom"].digest for volume, _ in volumes if "dicom" in volume.header]
    if len(set(digests)) < len(digests):
        raise InputError(f"the same {ANONYMOUS} is named twice; name each once")


def _require_one_patient(volumes: Sequence[tuple[Volume, Path]]) -> None:
    """Series that name different patients are never made into one image; the names are not told."""
    patients = [_header(volume, "PatientID") for volume, _ in volumes]
    if len({patient for patient in patients if patient}) > 1:
        raise InputError("the series are of different patients by their headers; give scans of one patient")


def _doubted(volumes: Sequence[tuple[Volume, Path]]) -> list[tuple[Volume, Path]]:
    """``volumes``, with a warning where two headers do not speak of the same space."""
    first = _header(volumes[0][0], "FrameOfReferenceUID")
    return [(_warned(volume, first), path) for volume, path in volumes]


def _warned(volume: Volume, first: str) -> Volume:
    if _header(volume, "FrameOfReferenceUID") in ("", first) or not first:
        return volume
    text = "a scan has another frame of reference than the first: the patient may have moved; consider --register"
    return replace(volume, header={**volume.header, "warnings": (*volume.header.get("warnings", ()), text)})


def _header(volume: Volume, keyword: str) -> str:
    """An element of the DICOM series that ``volume`` is from, or nothing."""
    source = volume.header.get("dicom")
    return "" if source is None else str(source.template.get(keyword) or "").strip()
