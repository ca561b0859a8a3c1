"""What any tool could do with X-ray views without a learned prior: back-projection, least squares, total variation."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from voxprior.diffusion.noise import Noise
from voxprior.errors import InputError
from voxprior.guidance.proximal import noise_std
from voxprior.methods.result import Progress, Result
from voxprior.methods.total_variation import total_variation
from voxprior.operators.backprojection import Filter, filtered_backprojection
from voxprior.operators.base import Measurement
from voxprior.operators.tomography import Tomography

UNKNOWN_NOISE = 1e-3
"""Noise std of a line integral that total variation assumes when it is not known, as a part of the largest."""
COUPLING = 0.5
"""Of the two halves of total variation, as a part of the median curvature of the data term."""
INNER_ITERATIONS = 8
"""Of conjugate gradients, from where they ended before, in each half that fits the data."""


class FbpSettings(BaseModel):
    """``filter``: ram-lak is the sharpest; hann leaves the least of the streaks and the noise of few views."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filter: Filter = "hann"


class CglsSettings(BaseModel):
    """``iterations``: at most so many; fewer where the number of photons tells the noise, and it is reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iterations: int = Field(default=60, ge=1, le=10_000)
    device: str = "cpu"


class TvSettings(BaseModel):
    """``strength``: of the total variation, in units of the noise of a voxel's gradient. ``iterations``: of ADMM."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strength: float = Field(default=0.4, gt=0)
    iterations: int = Field(default=24, ge=1, le=10_000)
    device: str = "cpu"


class FilteredBackprojection:
    """Filtered back-projection, see :func:`filtered_backprojection`."""

    name = "fbp"
    Options: ClassVar[type[BaseModel]] = FbpSettings
    citation = "Kak and Slaney, Principles of computerized tomographic imaging, IEEE Press, 1988"

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Image (*space), 1/mm, of ``measurement.y`` (1, *data); :class:`InputError` for what are no X-ray views."""
        operator = projections(measurement, self.name)
        mean = backprojected(measurement, operator, options.filter)
        if progress is not None:
            progress(1, 1)
        return Result(mean[0].contiguous(), notes={"filter": options.filter})


class Cgls:
    """Conjugate gradients on ``|A x - y|^2`` from zero, stopped early: at the noise of the data, if it is known."""

    name = "cgls"
    Options: ClassVar[type[BaseModel]] = CglsSettings
    citation = "Bjorck, Numerical methods for least squares problems, SIAM, 1996; stopped by Morozov's principle"

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Image (*space), 1/mm, of ``measurement.y`` (1, *data); :class:`InputError` for what are no X-ray views."""
        operator = projections(measurement, self.name)
        y = measurement.y.to(options.device)
        goal = noise_std(measurement) ** 2 * math.prod(operator.data_shape[-2:])
        axes = tuple(a + 1 for a in range(len(operator.shape)) if a != operator.axis)

        def energy(a: Tensor) -> Tensor:
            """Of each slice, with axes of length 1 for the others."""
            return a.square().sum((-2, -1) if a.shape == y.shape else axes, keepdim=True)

        def along(a: Tensor) -> Tensor:
            """The energies of sinograms in the place of those of images."""
            return a if operator.axis is None else a.movedim(1, operator.axis + 1)

        tiny = torch.finfo(y.dtype).tiny
        residual, gradient = y, operator.adjoint(y)
        x = torch.zeros_like(gradient)
        direction, slope = gradient, energy(gradient)
        done = 0
        for done in range(1, options.iterations + 1):
            active = along(energy(residual)) > goal
            if not bool(active.any()):
                done -= 1
                if progress is not None:
                    progress(options.iterations, options.iterations)
                break
            ahead = operator.apply(direction)
            step = torch.where(active, slope / along(energy(ahead)).clamp_min(tiny), 0)
            x = x + step * direction
            residual = residual - (step if operator.axis is None else step.movedim(operator.axis + 1, 1)) * ahead
            gradient = operator.adjoint(residual)
            new = energy(gradient)
            direction, slope = gradient + new / slope.clamp_min(tiny) * direction, new
            if progress is not None:
                progress(done, options.iterations)
        return Result(x[0].cpu().contiguous(), notes={"iterations": done})


class TomographyTv:
    """``argmin |A x - y|^2 / 2 + weight TV(x)`` over attenuations that are not negative, whitened data.

    The weight is ``strength`` times the std of the gradient of the data term that noise alone would give.
    """

    name = "tv"
    Options: ClassVar[type[BaseModel]] = TvSettings
    citation = "Sidky and Pan, Image reconstruction in circular cone-beam CT by total-variation minimization, PMB, 2008"

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Image (*space), 1/mm, of ``measurement.y`` (1, *data); :class:`InputError` for what are no X-ray views."""
        operator = projections(measurement, self.name)
        y = measurement.y.to(options.device)
        sigma = noise_std(measurement) or UNKNOWN_NOISE * float(y.abs().max())
        seen = torch.ones_like(y) if operator.weights is None else operator.weights.to(y).expand_as(y)
        curvature = float(operator.adjoint(seen).median()) * math.sqrt(math.prod(operator.geometry.pixel))
        weight, coupling = options.strength * sigma * math.sqrt(curvature), COUPLING * curvature
        start = backprojected(measurement, operator, "hann").clamp_min(0).to(y)
        inexact = operator.limited(INNER_ITERATIONS)
        scales = _scales(measurement, operator)
        axes = range(-len(scales), 0)
        mean = total_variation(inexact, y, start, weight, coupling, options.iterations, axes, scales, 0.0, progress)
        return Result(mean[0].cpu().contiguous(), notes={"strength": options.strength, "weight": weight})


def projections(measurement: Measurement, name: str) -> Tomography:
    """The operator of one scan's X-ray views; raises :class:`InputError` for any other measurement."""
    operator = measurement.operator
    if not isinstance(operator, Tomography):
        raise InputError(f"--method {name} needs X-ray views; choose another method for this job")
    if measurement.y.shape[0] != 1:
        raise InputError(f"--method {name} takes one scan, not {measurement.y.shape[0]}; restore them one by one")
    return operator


def backprojected(measurement: Measurement, operator: Tomography, filter: Filter) -> Tensor:
    """Filtered back-projection (1, *space) of the line integrals: the weights of the rays are taken off again."""
    y = measurement.y[0]
    if operator.weights is not None:
        weights = operator.weights.to(y)
        y = torch.where(weights > 0, y / weights.clamp_min(torch.finfo(y.dtype).tiny), 0)
    stack = filtered_backprojection(y if y.ndim == 3 else y[None], operator.geometry, filter)
    return stack if operator.axis is None else stack.movedim(0, operator.axis)[None]


def _scales(measurement: Measurement, operator: Tomography) -> tuple[float, ...]:
    """The finest spacing over that of each axis of the image."""
    spacing = list(operator.geometry.pixel)
    if operator.axis is not None:
        affine = measurement.affine
        between = max(spacing) if affine is None else float(np.linalg.norm(affine[:3, operator.axis]))
        spacing.insert(operator.axis, between)
    return tuple(min(spacing) / step for step in spacing)


fbp, cgls, tv = FilteredBackprojection(), Cgls(), TomographyTv()
