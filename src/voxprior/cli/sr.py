"""``voxprior sr``: thick slices to thin slices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from voxprior.cli.show import say, warn
from voxprior.jobs.options import SrOptions

if TYPE_CHECKING:
    from voxprior.jobs.batch import Member
    from voxprior.jobs.files import Written
    from voxprior.jobs.request import Request


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
    from voxprior.jobs.request import Request, is_batch, prepare

    request = Request(input, output, options or SrOptions(), frames, simulate, factor, force, report)
    if is_batch(input, simulate):
        return _batch(request, quiet)
    prepared = prepare(request)  # a mistake is told before torch is imported
    from voxprior.jobs.files import run

    with watch(quiet)("sr") as progress:
        written = run(prepared, progress)
    if not quiet:
        for one in written:
            show_result(one)
    return 0


def _batch(request: Request, quiet: bool) -> int:
    from voxprior.cli.progress import watch
    from voxprior.jobs.batch import run_batch

    members = []
    for member in run_batch(request, watch(quiet)):
        members.append(member)
        _show_member(member, quiet)
    return _summary(members, quiet)


def show_result(written: Written) -> None:
    """Print what was written and how well it fits; warnings go to stderr."""
    values = written.values
    for warning in values["warnings"]:
        warn(f"warning: {warning}")
    seconds, residual = values["seconds"], values["residual"]
    say(f"{written.target.name}: restored in {seconds:.1f} s, residual {residual:.1e}")
    for name, figures in values.get("comparison", {}).get("methods", {}).items():
        ssim = "" if figures["ssim"] is None else f", SSIM {figures['ssim']:.4f}"
        psnr = "equal to the truth" if figures["psnr"] is None else f"PSNR {figures['psnr']:.2f} dB"
        say(f"  {name}: {psnr}{ssim}")


def _show_member(member: Member, quiet: bool) -> None:
    if member.error is not None:
        warn(f"error: {member.error}")
    elif not quiet:
        for one in member.written:
            show_result(one)


def _summary(members: list[Member], quiet: bool) -> int:
    failed = [member.source.name for member in members if member.error is not None]
    if failed:
        warn(f"{len(failed)} of {len(members)} scans failed: {', '.join(failed)}")
    elif not quiet:
        say(f"{len(members)} scans restored")
    return 1 if failed else 0
