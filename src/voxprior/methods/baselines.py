"""What any tool could do without a prior: interpolation between slices at their right places."""

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
    """Spline of ``order`` through the slice centres, read at the fine centres; the outer slices are held at
    the ends.
    """

    name: str
    order: int
    citation: str
    Options: type[BaseModel] = NoOptions

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Interpolate ``measurement.y`` (1, i, j, k) to the fine grid, in its units; nothing is random.

        Raises :class:`InputError` when the operator is not a stack of slices along one axis.
        """
        slices = slice_stack(measurement, self.name)
        mean = along(measurement.y, interpolation_matrix(slices, self.order), slices.axis)
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


def slice_stack(measurement: Measurement, name: str) -> SliceGeometry:
    """The geometry of one stack of slices; raises :class:`InputError` for any other measurement."""
    operator = measurement.operator
    slices = operator.slices if isinstance(operator, Separable) else None
    if not isinstance(operator, Separable) or slices is None or set(operator.matrices) != {slices.axis}:
        raise InputError(f"--method {name} needs slices along one axis; choose another method for this job")
    if measurement.y.shape[0] != 1:
        raise InputError(f"--method {name} takes one scan, not {measurement.y.shape[0]}; restore them one by one")
    return slices


_UNSER = "Unser, Splines: a perfect fit for signal and image processing, IEEE Signal Processing Magazine, 1999"

nearest = Interpolation("nearest", 0, "each fine voxel takes the slice whose centre is closest")
linear = Interpolation("linear", 1, "linear interpolation between slice centres")
cubic = Interpolation("cubic", 3, _UNSER)
cubic_projected = Projected("cubic-projected", cubic, _UNSER + "; then the projection onto the measurement")
