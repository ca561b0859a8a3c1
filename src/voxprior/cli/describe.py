"""``voxprior describe``: what was understood of a scan, before it is restored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from voxprior.cli.show import say
from voxprior.jobs.options import SrOptions


def describe(
    input: Path,
    /,
    *,
    options: Annotated[SrOptions | None, Parameter(name="*")] = None,
    frames: str | None = None,
    series: str | None = None,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Say in millimetres how a scan is understood, with a drawing, and what a run needs.

    Parameters
    ----------
    input
        Scan (.nii, .nii.gz, .mgz), or a DICOM series (folder, .zip, or one of its files).
    options
        Settings as of sr: what they would change is shown.
    frames
        Frame of a 4-D image, from 0; of several the first is described.
    series
        Which series of a DICOM folder or zip: its number or UID; needed if it has several.
    json
        Print values for a program instead.
    """
    from voxprior.io.scans import read_scans
    from voxprior.jobs.describe import describe as lines_of
    from voxprior.jobs.findings import findings

    found = findings(read_scans(input, frames, series)[0], options or SrOptions())
    if json:
        from json import dumps

        say(dumps(found, indent=2))
        return 0
    say("\n".join(lines_of(found)))
    return 0
