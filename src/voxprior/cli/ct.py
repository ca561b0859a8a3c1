"""``voxprior ct``: X-ray views to volumes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from voxprior.jobs.options import CtOptions, DicomOptions, ScannerOptions

if TYPE_CHECKING:
    from voxprior.jobs.ct_request import CtRequest


def ct(
    *,
    input: Annotated[Path, Parameter(name=["-i", "--input"])],
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    options: Annotated[CtOptions | None, Parameter(name="*")] = None,
    dicom: Annotated[DicomOptions | None, Parameter(name="*")] = None,
    simulate: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    scanner: Annotated[ScannerOptions | None, Parameter(name="*")] = None,
    report: Path | None = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Reconstruct a volume in HU from few X-ray views, of one sinogram or of every one in a folder.

    Example: voxprior ct -i views.npz -o volume.nii.gz

    Beside OUT.nii.gz it writes OUT.json (settings and certificate), OUT_std, OUT_interval, OUT_invented,
    OUT_sample-01 and so on where there are samples, and OUT_preview.png.

    Parameters
    ----------
    input
        Sinogram (.npz), or a folder of them; with --simulate a volume in HU (.nii, .nii.gz, .mgz), a DICOM series
        (folder, .zip, or one of its files) or a folder of .npy slices.
    output
        Volume to write, for a folder of sinograms the folder to write to, or with --dicom the folder for the series.
    options
        Settings of the reconstruction.
    dicom
        Which series to read with --simulate, and whether to write one.
    simulate
        IN is a volume in HU: take views of it, reconstruct and compare; OUT_input.npz keeps the views.
    scanner
        What takes the views of --simulate.
    report
        Write a self-contained HTML page here.
    force
        Replace existing outputs.
    quiet
        Print nothing but errors.
    verbose
        Show where an error arose.
    """
    from voxprior.jobs.ct_request import CtRequest

    own = options or CtOptions()
    taken = (scanner or ScannerOptions()).model_dump()
    return _run(CtRequest(input, output, own, simulate, force, report, **taken, dicom=dicom or DicomOptions()), quiet)


def _run(request: CtRequest, quiet: bool) -> int:
    from voxprior.cli.progress import watch
    from voxprior.cli.result import run_folder, show_result
    from voxprior.jobs.ct_request import prepare
    from voxprior.jobs.failure import reported
    from voxprior.jobs.request import is_batch

    if is_batch(request.source, request.simulate):
        from voxprior.jobs.ct_files import FILES

        return run_folder(request, FILES, quiet)
    with reported("ct", request):
        prepared = prepare(request)  # a mistake is told before torch is imported
        from voxprior.jobs.ct_files import run

        with watch(quiet)("ct") as progress:
            (written,) = run(prepared, progress)
    if not quiet:
        show_result(written)
    return 0
