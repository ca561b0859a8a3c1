"""OS-DDPM: a conditional 3-D diffusion of 1000 steps, and the student that was distilled from it to restore in one.

Equations and numbers are the published ones. What is mended, and why, stands in docs/methods/os-ddpm.md: one field of
noise for the whole volume, slabs that overlap and are blended, any size, factor and profile, intensities by the
measurement alone, and iterative sampling that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from voxprior.diffusion.noise import Noise
from voxprior.diffusion.path import Ddpm
from voxprior.diffusion.sample import PREVIOUS, State, start
from voxprior.diffusion.schedule import Solver, Step, euler, fixed_large, heun, schedule
from voxprior.errors import InputError
from voxprior.guidance.proximal import unguided
from voxprior.methods.result import Progress, Result
from voxprior.methods.voxprior import consistent
from voxprior.methods.walks import draw, precision
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.tiles import Tiles
from voxprior.priors.volume import VolumePrior
from voxprior.priors.volume_bound import BoundVolume
from voxprior.priors.weights import Shelf, Weights

STUDENT, TEACHER = "head-os-ddpm", "head-volume"
"""Weights for one step, and for more, unless said otherwise."""
PATH = Ddpm()
"""The published process: linear beta from .0001 to .02, T = 1000."""
Sampler = Literal["ancestral", "ddim", "heun"]
SAMPLERS: Mapping[str, Solver] = MappingProxyType({"ancestral": fixed_large, "ddim": euler, "heun": heun})
"""Solvers by the name of ``sampler``."""


class Settings(BaseModel):
    """Settings of the method.

    ``steps``: noise levels; 1 (the default): one call of the distilled student, else the teacher's iterative sampling
    at so many of the 1000 times, evenly. ``sampler``: ``ancestral`` with the published variance, beta of the step;
    ``ddim``; ``heun``, two calls a level but the last. ``weights``: a volume prior; by default ``head-os-ddpm`` for
    one step and ``head-volume`` for more. ``project``: ``none`` as published, ``exact`` onto the slices, which is ours.
    ``slab``: fine slices of one network call, whole thick slices (published: 8), by default what the weights say;
    ``overlap``: fine slices that neighbouring slabs share, half a slab by default. ``samples``: how many.
    ``memory``: megabytes for one network call. ``snapshots``: keep a picture every so many network calls.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=1, ge=1, le=1000)
    sampler: Sampler = "ancestral"
    samples: int = Field(default=1, ge=1, le=64)
    weights: str | None = None
    project: Literal["none", "exact"] = "none"
    slab: int | None = Field(default=None, ge=1)
    overlap: int | None = Field(default=None, ge=0)
    precision: Literal["float32", "bf16"] = "float32"
    memory: int | None = Field(default=None, ge=64)
    snapshots: int | None = Field(default=None, ge=1)
    device: str = "cpu"


def rows(steps: int, sampler: Sampler, top: float) -> tuple[Step, ...]:
    """The rows of a run; ``top``: noise level of the student's one call, the others begin at T.

    Fewer steps than 1000 keep as many times, evenly and with both ends; beta is then that of the jumps between them.
    """
    if steps == 1:
        return schedule((top, 0.0), euler)
    last = PATH.steps - 1
    times = [round(i * last / (steps - 1)) for i in reversed(range(steps))]
    return schedule((*(PATH.sigma(t) for t in times), 0.0), SAMPLERS[sampler])


def slabs(tiles: Tiles, slab: int | None, overlap: int | None) -> Tiles:
    """``tiles`` with slabs of so many fine slices; raises :class:`InputError` where they are no whole thick slices."""
    cell = tiles.step[0]
    for name, value in (("slab", slab), ("overlap", overlap)):
        if value is not None and value % cell:
            raise InputError(f"--{name} {value}: thick slices are restored as {cell} fine ones here; give a multiple")
    size = tiles.size[0] if slab is None else slab
    if overlap is None:
        overlap = tiles.overlap[0] if slab is None else size // 2 // cell * cell
    if overlap > size // 2:
        raise InputError(f"--overlap {overlap} is more than half of a slab of {size} fine slices; give less")
    return replace(tiles, size=(size, *tiles.size[1:]), overlap=(overlap, *tiles.overlap[1:]))


class OsDdpm:
    """Conditional volume prior from noise to image, in one step or in many; the measurement is told, not enforced."""

    name = "os-ddpm"
    Options: ClassVar[type[BaseModel]] = Settings
    citation = (
        "OS-DDPM: One-step denoising diffusion probabilistic model for 3D MRI super-resolution, MICCAI, "
        "https://github.com/yanaynghui1998/OS-DDPM"
    )

    def __init__(self, shelf: Callable[[str, str], Weights[VolumePrior]] | None = None) -> None:
        self.shelf = shelf or Shelf(VolumePrior)

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Restore the volume behind thick slices; raises :class:`InputError` for other measurements."""
        operator = measurement.operator
        if not isinstance(operator, Separable) or not operator.axes or measurement.affine is None:
            raise InputError("method os-ddpm restores thick slices; give a stack of them, or another --method")
        weights = self.shelf(options.weights or (STUDENT if options.steps == 1 else TEACHER), options.device)
        if options.steps == 1 and weights.card.get("student", {}).get("start", "noise") != "noise":
            raise InputError(f"{weights.name}: its one step is not from noise: give --mode one-step, or other weights")
        moved = Measurement(operator, measurement.y.to(options.device), measurement.sigma, measurement.affine)
        bound = BoundVolume(weights.prior, moved, memory=options.memory)
        bound.tiles = slabs(bound.tiles, options.slab, options.overlap)
        # The student answers where it was trained to: at the top of the path, or of its own range if that is lower.
        steps = rows(options.steps, options.sampler, min(PATH.sigma(PATH.steps - 1), weights.prior.config.sigma_max))

        def finish(state: State) -> Tensor:
            restored = bound.leave(state.memory[PREVIOUS]).cpu()
            return restored[0] if options.project == "none" else consistent(restored, measurement)[0]

        with precision(options):
            drawn = draw(
                unguided([bound.denoiser()]),
                steps,
                lambda process: start(torch.zeros_like(bound.m), steps, process, rng),
                finish,
                options,
                rng,
                progress,
                bound.leave,
            )
        stack = drawn.samples
        return Result(
            stack.mean(0),
            stack.std(dim=0, correction=1) if len(stack) > 1 else None,
            stack,
            calls=drawn.calls,
            weights={"name": weights.name, "sha256": weights.sha256},
            notes={"slab": bound.tiles.size[0], "overlap": bound.tiles.overlap[0]},
            snapshots=drawn.snapshots,
        )


os_ddpm = OsDdpm()
