"""``voxprior ct``: X-ray views to volumes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from voxprior.jobs.options import CtOptions, DicomOptions

if TYPE_CHECKING:
    from voxprior.jobs.ct_request import CtRequest


def ct(
    *,
    input: Annotated[Path, Parameter(name=["-i", "--input"])],
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    options: Annotated[CtOptions | None, Parameter(name="*")] = None,
    dicom: Annotated[DicomOptions | None, Parameter(name="*")] = None,
    simulate: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    views: int | None = None,
    range_deg: float | None = None,
    photons: float | None = None,
    axis: str = "auto",
    beam: str | None = None,
    source_mm: float | None = None,
    detector_mm: float | None = None,
    report: Path | None = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Reconstruct a volume in HU from few X-ray views, of one sinogram or of every one in a folder.

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
        IN is a volume in HU: take --views of it, reconstruct and compare; OUT_input.npz keeps the views.
    views
        With --simulate: how many, evenly over --range-deg; 36 by default.
    range_deg
        With --simulate: degrees that the views cover; 180 by default, in a fan 360.
    photons
        With --simulate: how many reach a bin without a patient; without noise by default.
    axis
        With --simulate: array axis that the views turn about, i, j or k; the one along the patient by default.
    beam
        With --simulate: parallel (the default), fan-flat (a straight detector), or fan-arc (one bent about the source).
    source_mm
        With --simulate and a fan: mm from its source to the centre; 541 by default.
    detector_mm
        With --simulate and a fan: mm from its source to the detector; 949 by default.
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
    scanner = (views, range_deg, photons, axis, beam, source_mm, detector_mm)
    return _run(CtRequest(input, output, own, simulate, force, report, *scanner, dicom=dicom or DicomOptions()), quiet)


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
