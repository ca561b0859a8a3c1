"""``voxprior sr``: thick slices to thin slices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from voxprior.jobs.options import SrOptions


def sr(
    *,
    input: Annotated[Path, Parameter(name=["-i", "--input"])],
    output: Annotated[Path, Parameter(name=["-o", "--output"])],
    options: Annotated[SrOptions | None, Parameter(name="*")] = None,
    frames: str | None = None,
    simulate: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    factor: float | None = None,
    report: Path | None = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Restore thin slices from a scan with thick ones, or from every scan in a folder.

    Beside OUT.nii.gz it writes OUT.json (settings and certificate), OUT_std, OUT_interval, OUT_invented,
    OUT_sample-01 and so on where there are samples, and OUT_preview.png.

    Parameters
    ----------
    input
        Scan (.nii, .nii.gz, .mgz), or a folder of scans; with --simulate also a folder of .npy slices.
    output
        Image to write, or for a folder of scans the folder to write to.
    options
        Settings of the restoration.
    frames
        Frames of a 4-D image, from 0: 2, 0,3, 0-4 or all. Several give OUT_frame-00 and so on.
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
    from voxprior.cli.progress import watch
    from voxprior.cli.result import run_folder, show_result
    from voxprior.jobs.request import is_batch
    from voxprior.jobs.sr_request import SrRequest, prepare

    request = SrRequest(input, output, options or SrOptions(), simulate, force, report, frames, factor)
    if is_batch(input, simulate):
        from voxprior.jobs.sr_files import FILES

        return run_folder(request, FILES, quiet)
    prepared = prepare(request)  # a mistake is told before torch is imported
    from voxprior.jobs.sr_files import run

    with watch(quiet)("sr") as progress:
        written = run(prepared, progress)
    if not quiet:
        for one in written:
            show_result(one)
    return 0
