"""What a door asks of ``sr``, read and checked before anything heavy is imported and before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.dicom import is_dicom
from voxprior.io.names import shown
from voxprior.io.outputs import sibling
from voxprior.io.scans import read_scans
from voxprior.jobs.frames import frame_targets, outputs_of
from voxprior.jobs.npy import read_slices, slice_files
from voxprior.jobs.options import SrOptions, require_method
from voxprior.jobs.request import Request, require_outputs, require_report_name, require_source, require_target
from voxprior.jobs.sense import require_scan
from voxprior.jobs.simulate import simulate
from voxprior.jobs.slices import understand
from voxprior.volume import Volume


@dataclass(frozen=True)
class SrRequest(Request):
    """One restoration of slices.

    ``simulate``: the source is a fine volume (or a folder of .npy slices) to be measured first, every ``factor``-th
    voxel where given. ``frames``: which of a 4-D image.
    """

    options: SrOptions
    frames: str | None = None
    factor: float | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """One volume to restore, with its options; ``truth`` and ``measured`` (where it is written) if simulated."""

    volume: Volume
    target: Path
    options: SrOptions
    truth: Volume | None = None
    measured: Path | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that makes sense: its input files, read, and outputs that can be written."""

    request: SrRequest
    inputs: tuple[Path, ...]
    frames: tuple[Frame, ...]


def prepare(request: SrRequest) -> Prepared:
    """Read and check everything about ``request``; raises :class:`InputError` for what the user can mend."""
    _require_sense(request)
    slices = request.source.is_dir() and not is_dicom(request.source)
    inputs = tuple(slice_files(request.source)) if slices else (request.source,)
    if request.frames is None:  # the outputs are known: refuse them before a large file is read
        require_outputs(request, inputs, outputs_of(request, request.target))
    given = request.source, request.frames, request.dicom.series
    volumes = [read_slices(request.source)] if slices else read_scans(*given)
    targets = frame_targets(request.target, volumes, request.dicom.dicom)
    if request.frames is not None:
        require_outputs(request, inputs, [path for target in targets for path in outputs_of(request, target)])
    frames = [_frame(request, *pair) for pair in zip(volumes, targets, strict=True)]
    return Prepared(request, inputs, tuple(frames))


def _require_sense(request: SrRequest) -> None:
    require_method("sr", request.options)
    require_report_name(request.report)
    if request.factor is not None and not request.simulate:
        raise InputError("--factor belongs to --simulate; for measured slices the spacing is that of the image")
    require_source(request.source)
    if request.source.is_dir() and not request.simulate and not is_dicom(request.source):
        raise InputError(f"{shown(request.source)}: a folder; name an image, or --simulate with .npy slices")
    require_target(request)


def _frame(request: SrRequest, volume: Volume, target: Path) -> Frame:
    require_scan(volume, request.options)
    if request.simulate:
        made = simulate(volume, request.options, request.factor)
        measured = target / "input" if request.dicom.dicom else sibling(target, "input")
        return Frame(made.measurement, target, made.options, made.truth, measured)
    understand(volume, request.options)
    return Frame(volume, target, request.options)
