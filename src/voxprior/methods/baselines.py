"""What any tool could do without a prior: interpolation between slices, or coarse voxels, at their right places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from voxprior.diffusion.noise import Noise
from voxprior.errors import InputError
from voxprior.methods.result import Progress, Result
from voxprior.operators.base import Measurement
from voxprior.operators.profiles import interpolation_matrix
from voxprior.operators.separable import Separable, along
from voxprior.volume import SliceGeometry


class NoOptions(BaseModel):
    """A baseline has nothing to set."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Interpolation:
    """Spline of ``order`` through the slice centres, read at the fine centres; the outer slices are held at the ends.

    Of a volume that is coarse along several axes, along one after the other: cubic along two is bicubic.
    """

    name: str
    order: int
    citation: str
    Options: type[BaseModel] = NoOptions

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Interpolate ``measurement.y`` (1, i, j, k) to the fine grid, in its units; nothing is random.

        Raises :class:`InputError` when the operator is not a stack of slices, nor coarse along known axes.
        """
        mean = measurement.y
        for g in coarse_axes(measurement, self.name):
            mean = along(mean, interpolation_matrix(g, self.order), g.axis)
        if progress is not None:
            progress(1, 1)
        return Result(mean[0].contiguous())


@dataclass(frozen=True)
class Projected:
    """``base``, then the nearest image that explains the measurement exactly: ``A.prox(x, y, 0)``."""

    name: str
    base: Interpolation
    citation: str
    Options: type[BaseModel] = NoOptions

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Interpolate, then project; shapes, units and errors as :meth:`Interpolation.__call__`."""
        start = self.base(measurement, options, rng, progress).mean
        with torch.no_grad():
            return Result(measurement.operator.prox(start[None], measurement.y, 0.0)[0].contiguous())


def coarse_axes(measurement: Measurement, name: str) -> tuple[SliceGeometry, ...]:
    """What is coarse in one measured volume, an axis each; raises :class:`InputError` for any other measurement."""
    operator = measurement.operator
    axes = operator.axes if isinstance(operator, Separable) else ()
    if not isinstance(operator, Separable) or not axes or [g.axis for g in axes] != list(operator.matrices):
        raise InputError(f"--method {name} needs slices, or known coarse axes; choose another method for this job")
    if measurement.y.shape[0] != 1:
        raise InputError(f"--method {name} takes one scan, not {measurement.y.shape[0]}; restore them one by one")
    return axes


_UNSER = "Unser, Splines: a perfect fit for signal and image processing, IEEE Signal Processing Magazine, 1999"

nearest = Interpolation("nearest", 0, "each fine voxel takes the slice whose centre is closest")
linear = Interpolation("linear", 1, "linear interpolation between slice centres")
cubic = Interpolation("cubic", 3, _UNSER)
cubic_projected = Projected("cubic-projected", cubic, _UNSER + "; then the projection onto the measurement")
