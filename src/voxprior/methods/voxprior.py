"""The default method: a mean estimate or posterior samples under the slice prior, consistent with the measurement."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from voxprior.diffusion.noise import Noise
from voxprior.diffusion.sample import PREVIOUS, start
from voxprior.diffusion.schedule import alternating, dpm_2m, karras, schedule
from voxprior.errors import InputError
from voxprior.guidance.proximal import noise_std, posterior_variance, proximal
from voxprior.methods.result import Progress, Result
from voxprior.methods.walks import draw, precision
from voxprior.operators.base import Measurement
from voxprior.operators.separable import EXACT_CONDITION, Separable
from voxprior.priors.bound import BoundPrior
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.portion import FORWARD_BYTES, voxels_at_once
from voxprior.priors.student import DEFAULT as STUDENT
from voxprior.priors.student import one_call, student_of
from voxprior.priors.volume import VolumePrior
from voxprior.priors.volume_bound import BoundVolume
from voxprior.priors.weights import DEFAULT, Shelf, Weights
from voxprior.priors.widening import widenings

WARM_START = 10.0
"""First noise level of a run, in units of the expected error of the interpolated measurement."""
LAST_SIGMA = 0.05
"""Last noise level before zero, in the same units."""


class Settings(BaseModel):
    """Settings of the method.

    ``mode``: ``mean`` (one pass a plane), ``sample`` (posterior samples of ``steps`` calls each) or ``one-step`` (one
    call of a distilled network a sample). ``samples``: how many. ``memory``: megabytes for one network call.
    ``weights``: bundled name, file or ``hf://``; by default those of the mode. ``snapshots``: keep a picture every so
    many network calls of the first sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    for_samples: ClassVar[tuple[str, ...]] = ("steps", "samples", "snapshots")

    mode: Literal["mean", "sample", "one-step"] = "mean"
    steps: int = Field(default=20, ge=2, le=100_000)
    samples: int = Field(default=1, ge=1, le=64)
    weights: str | None = None
    precision: Literal["float32", "bf16"] = "float32"
    memory: int | None = Field(default=None, ge=64)
    snapshots: int | None = Field(default=None, ge=1)
    device: str = "cpu"


class Voxprior:
    """Slice prior, proximal guidance, exact projection."""

    name = "voxprior"
    Options: ClassVar[type[BaseModel]] = Settings
    citation = "Voxprior: this package."

    def __init__(self) -> None:
        self.shelf = Shelf(SlicePrior)
        self.students = Shelf(VolumePrior)

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Restore the volume behind one slice stack; raises :class:`InputError` for other measurements."""
        operator = measurement.operator
        if not isinstance(operator, Separable) or operator.slices is None or measurement.affine is None:
            raise InputError("method voxprior restores slice stacks; give thick slices, or another --method")
        moved = _moved(measurement, options.device)
        weights: Weights[SlicePrior] | Weights[VolumePrior]
        if options.mode == "one-step":
            weights = self.students(options.weights or STUDENT, options.device)
            with precision(options):
                result = one_step(weights, moved, measurement, options, rng, progress)
        else:
            weights = self.shelf(options.weights or DEFAULT, options.device)
            bound = BoundPrior(weights.prior, moved, voxels_at_once(options.memory, FORWARD_BYTES))
            with precision(options):
                run = self._mean if options.mode == "mean" else self._sample
                result = run(bound, measurement, options, rng, progress)
        exact = operator.condition < EXACT_CONDITION
        warning = () if exact else (
            f"the slices overlap too much for an exact fit (condition {operator.condition:.3g}): "
            "the result explains them to within their noise",
        )
        return Result(
            **{**result, "weights": {"name": weights.name, "sha256": weights.sha256}, "warnings": warning},
            notes={"mode": options.mode, "projection": "exact" if exact else "proximal"},
            widenings=widenings(weights.card, weights.sha256),
        )

    def _mean(
        self, bound: BoundPrior, measurement: Measurement, options: Settings, rng: Noise, progress: Progress | None
    ) -> dict[str, Any]:
        mean, std, calls = bound.mean(progress)
        restored = consistent(bound.leave(mean).cpu(), measurement)
        return {"mean": restored[0], "std": (bound.leave(std).cpu()[0]), "calls": calls}

    def _sample(
        self, bound: BoundPrior, measurement: Measurement, options: Settings, rng: Noise, progress: Progress | None
    ) -> dict[str, Any]:
        spread = bound.way.residual
        priors = [bound.denoiser(normal) for normal in bound.normals]
        # Second order in 20 calls keeps the spread of the samples, where renoising loses a tenth of it; that the solver
        # looks back at the other plane costs nothing measurable beside averaging both planes at twice the calls.
        grid = karras(options.steps, WARM_START * spread, LAST_SIGMA * spread)
        steps = schedule(grid, dpm_2m, alternating(len(priors)))
        guided = proximal(priors, bound.measurement, spread)
        drawn = draw(
            guided,
            steps,
            lambda process: start(bound.m, steps, process, rng),
            lambda state: consistent(bound.leave(state.memory[PREVIOUS]).cpu(), measurement)[0],
            options,
            rng,
            progress,
            bound.leave,
        )
        stack, calls = drawn.samples, drawn.calls
        if len(stack) > 1:
            std = stack.std(dim=0, correction=1)
        else:  # one sample has no spread of its own: the variance head gives it, for a pass a plane
            _, predicted, extra = bound.mean()
            std, calls = bound.leave(predicted).cpu()[0], calls + extra
        return {"mean": stack.mean(0), "std": std, "samples": stack, "calls": calls, "snapshots": drawn.snapshots}


def one_step(
    weights: Weights[VolumePrior],
    moved: Measurement,
    measurement: Measurement,
    options: Settings,
    rng: Noise,
    progress: Progress | None,
) -> dict[str, Any]:
    """Samples of a student, one call each, then the exact projection; ``moved``: the measurement on the device.

    Raises :class:`InputError` for weights that are no student.
    """
    student, bound = student_of(weights), BoundVolume(weights.prior, moved, memory=options.memory)
    samples, std = [], torch.zeros(())
    for k in range(options.samples):
        field = rng(k, -1, tuple(bound.m.shape[1:]))[None].to(bound.m)
        with torch.no_grad():
            found, spread = one_call(bound, student, field)
        samples.append(consistent(bound.leave(found).cpu(), measurement)[0])
        std = std + bound.spread(spread).cpu()[0] / options.samples
        if progress is not None:
            progress(k + 1, options.samples)
    stack = torch.stack(samples)
    kept = {"samples": stack} if options.samples > 1 else {}
    return {"mean": stack.mean(0), "std": std, "calls": options.samples, **kept}


def consistent(x: Tensor, measurement: Measurement) -> Tensor:
    """The nearest image that explains the slices: exactly, or to within their noise where they overlap too much."""
    operator = measurement.operator
    lam = 0.0
    if isinstance(operator, Separable) and operator.condition >= EXACT_CONDITION:
        scale = float(x.abs().mean()) or 1.0
        lam = max(noise_std(measurement), 1e-3 * scale) ** 2 / posterior_variance(scale, 0.1 * scale)
    return operator.prox(x, measurement.y, lam)


def _moved(measurement: Measurement, device: str) -> Measurement:
    return Measurement(measurement.operator, measurement.y.to(device), measurement.sigma, measurement.affine)


voxprior = Voxprior()
Options = Settings
