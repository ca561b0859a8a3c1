"""Where the outputs of a request for images go: one target a frame, and every file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.outputs import sibling, sidecar_path
from voxprior.jobs.options import DEFAULT_METHOD
from voxprior.jobs.request import Request
from voxprior.volume import Volume


def outputs_of(request: Request, target: Path) -> list[Path]:
    """Every file that a restoration to ``target`` may write; a DICOM folder is checked as a whole."""
    if request.dicom.dicom:
        return []
    tags = ["std", "interval", "invented"]
    if request.options.mode in ("sample", "one-step") or request.options.method != DEFAULT_METHOD:
        tags += [f"sample-{k + 1:02d}" for k in range(request.options.samples)]
    if request.simulate:
        tags.append("input")
    return [
        target,
        sidecar_path(target),
        sibling(target, "preview", ".png"),
        *(sibling(target, t) for t in tags),
    ]


def frame_targets(target: Path, volumes: Sequence[Volume], dicom: bool) -> list[Path]:
    """``target`` itself for one frame, ``target_frame-03`` and so on for several."""
    if len(volumes) == 1:
        return [target]
    if dicom:
        raise InputError(f"--dicom writes one volume; choose one of the {len(volumes)} frames with --frames")
    return [sibling(target, f"frame-{volume.header['frame']:02d}") for volume in volumes]
