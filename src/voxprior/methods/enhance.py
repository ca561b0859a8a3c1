"""The default method for volumes that are coarse along several axes: a mean estimate or samples of the slice prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.noise import Noise
from voxprior.diffusion.sample import PREVIOUS, start
from voxprior.diffusion.schedule import alternating, dpm_2m, karras, schedule
from voxprior.errors import InputError
from voxprior.guidance.proximal import proximal, unguided
from voxprior.methods.result import Progress, Result
from voxprior.methods.voxprior import LAST_SIGMA, WARM_START, consistent
from voxprior.methods.walks import draw, precision
from voxprior.operators.base import Measurement
from voxprior.operators.separable import EXACT_CONDITION, Separable
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.grid import BoundGrid
from voxprior.priors.portion import FORWARD_BYTES, voxels_at_once
from voxprior.priors.volume import VolumePrior
from voxprior.priors.volume_bound import BoundVolume
from voxprior.priors.weights import Shelf, Weights
from voxprior.priors.widening import widenings

DEFAULT, VOLUME = "head-enhance", "head-volume"
"""Weights unless said otherwise, of slices and of volumes."""
ALL_AXES = "the network of volumes was trained on volumes that are coarse along one or two axes; give --planes three"
"""What is said of three: on the tuning subjects it is then worse than cubic interpolation, the others are not."""


class Settings(BaseModel):
    """Settings of the method.

    ``mode``: ``mean`` (one pass a plane) or ``sample`` (posterior samples of ``steps`` calls each). ``samples``: how
    many. ``planes``: slices that hold the coarse axes (``one``), ``three`` networks, one a direction of slices,
    combined, or the ``volume`` at once by a 3-D network; by default three after ``1.5t``, where the tune subjects gain
    by it, else one, at a third of the cost. ``degradation``: what made the voxels coarse; after ``1.5t`` nothing is
    projected. ``memory``: megabytes for one network call. ``weights``: bundled name, file or ``hf://``; by default
    those of ``planes``. ``snapshots``: keep a picture every so many network calls of the first sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    for_samples: ClassVar[tuple[str, ...]] = ("steps", "samples", "snapshots")

    mode: Literal["mean", "sample"] = "mean"
    steps: int = Field(default=20, ge=2, le=100_000)
    samples: int = Field(default=1, ge=1, le=64)
    planes: Literal["one", "three", "volume"] | None = None
    degradation: Literal["box", "kspace", "1.5t"] = "box"
    weights: str | None = None
    precision: Literal["float32", "bf16"] = "float32"
    memory: int | None = Field(default=None, ge=64)
    snapshots: int | None = Field(default=None, ge=1)
    device: str = "cpu"


class Enhance:
    """Slice prior of two axes, proximal guidance and exact projection where the degradation is linear."""

    name = "voxprior"
    Options: ClassVar[type[BaseModel]] = Settings
    citation = "Voxprior: this package."

    def __init__(self) -> None:
        self.shelf = Shelf(SlicePrior)
        self.volumes = Shelf(VolumePrior)

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Restore the fine volume behind a coarse one; raises :class:`InputError` for other measurements."""
        operator = measurement.operator
        if not isinstance(operator, Separable) or not operator.axes or measurement.affine is None:
            raise InputError("method voxprior refines volumes along known axes; give one, or another --method")
        moved = Measurement(operator, measurement.y.to(options.device), measurement.sigma, measurement.affine)
        weights: Weights[SlicePrior] | Weights[VolumePrior]
        if options.planes == "volume":
            weights = self.volumes(options.weights or VOLUME, options.device)
            bound = _in_volume(BoundVolume(weights.prior, moved, options.degradation, options.memory))
        else:
            weights = self.shelf(options.weights or DEFAULT, options.device)
            voxels = voxels_at_once(options.memory, FORWARD_BYTES)
            planes: Literal["one", "three"] = options.planes or ("three" if options.degradation == "1.5t" else "one")
            bound = _in_slices(BoundGrid(weights.prior, moved, options.degradation, voxels), planes)
        with precision(options):
            run = self._mean if options.mode == "mean" else self._sample
            result = run(bound, measurement, options, rng, progress)
        return Result(
            **{**result, "weights": {"name": weights.name, "sha256": weights.sha256}},
            notes={"mode": options.mode, "projection": projection(operator, options.degradation)},
            warnings=(ALL_AXES,) if options.planes == "volume" and len(operator.axes) == 3 else (),
            widenings=widenings(weights.card, weights.sha256),
        )

    def _mean(
        self, bound: _Bound, measurement: Measurement, options: Settings, rng: Noise, progress: Progress | None
    ) -> dict[str, Any]:
        mean, std, calls = bound.mean(progress)
        return {"mean": explained(mean.cpu(), measurement, options.degradation)[0], "std": std.cpu()[0], "calls": calls}

    def _sample(
        self, bound: _Bound, measurement: Measurement, options: Settings, rng: Noise, progress: Progress | None
    ) -> dict[str, Any]:
        spread, inner = bound.of.residual, bound.of
        grid = karras(options.steps, WARM_START * spread, LAST_SIGMA * spread)
        steps = schedule(grid, dpm_2m, alternating(len(bound.priors)))
        linear = options.degradation != "1.5t"
        drawn = draw(
            proximal(bound.priors, inner.measurement, spread) if linear else unguided(bound.priors),
            steps,
            lambda process: start(inner.m, steps, process, rng),
            lambda state: explained(inner.leave(state.memory[PREVIOUS]).cpu(), measurement, options.degradation)[0],
            options,
            rng,
            progress,
            inner.leave,
        )
        stack, calls = drawn.samples, drawn.calls
        if len(stack) > 1:
            std = stack.std(dim=0, correction=1)
        else:  # one sample has no spread of its own: the variance head gives it, for a pass a plane
            _, predicted, extra = bound.mean(None)
            std, calls = predicted.cpu()[0], calls + extra
        return {"mean": stack.mean(0), "std": std, "samples": stack, "calls": calls, "snapshots": drawn.snapshots}


class _Bound(NamedTuple):
    """A prior bound to a measurement: its denoisers, and its mean and std in input units with the calls they took."""

    of: BoundGrid | BoundVolume
    priors: Sequence[Denoiser]
    mean: Callable[[Progress | None], tuple[Tensor, Tensor, int]]


def _in_slices(bound: BoundGrid, which: Literal["one", "three"]) -> _Bound:
    planes = bound.planes(which)

    def mean(progress: Progress | None) -> tuple[Tensor, Tensor, int]:
        found, std, calls = bound.mean(planes, progress)
        return bound.leave(found), bound.leave(std), calls

    return _Bound(bound, [bound.denoiser(plane) for plane in planes], mean)


def _in_volume(bound: BoundVolume) -> _Bound:
    def mean(progress: Progress | None) -> tuple[Tensor, Tensor, int]:
        found, std, calls = bound.mean(progress)
        return bound.leave(found), bound.spread(std), calls

    return _Bound(bound, [bound.denoiser()], mean)


def explained(x: Tensor, measurement: Measurement, degradation: str) -> Tensor:
    """:func:`~voxprior.methods.voxprior.consistent`, but x itself where no linear operator says what was measured."""
    return x if degradation == "1.5t" else consistent(x, measurement)


def projection(operator: Separable, degradation: str) -> str:
    """How a result was made to explain the measurement: ``exact``, ``proximal`` or ``none``."""
    if degradation == "1.5t":
        return "none"
    return "exact" if operator.condition < EXACT_CONDITION else "proximal"


voxprior = Enhance()
Options = Settings
