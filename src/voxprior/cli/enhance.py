"""``voxprior enhance``: coarse voxels to fine ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from voxprior.jobs.options import DicomOptions, EnhanceOptions

if TYPE_CHECKING:
    from voxprior.jobs.enhance_request import EnhanceRequest


def enhance(
    *,
    input: Annotated[Path, Parameter(name=["-i", "--input"])],
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    options: Annotated[EnhanceOptions | None, Parameter(name="*")] = None,
    dicom: Annotated[DicomOptions | None, Parameter(name="*")] = None,
    frames: str | None = None,
    config: Path | None = None,
    simulate: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    report: Path | None = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Restore fine voxels from coarse ones, within the slices or in all directions, or of every scan in a folder.

    Example: voxprior enhance -i coarse.nii.gz -o fine.nii.gz

    Beside OUT.nii.gz it writes OUT.json (settings and certificate), OUT_std, OUT_interval, OUT_invented,
    OUT_sample-01 and so on where there are samples, and OUT_preview.png.

    Parameters
    ----------
    input
        Scan (.nii, .nii.gz, .mgz), DICOM series (folder, .zip or file), or folder of scans.
    output
        Image to write, for a folder of scans the folder to write to, or with --dicom the folder for the series.
    options
        Settings of the restoration.
    dicom
        Which series to read, and whether to write one.
    frames
        Frames of a 4-D image, from 0: 2, 0,3, 0-4 or all. Several give OUT_frame-00 and so on.
    config
        YAML file with a list of stages, each restoring what the one before made; what they leave out is as given here.
    simulate
        IN is a fine volume: make it coarse as --axes, --factor and --degradation say, restore and compare.
    report
        Write a self-contained HTML page here.
    force
        Replace existing outputs.
    quiet
        Print nothing but errors.
    verbose
        Show where an error arose.
    """
    from voxprior.jobs.enhance_request import EnhanceRequest

    own, place = options or EnhanceOptions(), dicom or DicomOptions()
    return _run(EnhanceRequest(input, output, own, simulate, force, report, frames, config, dicom=place), quiet)


def _run(request: EnhanceRequest, quiet: bool) -> int:
    from voxprior.cli.progress import watch
    from voxprior.cli.result import run_folder, show_result
    from voxprior.jobs.enhance_request import prepare
    from voxprior.jobs.failure import reported
    from voxprior.jobs.request import is_batch

    if is_batch(request.source, False, request.dicom):
        from voxprior.jobs.enhance_files import FILES

        return run_folder(request, FILES, quiet)
    with reported("enhance", request):
        prepared = prepare(request)  # a mistake is told before torch is imported
        from voxprior.jobs.enhance_files import run

        with watch(quiet)("enhance") as progress:
            written = run(prepared, progress)
    if not quiet:
        for one in written:
            show_result(one)
    return 0
