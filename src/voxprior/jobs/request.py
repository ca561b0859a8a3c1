"""What a door asks for; what holds for the requests of every job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.dicom import is_dicom, require_folder
from voxprior.io.dicom.datasets import require_pydicom
from voxprior.io.dicom.studies import holds_several
from voxprior.io.names import COMPLEX_SUFFIXES, IMAGE_SUFFIXES, image_suffix, shown
from voxprior.io.outputs import Transaction
from voxprior.jobs.options import DicomOptions, SharedOptions


@dataclass(frozen=True)
class Request:
    """One restoration: ``source`` to ``target``.

    ``simulate``: the source is complete, and is to be degraded first. ``report``: HTML page to write.
    ``dicom``: which series, and whether the target is a folder for one.
    """

    source: Path
    target: Path
    options: SharedOptions
    simulate: bool = False
    force: bool = False
    report: Path | None = None
    dicom: DicomOptions = field(default_factory=DicomOptions, kw_only=True)

    @property
    def sources(self) -> tuple[Path, ...]:
        """Everything that is read: here ``source`` alone."""
        return (self.source,)


def is_batch(source: Path, simulate: bool, dicom: DicomOptions | None = None) -> bool:
    """Whether ``source`` is a folder of scans; one DICOM series, and .npy slices with --simulate, are one volume.

    Several DICOM series are a batch where ``dicom`` asks for series out, and for none of them by name.
    """
    if dicom is not None and dicom.dicom and dicom.series is None and holds_several(source):
        return True
    if not source.is_dir() or (simulate and any(p.suffix == ".npy" for p in source.iterdir())):
        return False
    return not is_dicom(source)


def require_report_name(report: Path | None) -> None:
    """Raise :class:`InputError` unless ``report`` is the name of a page."""
    if report is not None and report.suffix.lower() != ".html":
        raise InputError(f"--report {shown(report)}: must end in .html")


def require_source(source: Path) -> None:
    """Raise :class:`InputError` unless there is something at ``source``."""
    if not source.exists():
        raise InputError(f"{shown(source)}: no such file or folder; check the name")


def require_target(request: Request) -> None:
    """Raise :class:`InputError` unless the target is the name of an image or, with --dicom, a folder for a series.

    A series is derived from one: the source must be DICOM then.
    """
    if not request.dicom.dicom:
        if is_dicom(request.source) and not request.target.name.lower().endswith(IMAGE_SUFFIXES):
            name = shown(request.target)
            raise InputError(f"{name}: not the name of an image (.nii, .nii.gz, .mgz); for a DICOM folder give --dicom")
        image_suffix(request.target)
        return
    if not is_dicom(request.source):
        name = shown(request.source)
        raise InputError(f"{name}: not DICOM; --dicom derives a series from one, leave it out for NIfTI")
    require_series_target(request)


def require_series_target(request: Request) -> None:
    """Raise :class:`InputError` unless the target is a folder that a series, of whatever source, can be written to."""
    if request.target.name.lower().endswith((*IMAGE_SUFFIXES, *COMPLEX_SUFFIXES)):
        name = shown(request.target)
        raise InputError(f"{name}: the name of a file; --dicom writes a folder: name one, or leave --dicom out")
    require_pydicom()
    require_folder(request.target, request.force, request.sources)


def require_outputs(request: Request, inputs: Sequence[Path], wanted: Sequence[Path]) -> None:
    """Raise :class:`InputError` unless every file ``wanted``, and the report, can be written at the end."""
    report = [] if request.report is None else [request.report]
    Transaction(request.force, inputs).check([*wanted, *report])
