"""A fine volume is made coarse, so that what a method restores can be compared with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.jobs.stages import Stage
from voxprior.operators.decimation import coarse_affine, coarsened, decimate
from voxprior.operators.field import simulate_field
from voxprior.priors.intensity import intensity_scale
from voxprior.volume import SliceGeometry, Volume


@dataclass(frozen=True, eq=False)
class Simulated:
    """A coarse measurement, the truth on the grid that it will be restored to, and the stages that do so."""

    measurement: Volume
    truth: Volume
    stages: tuple[Stage, ...]


def simulate(fine: Volume, stages: Sequence[Stage], seed: int = 0) -> Simulated:
    """Measure ``fine`` as the last of ``stages`` takes for granted, that as the one before does, and so on.

    The truth is ``fine`` cropped to what the coarse voxels cover. Axes that are found from the spacing are those of
    ``fine``; of several stages each must name its own. Raises :class:`InputError` when it does not, and when fewer
    than two coarse voxels fit.
    """
    if len(stages) > 1 and any(stage.options.axes == "auto" for stage in stages):
        raise InputError("--simulate needs the axes of every stage; name them in the file of --config")
    refinements = [stage.refinement(fine.spacing) for stage in stages]
    truth, geometries = coarsened(fine, refinements)
    scale = intensity_scale(truth.data)
    data: NDArray[Any] = truth.data
    for number, (stage, axes) in reversed(list(enumerate(zip(stages, geometries, strict=True)))):
        data = _measured(data, stage, axes, scale, (seed, number))
    named = tuple(
        Stage(stage.name, stage.options.model_copy(update={"axes": "".join("ijk"[a] for a in r.axes)}))
        for stage, r in zip(stages, refinements, strict=True)
    )
    affine = coarse_affine(truth.affine, geometries)
    return Simulated(Volume(data.astype(np.float32), affine, truth.header, truth.source), truth, named)


def _measured(
    data: NDArray[Any], stage: Stage, axes: tuple[SliceGeometry, ...], scale: float, key: tuple[int, int]
) -> NDArray[Any]:
    if stage.options.degradation != "1.5t":
        return decimate(data, axes)
    from voxprior.diffusion.noise import generator  # brings torch, which a mistake in the request should not wait for

    found = simulate_field(data / scale, generator(*key, "field"), measure=partial(decimate, axes=axes))
    return scale * found
