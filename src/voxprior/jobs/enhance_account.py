"""What stands beside an enhanced volume: its proof, its picture, and its sidecar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from voxprior.io.axes_certificate import axes_certificate
from voxprior.jobs.cubic import cubic
from voxprior.jobs.enhance import NOT_LINEAR, Enhanced
from voxprior.jobs.enhance_request import Frame
from voxprior.jobs.options import EnhanceOptions
from voxprior.jobs.sidecar import sidecar
from voxprior.jobs.simulate import figures_of
from voxprior.report.preview import beside
from voxprior.volume import Volume

CASCADE = "cascade"
"""What comparisons call the result of several stages."""


def yardstick_of(restored: Enhanced) -> Volume:
    """Cubic interpolation along every axis."""
    return reduce(cubic, restored.axes, restored.measurement)


def picture_of(restored: Enhanced, yardstick: Volume) -> bytes:
    """A PNG of the measured voxels, cubic interpolation, the result and its std."""
    before, after = (" x ".join(f"{s:.3g}" for s in v.spacing) for v in (restored.measurement, restored.image))
    images = [("measured", restored.measurement), ("cubic", yardstick), ("restored", restored.image)]
    return beside(images, restored.std, f"voxels of {before} mm restored to {after} mm")


def certificate_of(
    restored: Enhanced, measurement: Volume, image: Volume, source: Path, target: Path
) -> dict[str, Any] | None:
    """Proof that ``image``, the result as it is written to ``target``, explains ``source``; None without an operator.

    ``measurement``: ``source`` as it was read.
    """
    if not restored.linear:
        return None
    return axes_certificate(
        restored.axes, measurement, image, source, target, restored.noise, restored.noise_source
    )


def account(
    restored: Enhanced,
    last: EnhanceOptions,
    certificate: Mapping[str, Any] | None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> dict[str, Any]:
    """All that is known of the restoration, as JSON values; the settings are those of the ``last`` stage."""
    values = sidecar("enhance", restored, last, certificate or {"residual": None}, inputs, outputs)
    if certificate is None:
        values["certificate"], values["certificate_reason"] = None, NOT_LINEAR
    values["stages"] = [stage.to_dict() for stage in restored.stages]
    return values


def sidecar_of(
    frame: Frame,
    restored: Enhanced,
    certificate: Mapping[str, Any] | None,
    yardstick: Volume,
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> dict[str, Any]:
    """The same of files: a simulated input lies beside the output, and the result is compared with the truth."""
    last = frame.stages[-1].options
    if certificate is not None and frame.measured is not None:
        certificate = {**certificate, "input": frame.measured.name}
    values = account(restored, last, certificate, inputs, outputs)
    if frame.truth is not None:
        name = CASCADE if len(frame.stages) > 1 else last.method
        values["comparison"] = figures_of({"cubic": yardstick, name: restored.image}, frame.truth)
    return values
