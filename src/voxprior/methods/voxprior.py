"""The default method: a mean estimate or posterior samples under the slice prior, consistent with the measurement."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

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
from voxprior.priors.bound import VOXELS_AT_ONCE, BoundPrior
from voxprior.priors.weights import DEFAULT, Shelf

WARM_START = 10.0
"""First noise level of a run, in units of the expected error of the interpolated measurement."""
LAST_SIGMA = 0.05
"""Last noise level before zero, in the same units."""
BYTES_A_VOXEL = 600
"""Memory of one slice voxel of a network call, measured on a 170 x 200 x 140 volume."""


class Settings(BaseModel):
    """Settings of the method.

    ``mode``: ``mean`` (one pass a plane) or ``sample`` (posterior samples of ``steps`` calls each). ``samples``: how
    many. ``memory``: megabytes for one network call. ``weights``: bundled name, file or ``hf://``. ``snapshots``: keep
    a picture every so many network calls of the first sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    for_samples: ClassVar[tuple[str, ...]] = ("steps", "samples", "snapshots")

    mode: Literal["mean", "sample"] = "mean"
    steps: int = Field(default=20, ge=2, le=100_000)
    samples: int = Field(default=1, ge=1, le=64)
    weights: str = DEFAULT
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
        self.shelf = Shelf()

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Restore the volume behind one slice stack; raises :class:`InputError` for other measurements."""
        operator = measurement.operator
        if not isinstance(operator, Separable) or operator.slices is None or measurement.affine is None:
            raise InputError("method voxprior restores slice stacks; give thick slices, or another --method")
        weights = self.shelf(options.weights, options.device)
        voxels = VOXELS_AT_ONCE if options.memory is None else options.memory * 2**20 // BYTES_A_VOXEL
        bound = BoundPrior(weights.prior, _moved(measurement, options.device), voxels)
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
