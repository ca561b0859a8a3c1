"""What every job shows: each output in a line or two, and a folder of them with a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voxprior.cli.show import say, warn

if TYPE_CHECKING:
    from voxprior.jobs.batch import Member
    from voxprior.jobs.files import Files, Written
    from voxprior.jobs.request import Request


def run_folder(request: Request, files: Files, quiet: bool) -> int:
    """Restore a folder of scans, show each as it is done, and return the exit code."""
    from voxprior.cli.progress import watch
    from voxprior.io.dicom import is_dicom
    from voxprior.jobs.batch import run_batch
    from voxprior.jobs.series_batch import run_series

    members = []
    for member in (run_series if is_dicom(request.source) else run_batch)(request, watch(quiet), files):
        members.append(member)
        _show_member(member, quiet)
    return _summary(members, quiet)


def show_result(written: Written) -> None:
    """Print what was written and how well it fits; warnings go to stderr."""
    values = written.values
    for warning in values["warnings"]:
        warn(f"warning: {warning}")
    seconds, residual = values["seconds"], values["residual"]
    fit = "without a residual" if residual is None else f"residual {residual:.1e}"
    say(f"{written.target.name}: {_sampling(values)}restored in {seconds:.1f} s, {fit}")
    stages = values.get("stages", ())
    for stage in stages if len(stages) > 1 else ():
        say(f"  stage {stage['name']}: {stage['seconds']:.1f} s, {stage['network_calls']} network calls")
    for name, figures in values.get("comparison", {}).get("methods", {}).items():
        say(f"  {name}: {_figures(figures)}")


def _sampling(values: Any) -> str:
    """The acceleration of k-space, the true one first."""
    of = values.get("acceleration")
    if of is None:
        return ""
    nominal = "" if of["nominal"] is None else f", nominal {of['nominal']:g}"
    lines = "" if of["acs"] is None else f", ACS {of['acs']}"
    return f"acceleration {of['true']:.2f} ({of['mask']}{nominal}{lines}), "


def _figures(figures: Any) -> str:
    psnr = "equal to the truth" if figures["psnr"] is None else f"PSNR {figures['psnr']:.2f} dB"
    ssim = "" if figures["ssim"] is None else f", SSIM {figures['ssim']:.4f}"
    nmse = f", NMSE {figures['nmse']:.5f}" if "nmse" in figures else ""
    error = f", {figures['hu_error']:.1f} HU off" if "hu_error" in figures else ""
    return psnr + ssim + nmse + error


def _show_member(member: Member, quiet: bool) -> None:
    if member.error is not None:
        warn(f"error: {member.error}")
    elif not quiet:
        for one in member.written:
            show_result(one)


def _summary(members: list[Member], quiet: bool) -> int:
    failed = [member.name for member in members if member.error is not None]
    if failed:
        warn(f"{len(failed)} of {len(members)} scans failed: {', '.join(failed)}")
    elif not quiet:
        say(f"{len(members)} scans restored")
    return 1 if failed else 0
