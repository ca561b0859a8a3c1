"""``voxprior generate``: new volumes from the prior alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from voxprior.jobs.options import DicomOptions, GenerateOptions


def generate(
    *,
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    options: Annotated[GenerateOptions | None, Parameter(name="*")] = None,
    dicom: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    uids: Literal["new", "content"] = "new",
    report: Path | None = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Make volumes that were never measured: what the prior believes of heads. The same seed makes the same voxels.

    Example: voxprior generate -o head.nii.gz --seed 1

    Beside OUT it writes OUT.json (settings), OUT_preview.png, and OUT_sample-01 and so on where there are several.

    Parameters
    ----------
    output
        Image to write (.nii, .nii.gz, .mgz), in the order right, front, top, about the origin, or with --dicom the
        folder for the series.
    options
        Settings of the volumes.
    dicom
        Write a DICOM series into the folder OUT, in a new study without a patient.
    uids
        UIDs of what is written as DICOM: new ones, or the same for the same settings and result.
    report
        Write a self-contained HTML page here.
    force
        Replace existing outputs.
    quiet
        Print nothing but errors.
    verbose
        Show where an error arose.
    """
    from voxprior.cli.progress import watch
    from voxprior.cli.show import say, warn
    from voxprior.jobs.failure import reported
    from voxprior.jobs.generate_request import GenerateRequest, prepare

    place = DicomOptions(dicom=dicom, uids=uids)
    request = GenerateRequest(Path(), output, options or GenerateOptions(), force=force, report=report, dicom=place)
    with reported("generate", request):
        prepared = prepare(request)  # a mistake is told before torch is imported
        from voxprior.jobs.generate import run

        with watch(quiet)("generate") as progress:
            (written,) = run(prepared, progress)
    for warning in written.values["warnings"]:
        warn(f"warning: {warning}")
    if not quiet:
        seconds, calls = written.values["seconds"], written.values["network_calls"]
        say(f"{written.target.name}: made in {seconds:.1f} s, {calls} network calls")
    return 0
