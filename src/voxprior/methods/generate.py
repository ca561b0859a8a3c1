"""New volumes from the slice prior alone: the three planes of the body in turn, from noise to image."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field

from voxprior.diffusion.noise import Noise
from voxprior.diffusion.sample import PREVIOUS, start
from voxprior.diffusion.schedule import alternating, ddim, log_uniform, schedule
from voxprior.guidance.proximal import unguided
from voxprior.methods.planes import normals
from voxprior.methods.result import Progress, Result
from voxprior.methods.walks import draw
from voxprior.operators.base import Measurement
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.plain import unconditional
from voxprior.priors.portion import FORWARD_BYTES, voxels_at_once
from voxprior.priors.weights import DEFAULT, Shelf

FIRST_SIGMA, LAST_SIGMA = 200.0, 0.01
"""First noise level, and the last before zero, on the priors' scale. How bright a volume is as a whole is decided far
above the trained levels, whose label is held there: from the highest of them volumes come out nearly black."""


class Settings(BaseModel):
    """Settings of the method.

    ``steps``: network calls a sample. ``samples``: how many. ``weights``: bundled name, file or ``hf://``. ``memory``:
    megabytes for one network call. ``snapshots``: keep a picture every so many calls.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=60, ge=3, le=1000)
    samples: int = Field(default=1, ge=1, le=64)
    weights: str = DEFAULT
    memory: int | None = Field(default=None, ge=64)
    snapshots: int | None = Field(default=None, ge=1)
    device: str = "cpu"


class Generate:
    """Slice prior on axial, coronal and sagittal slices in turn, ancestral sampling; intensities of 0 to about 1."""

    name = "voxprior"
    Options: ClassVar[type[BaseModel]] = Settings
    citation = "Voxprior: this package."

    def __init__(self) -> None:
        self._weights = Shelf(SlicePrior)

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Volumes on the grid of ``measurement``, whose data are not looked at."""
        weights = self._weights(options.weights, options.device)
        like = torch.zeros_like(measurement.operator.adjoint(measurement.y.to(options.device)))
        voxels = voxels_at_once(options.memory, FORWARD_BYTES)
        priors = [
            unconditional(weights.prior, tuple(like.shape[1:]), axis, measurement.affine, voxels=voxels)
            for axis in normals(measurement.affine).values()
        ]
        # Noise that is drawn anew on the way mends what one plane did against the others; the ODE would keep it.
        steps = schedule(log_uniform(options.steps, FIRST_SIGMA, LAST_SIGMA), ddim(1.0), alternating(3))
        drawn = draw(
            unguided(priors),
            steps,
            lambda process: start(like, steps, process, rng),
            lambda state: state.memory[PREVIOUS][0].cpu(),
            options,
            rng,
            progress,
        )
        return Result(
            drawn.samples.mean(0),
            samples=drawn.samples,
            calls=drawn.calls,
            weights={"name": weights.name, "sha256": weights.sha256},
            snapshots=drawn.snapshots,
        )


voxprior = Generate()
