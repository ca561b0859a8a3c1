"""What the page asked for becomes a request of the job, in the folder of the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voxprior.web.worker import INPUT, OUTPUT

if TYPE_CHECKING:
    from voxprior.jobs.files import Written
    from voxprior.jobs.options import DicomOptions
    from voxprior.volume import Volume

TARGET, REPORT, SERIES = "restored.nii.gz", "report.html", "restored-dicom.zip"


@dataclass(frozen=True, eq=False)
class Done:
    """What was written, one member a frame, and the measured volumes that there are to look at."""

    written: Sequence[Written]
    before: Sequence[Volume] = ()


def restore(request: dict[str, Any], progress: Callable[[int, int], None]) -> Done:
    """Run the job that ``request`` names; raises :class:`InputError` for what the user can mend."""
    from voxprior.web.form import parse

    options, asked = parse(request["job"], request["options"])
    sources = [Path(INPUT) / name for name in request["scans"]]
    if len(sources) > 1:
        return _several(sources, options, asked, progress)
    return _JOBS[request["job"]](sources[0] if sources else Path(), options, asked, progress)


def _sr(source: Path, options: Any, asked: Any, progress: Any) -> Done:
    from voxprior.jobs.sr_request import SrRequest, prepare

    target, dicom = _place(source, asked)
    given = source, target, options, asked.simulate, True, _report()
    prepared = prepare(SrRequest(*given, asked.frames, asked.factor, dicom=dicom))
    from voxprior.jobs.sr_files import run

    return _done(run(prepared, progress), [frame.volume for frame in prepared.frames], dicom)


def _several(sources: Sequence[Path], options: Any, asked: Any, progress: Any) -> Done:
    from voxprior.jobs.several_request import SeveralRequest, prepare

    target, dicom = _place(sources[0], asked)
    given = sources[0], target, options, False, True, _report(), tuple(sources[1:]), asked.registration
    prepared = prepare(SeveralRequest(*given, dicom=dicom))
    from voxprior.jobs.several_files import run

    (written,) = run(prepared, progress)
    scans = written.values["certificate"]["scans"]
    before = [_explained(volume, scan) for (volume, _), scan in zip(prepared.volumes, scans, strict=True)]
    return _done([written], before, dicom)


def _explained(volume: Volume, scan: dict[str, Any]) -> Volume:
    """A scan as the result explains it: where it was found to lie, in intensities of the first."""
    affine = np.array(scan["transform"]) @ volume.affine
    return replace(volume, data=(volume.data / scan["scale"]).astype(np.float32), affine=affine)


def _enhance(source: Path, options: Any, asked: Any, progress: Any) -> Done:
    from voxprior.jobs.enhance_request import EnhanceRequest, prepare

    target, dicom = _place(source, asked)
    given = source, target, options, asked.simulate, True, _report()
    prepared = prepare(EnhanceRequest(*given, asked.frames, dicom=dicom))
    from voxprior.jobs.enhance_files import run

    return _done(run(prepared, progress), [frame.volume for frame in prepared.frames], dicom)


def _recon(source: Path, options: Any, asked: Any, progress: Any) -> Done:
    from voxprior.jobs.recon_request import ReconRequest, prepare

    target, dicom = _place(source if _of(source, "MR") else None, asked)
    given = source, target, options, asked.simulate, True, _report(), asked.phase
    prepared = prepare(ReconRequest(*given, dicom=dicom))
    from voxprior.jobs.recon_files import run

    return _done(run(prepared, progress), [], dicom)


def _ct(source: Path, options: Any, asked: Any, progress: Any) -> Done:
    from voxprior.jobs.ct_request import CtRequest, prepare
    from voxprior.jobs.options import ScannerOptions

    target, dicom = _place(source if _of(source, "CT") else None, asked)
    scanner = asked.model_dump(include=set(ScannerOptions.model_fields))
    prepared = prepare(CtRequest(source, target, options, asked.simulate, True, _report(), **scanner, dicom=dicom))
    from voxprior.jobs.ct_files import run

    simulation = prepared.simulation
    return _done(run(prepared, progress), [] if simulation is None else [simulation.truth], dicom)


def _generate(source: Path, options: Any, asked: Any, progress: Any) -> Done:
    from voxprior.jobs.generate_request import GenerateRequest, prepare

    target, dicom = _place(None, asked)
    prepared = prepare(GenerateRequest(source, target, options, force=True, report=_report(), dicom=dicom))
    from voxprior.jobs.generate import run

    return _done(run(prepared, progress), [], dicom)


_JOBS: dict[str, Callable[[Path, Any, Any, Any], Done]] = {
    "sr": _sr,
    "recon": _recon,
    "ct": _ct,
    "enhance": _enhance,
    "generate": _generate,
}


def _of(source: Path, modality: str) -> bool:
    """Whether a folder of DICOM can be the source of a series of ``modality``; of what it cannot, an image comes."""
    from voxprior.io.dicom import is_dicom, list_series

    return is_dicom(source) and all(found.modality == modality for found in list_series(source))


def _place(source: Path | None, asked: Any) -> tuple[Path, DicomOptions]:
    """Where the output goes: of DICOM a derived series, of others an image, or a series where asked for."""
    from voxprior.jobs.options import DicomOptions

    if (source is not None and source.is_dir()) or getattr(asked, "dicom", False):
        return Path(OUTPUT) / "series", DicomOptions(dicom=True, uids=asked.uids)
    return Path(OUTPUT) / TARGET, DicomOptions()


def _done(written: Sequence[Written], before: Sequence[Volume], dicom: DicomOptions) -> Done:
    """A derived DICOM series is handed over as a zip, with a NIfTI for the viewer."""
    if not dicom.dicom:
        return Done(written, before)
    from voxprior.web.series import hand_over

    (one,) = written
    hand_over(one.target, Path(OUTPUT) / TARGET, Path(OUTPUT) / SERIES)
    return Done([replace(one, target=Path(OUTPUT) / TARGET)], before)


def _report() -> Path:
    return Path(OUTPUT) / REPORT
