"""Inputs of the jobs that restore volumes, as thick slices or coarse voxels, and a prior bound to them as they do."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from voxprior.evaluate.directions import array_axis
from voxprior.evaluate.manifest import checked
from voxprior.evaluate.ood.inputs import AGAIN, Case
from voxprior.evaluate.ood.spoil import SPOILT
from voxprior.io.background import estimate_background_noise
from voxprior.io.nifti import read_volume
from voxprior.jobs.enhance import enhance_volume
from voxprior.jobs.enhance_simulate import simulate as simulate_voxels
from voxprior.jobs.options import EnhanceOptions, SrOptions
from voxprior.jobs.simulate import simulate
from voxprior.jobs.slices import understand
from voxprior.jobs.sr import restore_slices
from voxprior.jobs.stages import Stage
from voxprior.operators.base import Measurement
from voxprior.operators.decimation import decimation, refined
from voxprior.operators.separable import Separable
from voxprior.priors.bound import BoundPrior
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.grid import BoundGrid
from voxprior.volume import Volume, fine_affine

RESTORED, REFINED = 5, 2
"""Factors of what was restored before, by slices and by voxels."""


def thick(data: Path, case: Case) -> tuple[Volume, SrOptions]:
    """The thick slices of ``case``, and the options that tell how they are."""
    volume, axes = _read(data, case)
    axis = axes[0] if axes else 2
    if case.kind != AGAIN:
        return _thick(_spoilt(volume, case), axis, case.factor)
    slices, options = _thick(volume, axis, RESTORED)
    again = restore_slices(slices, options).image
    again = Volume(again.data, again.affine)
    return again, SrOptions(axis="ijk"[axis], spacing=again.spacing[axis] / case.factor)


def bind_slices(volume: Volume, options: SrOptions, prior: SlicePrior) -> BoundPrior:
    """The prior on ``volume`` as the job ``sr`` binds it."""
    g = understand(volume, options)
    operator = Separable.from_slices(g, volume.data.shape)
    noise = estimate_background_noise(volume.data)
    return BoundPrior(prior, Measurement(operator, _tensor(volume), noise, fine_affine(volume.affine, g)))


def coarse(data: Path, case: Case) -> tuple[Volume, Stage]:
    """The coarse voxels of ``case``, and the stage that would refine them."""
    volume, axes = _read(data, case)
    asked = _stage(axes, case.factor, case.degraded)
    if case.kind == AGAIN:
        return _refined_before(data, replace(case, factor=REFINED, degraded="box")), asked
    return simulate_voxels(_spoilt(volume, case), (asked,)).measurement, asked


@lru_cache(maxsize=1)
def _refined_before(data: Path, case: Case) -> Volume:
    """The result of an earlier restoration of voxels that were coarse."""
    volume, axes = _read(data, case)
    made = simulate_voxels(volume, (_stage(axes, case.factor, case.degraded),))
    again = enhance_volume(made.measurement, made.stages).image
    return Volume(again.data, again.affine)


def _stage(axes: list[int], factor: float, degradation: str) -> Stage:
    names = "".join("ijk"[a] for a in sorted(axes))
    return Stage("", EnhanceOptions.model_validate({"axes": names, "factor": factor, "degradation": degradation}))


def bind_voxels(volume: Volume, stage: Stage, prior: SlicePrior) -> BoundGrid:
    """The prior on ``volume`` as the job ``enhance`` binds it."""
    axes = decimation(volume.data.shape, volume.spacing, stage.refinement(volume.spacing))
    operator = Separable.from_axes(axes, volume.data.shape)
    noise = estimate_background_noise(volume.data)
    measurement = Measurement(operator, _tensor(volume), noise, refined(volume, axes)[1])
    return BoundGrid(prior, measurement, stage.options.degradation)


def _read(data: Path, case: Case) -> tuple[Volume, list[int]]:
    """The volume of ``case``, or the block from its middle, and the array axes of its directions."""
    whole = read_volume(checked(data, case.file, case.sha256))
    axes = [array_axis(whole, direction) for direction in case.direction.split()]
    return _middle(whole, case.block), axes


def _spoilt(volume: Volume, case: Case) -> Volume:
    return SPOILT[case.kind](volume) if case.kind in SPOILT else volume


def _middle(volume: Volume, edge: int) -> Volume:
    if not edge:
        return Volume(volume.data, volume.affine, {}, volume.source)
    window = tuple(slice(max(0, (n - edge) // 2), max(0, (n - edge) // 2) + edge) for n in volume.data.shape)
    return Volume(volume.data[window], volume.affine, {}, volume.source)


def _thick(volume: Volume, axis: int, factor: float) -> tuple[Volume, SrOptions]:
    made = simulate(volume, SrOptions(axis="ijk"[axis]), factor)
    return made.measurement, made.options


def _tensor(volume: Volume) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(volume.data).copy())[None]
