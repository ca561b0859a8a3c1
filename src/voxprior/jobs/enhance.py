"""Coarse voxels to fine ones, in memory: one method, or a cascade of them, each fed with what the one before made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.io.axes_certificate import axes_residual
from voxprior.jobs.darkness import dark_value, from_dark, lifted
from voxprior.jobs.estimate import Estimate, noise_of, unseen, with_maps
from voxprior.jobs.intervals import Bounds, not_calibrated
from voxprior.jobs.job import Run, part_of, run_method
from voxprior.jobs.options import EnhanceOptions
from voxprior.jobs.stages import Stage
from voxprior.jobs.strength import mixed, plain_cubic, projected_cubic
from voxprior.jobs.unfamiliar import unfamiliar_voxels
from voxprior.methods.result import Progress
from voxprior.operators.base import Measurement, pinv
from voxprior.operators.decimation import decimation, refined
from voxprior.operators.separable import Separable
from voxprior.volume import SliceGeometry, Volume

NOT_LINEAR = (
    "a weaker field changes contrast, blur and noise besides the voxels: no linear operator tells how the fine image "
    "gives the measured one, so no residual can be stated"
)
"""Why there is no certificate of a field change."""


@dataclass(frozen=True, eq=False)
class Ran:
    """What the sidecar tells of one stage."""

    name: str
    options: EnhanceOptions
    axes: tuple[SliceGeometry, ...]
    run: Run
    residual: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        weights = self.run.result.weights
        return {
            "name": self.name,
            "method": self.options.method,
            "degradation": self.options.degradation,
            "axes": "".join("ijk"[g.axis] for g in self.axes),
            "factor": self.options.factor,
            "weights": None if weights is None else dict(weights),
            "settings": dict(self.run.result.notes),
            "seconds": round(self.run.seconds, 3),
            "network_calls": self.run.result.calls,
            "residual": self.residual,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Enhanced(Estimate):
    """A restored volume; ``axes``: from the measurement to its grid, stage after stage.

    ``linear``: whether they are all that lies between the two. Otherwise ``invented`` is what differs from the
    smallest image that has the measured voxels.
    """

    axes: tuple[SliceGeometry, ...]
    linear: bool
    stages: tuple[Ran, ...]


def enhance_volume(volume: Volume, stages: Sequence[Stage], progress: Progress | None = None) -> Enhanced:
    """Restore ``volume`` by the ``stages``, one or more; maps and samples are those of the last.

    Raises :class:`InputError` for axes that cannot be refined, and for options that do not belong together.
    """
    noise = noise_of(volume, stages[0].options)
    ran: list[Ran] = []
    current, bounds = volume, None
    for index, stage in enumerate(stages):
        if index:
            current = _volume(ran[-1].run.result.mean, current, ran[-1].axes)
        sigma = None if index else noise[0]
        one, bounds = _restored(current, stage, sigma, part_of(progress, index, len(stages)), index)
        ran.append(one)
    axes = tuple(chain.from_iterable(one.axes for one in ran))
    linear = all(one.options.degradation != "1.5t" for one in ran)
    _, affine = refined(current, ran[-1].axes)
    invented = _invented(composed(axes, volume.data.shape), volume, linear)
    estimate = with_maps(volume, affine, _joined(ran), bounds, noise, invented)
    return Enhanced(axes=axes, linear=linear, stages=tuple(ran), **vars(estimate))


def composed(axes: Sequence[SliceGeometry], measured: Sequence[int]) -> Separable:
    """The operator of all ``axes``, from the measurement of shape ``measured`` on; those of one axis multiplied."""
    matrices: dict[int, NDArray[np.float64]] = {}
    shape = list(measured)
    for g in axes:
        matrices[g.axis] = matrices[g.axis] @ g.matrix() if g.axis in matrices else g.matrix()
        shape[g.axis] = g.fine_count
    return Separable(matrices, tuple(shape))


def _restored(
    volume: Volume, stage: Stage, noise: float | None, progress: Progress | None, index: int
) -> tuple[Ran, Bounds | None]:
    options = stage.options
    axes = decimation(volume.data.shape, volume.spacing, stage.refinement(volume.spacing))
    _, affine = refined(volume, axes)
    dark = dark_value(volume.data)
    y = torch.from_numpy(from_dark(volume.data, dark))[None]
    measurement = Measurement(Separable.from_axes(axes, volume.data.shape), y, noise, affine)
    run = run_method("enhance", measurement, options, progress, index, {"degradation": options.degradation})
    linear = options.degradation != "1.5t"
    begin = projected_cubic if linear else plain_cubic
    result, bounds = mixed(run.result, measurement, options.strength, begin, "enhance")
    if not index:  # what a stage before has made is no scan
        given = replace(measurement, y=y + dark)  # no scan of the training data goes below zero
        notes, doubts = unfamiliar_voxels(given, options)
        result = replace(result, notes={**result.notes, **notes}, warnings=(*result.warnings, *doubts))
    result, bounds = lifted(result, bounds, dark)
    image = result.mean.detach().cpu().float().numpy()
    residual = axes_residual(axes, image, volume.data)[0] if linear else None
    return Ran(stage.name, options, axes, replace(run, result=result), residual), bounds


def _joined(ran: Sequence[Ran]) -> Run:
    """The last run, with the time, calls and warnings of all; of a cascade, the settings stand with the stages."""
    last = ran[-1].run
    if len(ran) == 1:
        return last
    told = chain.from_iterable((f"stage {one.name}: {text}" for text in one.run.result.warnings) for one in ran)
    # What was measured of a stage's intervals was for scans, not for what a stage before it had made.
    notes = {"stages": len(ran), **not_calibrated()}
    result = replace(last.result, calls=sum(one.run.result.calls for one in ran), warnings=tuple(told), notes=notes)
    return Run(result, sum(one.run.seconds for one in ran))


def _invented(operator: Separable, volume: Volume, linear: bool) -> Callable[[Tensor], Tensor]:
    if linear:
        return unseen(operator)
    return lambda x: x - pinv(operator, _tensor(volume), x[None])[0]


def _tensor(volume: Volume) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(volume.data).copy())[None]


def _volume(mean: Tensor, measured: Volume, axes: Sequence[SliceGeometry]) -> Volume:
    """A stage's estimate as the next one's input."""
    _, affine = refined(measured, axes)
    return Volume(mean.detach().cpu().float().numpy(), affine, measured.header, measured.source)
