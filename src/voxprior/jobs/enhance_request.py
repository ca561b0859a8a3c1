"""What a door asks of ``enhance``, read and checked before torch is imported and before any work is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.dicom import is_dicom
from voxprior.io.names import shown
from voxprior.io.outputs import sibling
from voxprior.io.scans import read_scans
from voxprior.jobs.enhance_simulate import simulate
from voxprior.jobs.frames import frame_targets, outputs_of
from voxprior.jobs.options import EnhanceOptions
from voxprior.jobs.request import Request, require_outputs, require_report_name, require_source, require_target
from voxprior.jobs.sense import require_scan
from voxprior.jobs.stages import Stage, stages_of
from voxprior.operators.decimation import decimation, grown
from voxprior.volume import Volume


@dataclass(frozen=True)
class EnhanceRequest(Request):
    """One restoration of coarse voxels.

    ``simulate``: the source is a fine volume, to be made coarse first. ``frames``: which of a 4-D image. ``config``:
    file that lists the stages of a cascade.
    """

    options: EnhanceOptions
    frames: str | None = None
    config: Path | None = None

    @property
    def sources(self) -> tuple[Path, ...]:
        """Everything that is read."""
        return (self.source,) if self.config is None else (self.source, self.config)


@dataclass(frozen=True, eq=False)
class Frame:
    """One volume to restore, by which stages; ``truth`` and ``measured`` (where it is written) if simulated."""

    volume: Volume
    target: Path
    stages: tuple[Stage, ...]
    truth: Volume | None = None
    measured: Path | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that makes sense, its input read, and outputs that can be written."""

    request: EnhanceRequest
    frames: tuple[Frame, ...]


def prepare(request: EnhanceRequest) -> Prepared:
    """Read and check everything about ``request``; raises :class:`InputError` for what the user can mend."""
    require_report_name(request.report)
    require_source(request.source)
    if request.source.is_dir() and not is_dicom(request.source):
        raise InputError(f"{shown(request.source)}: a folder; name an image")
    require_target(request)
    stages = stages_of(request.options, request.config)
    last = replace(request, options=stages[-1].options)  # the samples that are written are the last stage's
    if request.frames is None:  # the outputs are known: refuse them before a large file is read
        require_outputs(request, request.sources, outputs_of(last, request.target))
    volumes = read_scans(request.source, request.frames, request.dicom.series)
    targets = frame_targets(request.target, volumes, request.dicom.dicom)
    if request.frames is not None:
        require_outputs(request, request.sources, [path for target in targets for path in outputs_of(last, target)])
    frames = [_frame(request, stages, *pair) for pair in zip(volumes, targets, strict=True)]
    return Prepared(request, tuple(frames))


def _frame(request: EnhanceRequest, stages: tuple[Stage, ...], volume: Volume, target: Path) -> Frame:
    require_scan(volume, request.options)
    if request.simulate:
        made = simulate(volume, stages, request.options.seed)
        measured = target / "input" if request.dicom.dicom else sibling(target, "input")
        return Frame(made.measurement, target, made.stages, made.truth, measured)
    require_axes(volume, stages)
    return Frame(volume, target, stages)


def require_axes(volume: Volume, stages: tuple[Stage, ...]) -> None:
    """Raise :class:`InputError` for axes of ``volume`` that one of the ``stages`` cannot refine."""
    shape, spacing = list(volume.data.shape), list(volume.spacing)
    for stage in stages:
        refinement = stage.refinement(spacing)
        decimation(shape, spacing, refinement)
        for axis in refinement.axes:
            shape[axis], spacing[axis] = grown(shape[axis], refinement.factor), spacing[axis] / refinement.factor
