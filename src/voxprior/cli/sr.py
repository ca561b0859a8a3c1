"""``voxprior sr``: thick slices to thin slices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from voxprior.errors import InputError
from voxprior.jobs.options import DicomOptions, SrOptions

if TYPE_CHECKING:
    from voxprior.jobs.files import Written
    from voxprior.jobs.several_request import SeveralRequest
    from voxprior.jobs.sr_request import SrRequest


def sr(
    *,
    input: Annotated[list[Path], Parameter(name=["-i", "--input"], consume_multiple=True, negative="")],
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    options: Annotated[SrOptions | None, Parameter(name="*")] = None,
    dicom: Annotated[DicomOptions | None, Parameter(name="*")] = None,
    frames: str | None = None,
    register: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    simulate: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    factor: float | None = None,
    report: Path | None = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Restore thin slices from a scan with thick ones, or from every scan in a folder.

    Example: voxprior sr -i thick.nii.gz -o thin.nii.gz

    Beside OUT.nii.gz it writes OUT.json (settings and certificate), OUT_std, OUT_interval, OUT_invented,
    OUT_sample-01 and so on where there are samples, and OUT_preview.png.

    Parameters
    ----------
    input
        Scan (.nii, .nii.gz, .mgz), DICOM series (folder, .zip or file), or folder of scans; with --simulate also of
        .npy slices. Several scans or series of one patient (-i A B C) become one volume, on the fine grid of the first.
    output
        Image to write, for a folder of scans the folder to write to, or with --dicom the folder for the series.
    options
        Settings of the restoration.
    dicom
        Which series to read, and whether to write one.
    frames
        Frames of a 4-D image, from 0: 2, 0,3, 0-4 or all. Several give OUT_frame-00 and so on.
    register
        With several scans: align the others to the first, rigidly, instead of trusting their headers.
    simulate
        IN is a fine volume: measure it in thick slices (--factor, or --thickness and --gap), restore and compare.
    factor
        With --simulate: distance of the slices in voxels; 5 by default.
    report
        Write a self-contained HTML page here.
    force
        Replace existing outputs.
    quiet
        Print nothing but errors.
    verbose
        Show where an error arose.
    """
    from voxprior.jobs.sr_request import SrRequest

    own, place = options or SrOptions(), dicom or DicomOptions()
    _require_number(len(input), register, simulate or (frames, factor, place.series) != (None, None, None))
    if len(input) > 1:
        from voxprior.jobs.several_request import SeveralRequest as Several

        scans = input[0], output, own, False, force, report, tuple(input[1:]), register
        return _several(Several(*scans, dicom=place), quiet)
    return _one(SrRequest(input[0], output, own, simulate, force, report, frames, factor, dicom=place), quiet)


def _require_number(scans: int, register: bool, more: bool) -> None:
    if scans == 1 and register:
        raise InputError("--register needs several scans; name them after one -i")
    if scans > 1 and more:
        raise InputError(
            "several scans do not go with --simulate, --factor, --frames or --series; leave them out "
            "(a DICOM folder or zip then holds one series)"
        )


def _one(request: SrRequest, quiet: bool) -> int:
    from voxprior.cli.progress import watch
    from voxprior.cli.result import run_folder
    from voxprior.jobs.failure import reported
    from voxprior.jobs.request import is_batch
    from voxprior.jobs.sr_request import prepare

    if is_batch(request.source, request.simulate, request.dicom):
        from voxprior.jobs.sr_files import FILES

        return run_folder(request, FILES, quiet)
    with reported("sr", request):
        prepared = prepare(request)  # a mistake is told before torch is imported
        from voxprior.jobs.sr_files import run

        with watch(quiet)("sr") as progress:
            written = run(prepared, progress)
    return _show(written, quiet)


def _several(request: SeveralRequest, quiet: bool) -> int:
    from voxprior.cli.progress import watch
    from voxprior.jobs.failure import reported
    from voxprior.jobs.several_request import prepare

    with reported("sr", request):
        prepared = prepare(request)
        from voxprior.jobs.several_files import run

        with watch(quiet)("sr") as progress:
            written = run(prepared, progress)
    return _show(written, quiet)


def _show(written: list[Written], quiet: bool) -> int:
    from voxprior.cli.result import show_result

    if not quiet:
        for one in written:
            show_result(one)
    return 0
