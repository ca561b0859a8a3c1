"""``voxprior demo``: the main job on a head that comes with the package, or on a scan of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from voxprior.cli.show import say

if TYPE_CHECKING:
    from voxprior.jobs.sr_request import SrRequest

FOLDER = Path("voxprior-demo")
HEAD = Path(__file__).parent.parent / "demo" / "head.nii.gz"
FACTOR = 5.0


def demo(
    scan: Annotated[Path | None, Parameter(name=["--input", "-i"])] = None,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = FOLDER,
    method: str = "voxprior",
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Restore a real head, made five times thicker front to back, and compare it with cubic interpolation.

    Parameters
    ----------
    scan
        A scan of your own instead: restored if its slices are thick, else thickened first like the head.
    output
        Folder to write to.
    method
        Restoration method.
    force
        Replace what an earlier demo wrote there.
    quiet
        Print nothing but errors.
    verbose
        Show where an error arose.
    """
    from voxprior.cli.progress import watch
    from voxprior.cli.result import show_result
    from voxprior.io.outputs import sibling
    from voxprior.jobs.folder import make_folder
    from voxprior.jobs.sr_request import prepare

    request = _request(HEAD if scan is None else scan, output, method, force)
    make_folder(output)
    prepared = prepare(request)
    from voxprior.jobs.sr_files import run

    with watch(quiet)("demo") as progress:
        (written,) = run(prepared, progress)
    if not quiet:
        show_result(written)
        say(f"preview: {sibling(written.target, 'preview', '.png')}")
    return 0


def _request(scan: Path, folder: Path, method: str, force: bool) -> SrRequest:
    """Restore ``scan`` where a slice axis is clear; otherwise make it thick from front to back first."""
    from voxprior.errors import InputError
    from voxprior.io.scans import read_scan
    from voxprior.jobs.options import SrOptions
    from voxprior.jobs.sr_request import SrRequest
    from voxprior.volume import thick_axis

    volume = read_scan(scan)
    target = folder / ("head.nii.gz" if scan == HEAD else "scan.nii.gz")
    try:
        thick_axis(volume.spacing)
    except InputError:
        axis = next("ijk"[a] for a, code in enumerate(volume.axcodes) if code in "AP")
        options = SrOptions(method=method, axis=axis)
        return SrRequest(scan, target, options, simulate=True, factor=FACTOR, force=force)
    return SrRequest(scan, target, SrOptions(method=method), force=force)
