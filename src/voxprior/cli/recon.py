"""``voxprior recon``: k-space to images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from voxprior.jobs.options import DicomOptions, ReconOptions

if TYPE_CHECKING:
    from voxprior.jobs.recon_request import ReconRequest


def recon(
    *,
    input: Annotated[Path, Parameter(name=["-i", "--input"])],
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    options: Annotated[ReconOptions | None, Parameter(name="*")] = None,
    dicom: Annotated[DicomOptions | None, Parameter(name="*")] = None,
    phase: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    simulate: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    report: Path | None = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Reconstruct images from undersampled k-space, of one file or of every file in a folder.

    Example: voxprior recon -i kspace.h5 -o image.nii.gz

    Beside OUT it writes OUT.json (settings and certificate), OUT_std, OUT_interval, OUT_invented, OUT_sample-01 and so
    on where there are samples, OUT_preview.png, and unless OUT is .npz, OUT_certificate.npz.

    Parameters
    ----------
    input
        k-space: fastMRI or ISMRMRD (.h5, .mrd), BART (.cfl), .npz, .npy or .mat, or a folder of them; with --simulate
        also an image (.nii, .nii.gz, .mgz), a DICOM series (folder, .zip or file) or a folder of .npy slices.
    output
        Image to write: .npz or .cfl (complex), .nii, .nii.gz or .h5 (magnitude); for a folder the folder to write to,
        and with --dicom the folder for the series (magnitude).
    options
        Settings of the reconstruction.
    dicom
        Which series to read with --simulate, and whether to write one.
    phase
        Write OUT_phase too, where OUT is a magnitude.
    simulate
        IN is complete: undersample it (--mask, by default uniform:4:24), reconstruct and compare.
    report
        Write a self-contained HTML page here.
    force
        Replace existing outputs.
    quiet
        Print nothing but errors.
    verbose
        Show where an error arose.
    """
    from voxprior.jobs.recon_request import ReconRequest

    own, place = options or ReconOptions(), dicom or DicomOptions()
    return _run(ReconRequest(input, output, own, simulate, force, report, phase, dicom=place), quiet)


def _run(request: ReconRequest, quiet: bool) -> int:
    from voxprior.cli.progress import watch
    from voxprior.cli.result import run_folder, show_result
    from voxprior.jobs.failure import reported
    from voxprior.jobs.recon_request import prepare
    from voxprior.jobs.request import is_batch

    if is_batch(request.source, request.simulate):
        from voxprior.jobs.recon_files import FILES

        return run_folder(request, FILES, quiet)
    with reported("recon", request):
        prepared = prepare(request)  # a mistake is told before torch is imported
        from voxprior.jobs.recon_files import run

        with watch(quiet)("recon") as progress:
            (written,) = run(prepared, progress)
    if not quiet:
        show_result(written)
    return 0
