"""What a door asks for, read and checked before anything heavy is imported and before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.names import image_suffix, shown
from voxprior.io.nifti import read_frames
from voxprior.io.outputs import Transaction, sibling, sidecar_path
from voxprior.jobs.npy import read_slices, slice_files
from voxprior.jobs.options import SrOptions, require_method
from voxprior.jobs.simulate import simulate
from voxprior.jobs.slices import understand
from voxprior.volume import Volume


@dataclass(frozen=True)
class Request:
    """One restoration.

    ``simulate``: the source is a fine volume (or a folder of .npy slices) to be measured first, every ``factor``-th
    voxel where given. ``frames``: which of a 4-D image. ``report``: HTML page to write.
    """

    source: Path
    target: Path
    options: SrOptions
    frames: str | None = None
    simulate: bool = False
    factor: float | None = None
    force: bool = False
    report: Path | None = None


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

    request: Request
    inputs: tuple[Path, ...]
    frames: tuple[Frame, ...]


def is_batch(source: Path, simulate: bool) -> bool:
    """Whether ``source`` is a folder of scans; with --simulate a folder with .npy slices is one volume."""
    return source.is_dir() and not (simulate and any(p.suffix == ".npy" for p in source.iterdir()))


def prepare(request: Request) -> Prepared:
    """Read and check everything about ``request``; raises :class:`InputError` for what the user can mend."""
    _require_sense(request)
    inputs = tuple(slice_files(request.source)) if request.source.is_dir() else (request.source,)
    if request.frames is None:  # the outputs are known: refuse them before a large file is read
        _require_outputs(request, inputs, [request.target])
    volumes = [read_slices(request.source)] if request.source.is_dir() else read_frames(request.source, request.frames)
    targets = _frame_targets(request.target, volumes)
    if request.frames is not None:
        _require_outputs(request, inputs, targets)
    frames = [_frame(request, *pair) for pair in zip(volumes, targets, strict=True)]
    return Prepared(request, inputs, tuple(frames))


def outputs_of(request: Request, target: Path) -> list[Path]:
    """Every file that a restoration to ``target`` may write."""
    tags = ["std", "interval", "invented"]
    if request.options.mode == "sample":
        tags += [f"sample-{k + 1:02d}" for k in range(request.options.samples)]
    if request.simulate:
        tags.append("input")
    return [
        target,
        sidecar_path(target),
        sibling(target, "preview", ".png"),
        *(sibling(target, t) for t in tags),
    ]


def require_report_name(report: Path | None) -> None:
    """Raise :class:`InputError` unless ``report`` is the name of a page."""
    if report is not None and report.suffix.lower() != ".html":
        raise InputError(f"--report {shown(report)}: must end in .html")


def _require_sense(request: Request) -> None:
    require_method("sr", request.options)
    require_report_name(request.report)
    if request.factor is not None and not request.simulate:
        raise InputError("--factor belongs to --simulate; for measured slices the spacing is that of the image")
    if not request.source.exists():
        raise InputError(f"{shown(request.source)}: no such file or folder; check the name")
    if request.source.is_dir() and not request.simulate:
        raise InputError(f"{shown(request.source)}: a folder; name an image, or --simulate with .npy slices")
    image_suffix(request.target)


def _require_outputs(request: Request, inputs: Sequence[Path], targets: Sequence[Path]) -> None:
    wanted = [path for target in targets for path in outputs_of(request, target)]
    if request.report is not None:
        wanted.append(request.report)
    Transaction(request.force, inputs).check(wanted)


def _frame_targets(target: Path, volumes: Sequence[Volume]) -> list[Path]:
    """``target`` itself for one frame, ``target_frame-03`` and so on for several."""
    if len(volumes) == 1:
        return [target]
    return [sibling(target, f"frame-{volume.header['frame']:02d}") for volume in volumes]


def _frame(request: Request, volume: Volume, target: Path) -> Frame:
    if request.simulate:
        made = simulate(volume, request.options, request.factor)
        return Frame(made.measurement, target, made.options, made.truth, sibling(target, "input"))
    understand(volume, request.options)
    return Frame(volume, target, request.options)
