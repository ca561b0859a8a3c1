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
) -> int:
    """Say in millimetres how a scan is understood, with a drawing, and what a run needs.

    Parameters
    ----------
    input
        Scan (.nii, .nii.gz, .mgz).
    options
        Settings as of sr: what they would change is shown.
    frames
        Frame of a 4-D image, from 0; of several the first is described.
    """
    from voxprior.io.nifti import read_frames
    from voxprior.jobs.describe import describe as lines_of

    say("\n".join(lines_of(read_frames(input, frames)[0], options or SrOptions())))
    return 0
