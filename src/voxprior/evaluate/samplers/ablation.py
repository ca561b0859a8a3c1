"""The parts of a sampler of thick slices, each to be chosen for itself: prior, guidance, planes, start, and noise."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.noise import Noise
from voxprior.diffusion.process import Correlated, Process, White
from voxprior.diffusion.sample import PREVIOUS, Guided, sample, start
from voxprior.diffusion.schedule import Step, alternating, dpm_2m, karras, schedule
from voxprior.guidance.gradient import dps, pi_gdm
from voxprior.guidance.proximal import admm, proximal
from voxprior.methods.result import Progress, Result
from voxprior.operators.base import Measurement
from voxprior.operators.norm import largest_singular_value
from voxprior.priors.bound import BoundPrior
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.plain import unconditional
from voxprior.priors.weights import DEFAULT, Weights, load

LAST_SIGMA = 0.05
"""Last noise level before zero, in units of the expected error of the interpolated slices: that of the method."""
LEAST_NOISE = 1e-3
"""Noise std of the data that guidance is told, on the priors' scale: it divides by it, and the slices have none."""


class Settings(BaseModel):
    """``prior``: told of the slices, as the method's is, or of slices alone, so that guidance does all of the work.

    ``planes``: two hold the slice axis, the third is that of the thick slices. ``warm``: first noise level, in units of
    the expected error of the interpolated slices, about which the run then starts; None: noise alone. ``correlation``:
    of the noise of neighbouring slices of the first plane. ``weight``: of DPS, a length a slice in units of the image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prior: Literal["told", "alone"] = "alone"
    guidance: Literal["proximal", "dual", "pi-gdm", "dps"] = "proximal"
    planes: int = Field(default=2, ge=1, le=3)
    warm: float | None = Field(default=None, gt=0)
    correlation: float = Field(default=0.0, ge=0, lt=1)
    weight: float = Field(default=1.0, gt=0)
    steps: int = Field(default=20, ge=2)
    samples: int = Field(default=1, ge=1)
    weights: str = DEFAULT


class Assembled:
    """DPM-Solver++(2M) over the parts that the options name."""

    name = "assembled"
    Options: ClassVar[type[BaseModel]] = Settings
    citation = "Voxprior: this package."

    def __init__(self, weights: Weights[SlicePrior] | None = None) -> None:
        self._weights = weights

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Samples of the volume behind one slice stack with an affine."""
        weights = self._weights or load(options.weights)
        bound = BoundPrior(weights.prior, measurement)
        axes = (*bound.normals, bound.slices.axis)[: options.planes]
        priors = [_denoiser(bound, weights, measurement, axis, options.prior) for axis in axes]
        rows = _rows(bound, options, priors[0].sigma_range[1])
        guided = _guided(priors, bound, options, axes[0])
        point = torch.zeros_like(bound.m) if options.warm is None else bound.m
        found = []
        with torch.no_grad():
            for k in range(options.samples):
                noise: Process = Correlated(axes[0], options.correlation, k) if options.correlation else White(k)
                for state in sample(guided, start(point, rows, noise, rng), rows, noise, rng):
                    if progress is not None:
                        progress(k * len(rows) + state.index, options.samples * len(rows))
                found.append(bound.leave(state.memory[PREVIOUS])[0])
        stack = torch.stack(found)
        names = {"name": weights.name, "sha256": weights.sha256}
        return Result(stack.mean(0), samples=stack, calls=options.samples * len(rows), weights=names)


def _denoiser(
    bound: BoundPrior, weights: Weights[SlicePrior], measurement: Measurement, axis: int, prior: str
) -> Denoiser:
    """Of the slices normal to ``axis``, on the scale and in the order of ``bound``; thick slices are told nothing."""
    if prior == "told" and axis != bound.slices.axis:
        return bound.denoiser(axis)
    assert measurement.affine is not None
    affine = measurement.affine.copy()
    affine[:3, list(bound.frame.flips)] *= -1  # bound has turned the array into RAS order
    return unconditional(weights.prior, tuple(bound.m.shape[1:]), axis, affine)


def _rows(bound: BoundPrior, options: Settings, top: float) -> tuple[Step, ...]:
    spread = bound.way.residual
    first = top if options.warm is None else options.warm * spread
    return schedule(karras(options.steps, first, LAST_SIGMA * spread), dpm_2m, alternating(options.planes))


def _guided(priors: list[Denoiser], bound: BoundPrior, options: Settings, axis: int) -> Guided:
    measured = bound.measurement
    if options.guidance == "proximal":
        return proximal(priors, measured, bound.way.residual)
    if options.guidance == "dual":
        return admm(priors, Measurement(measured.operator, measured.y, LEAST_NOISE))
    if options.guidance == "pi-gdm":
        spread = bound.prior.config.image_std if options.prior == "alone" else bound.way.residual
        return pi_gdm(priors, Measurement(measured.operator, measured.y, LEAST_NOISE), spread)
    norm = largest_singular_value(measured.operator, bound.m)
    return dps(priors, measured, options.weight / norm, axis + 1)


assembled = Assembled()
