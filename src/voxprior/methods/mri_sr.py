"""MRI-Super-Resolution: a conditional diffusion of cosine products, sampled by its posterior (METHODS 4.3 and 4.4).

Equations and numbers are the published ones. What is mended: mean and variance of the reverse step are those of the
posterior, with the terminal variance v; only the levels that carry the image are walked, as the published product of
cosines is noise alone from a quarter of its steps on; the walk begins with noise of the level that the network is told;
nothing is clamped or rounded on the way; one noise field belongs to the whole volume; and every axis that is coarse is
restored, for volumes of any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.noise import Noise
from voxprior.diffusion.path import CosineProduct, levels
from voxprior.diffusion.sample import PREVIOUS, start
from voxprior.diffusion.schedule import Step, ddim, schedule
from voxprior.errors import InputError
from voxprior.guidance.proximal import unguided
from voxprior.methods.enhance import DEFAULT, explained
from voxprior.methods.result import Progress, Result
from voxprior.methods.walks import draw, precision
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.grid import BoundGrid
from voxprior.priors.planes import averaged
from voxprior.priors.portion import FORWARD_BYTES, voxels_at_once
from voxprior.priors.volume import VolumePrior
from voxprior.priors.volume_bound import BoundVolume
from voxprior.priors.weights import Shelf

V = 0.3
"""Variance at the end of the process, of images on the intensity scale of the priors, whose own is about as large."""
SIGMA_MAX = 80.0
"""Noise level, in units of the clean image, up to which the process is walked."""
VOLUME_WEIGHTS = "head-volume"
"""Weights of the 3-D network unless said otherwise."""


class Settings(BaseModel):
    """The published knobs.

    ``table``: number T of steps of the process. ``steps``: so many of its noise levels, even in time; None: each of
    those below sigma = 80. ``network``: three 2-D networks, one a direction of slices, with a third of the weight each,
    or one 3-D network. ``project``: ``none`` as published, ``exact`` onto the measured voxels, which is ours.
    ``degradation``: what made the voxels coarse.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: int = Field(default=1000, ge=20, le=100_000)
    steps: int | None = Field(default=None, ge=2, le=100_000)
    samples: int = Field(default=1, ge=1, le=64)
    network: Literal["planes", "volume"] = "planes"
    project: Literal["none", "exact"] = "none"
    degradation: Literal["box", "kspace", "1.5t"] = "box"
    weights: str | None = None
    precision: Literal["float32", "bf16"] = "float32"
    memory: int | None = Field(default=None, ge=64)
    snapshots: int | None = Field(default=None, ge=1)
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Conditional:
    """A denoiser that is told the measurement, of images like ``like`` (1, *space).

    ``leave``: brings such images to input units and the grid that was asked for. ``networks``: calls of one D.
    ``weights``: name and sha256.
    """

    denoiser: Denoiser
    like: Tensor
    leave: Callable[[Tensor], Tensor]
    networks: int = 1
    weights: dict[str, str] | None = None


def rows(table: int, steps: int | None) -> tuple[Step, ...]:
    """Ancestral steps over the levels of the process that carry the image, falling; with ``table`` = 1000, t = 228..1.

    In units of x_t a row is ``x_(t-1) = [sqrt(abar') (1 - alpha) x0 + sqrt(alpha) (1 - abar') x_t] / (1 - abar)`` with
    noise of variance ``v (1 - alpha) (1 - abar') / (1 - abar)``, ``alpha = abar / abar'``; see METHODS 4.4.
    """
    path = CosineProduct(V, table)
    last = math.floor(path.t(SIGMA_MAX))
    count = last if steps is None else steps
    return schedule(levels(path, count, path.sigma(last), path.sigma(1)), ddim(1.0))


class MriSr:
    """Ancestral sampling of the cosine product; ``condition`` None: the bundled networks."""

    name = "mri-sr"
    Options: ClassVar[type[BaseModel]] = Settings
    citation = (
        "Chiche, Corcos and Rouge, Comparative analysis of 3D convolutional and 2.5D slice-conditioned U-Net "
        "architectures for MRI super-resolution via elucidated diffusion models, arXiv 2603.14667, 2026; its first "
        "generation: https://github.com/chichonnade/MRI-Super-Resolution"
    )

    def __init__(self, condition: Callable[[Measurement, Settings], Conditional] | None = None) -> None:
        self._condition = condition
        self._slices, self._volumes = Shelf(SlicePrior), Shelf(VolumePrior)

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Restore the fine volume behind a coarse one; raises :class:`InputError` for other measurements."""
        operator = measurement.operator
        if not isinstance(operator, Separable) or not operator.axes or measurement.affine is None:
            raise InputError("method mri-sr refines volumes along known axes; give one, or another --method")
        moved = Measurement(operator, measurement.y.to(options.device), measurement.sigma, measurement.affine)
        told = self._bundled(moved, options) if self._condition is None else self._condition(moved, options)
        steps = rows(options.table, options.steps)
        project = options.project == "exact"

        def finished(x: Tensor) -> Tensor:
            image = told.leave(x).cpu()
            return explained(image, measurement, options.degradation)[0] if project else image[0]

        with precision(options):
            drawn = draw(
                unguided((told.denoiser,)),
                steps,
                lambda process: start(torch.zeros_like(told.like), steps, process, rng),
                lambda state: finished(state.memory[PREVIOUS]),
                options,
                rng,
                progress,
                told.leave,
            )
        stack = drawn.samples
        return Result(
            stack.mean(0),
            stack.std(dim=0, correction=1) if len(stack) > 1 else None,
            stack,
            calls=drawn.calls * told.networks,
            weights=told.weights,
            notes={"levels": len(steps), "first_sigma": round(steps[0].sigma, 3)},
            snapshots=drawn.snapshots,
        )

    def _bundled(self, measurement: Measurement, options: Settings) -> Conditional:
        if options.network == "volume":
            whole = self._volumes(options.weights or VOLUME_WEIGHTS, options.device)
            volume = BoundVolume(whole.prior, measurement, options.degradation)
            used = {"name": whole.name, "sha256": whole.sha256}
            return Conditional(volume.denoiser(), volume.m, volume.leave, 1, used)
        weights = self._slices(options.weights or DEFAULT, options.device)
        voxels = voxels_at_once(options.memory, FORWARD_BYTES)
        bound = BoundGrid(weights.prior, measurement, options.degradation, voxels)
        denoisers = [bound.denoiser(plane) for plane in bound.planes("three")]
        used = {"name": weights.name, "sha256": weights.sha256}
        return Conditional(averaged(denoisers), bound.m, bound.leave, len(denoisers), used)


mri_sr = MriSr()
Options = Settings
