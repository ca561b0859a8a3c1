"""TPDM: two perpendicular slice priors in turn, by the reverse SDE with Langevin steps and DPS (Lee et al., ICCV 2023).

Equations and numbers are the published ones. What is mended, and why, stands in docs/methods/tpdm.md: the predictor
keeps its noise, the data are not noised before they are compared, nothing depends on the batch or on the intensities,
the last step is one with data, and volumes need not be cubes of 256.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.noise import Noise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import Guided, State, sample, start
from voxprior.diffusion.schedule import PlaneRule, Step, drawn, every, log_uniform, reverse_sde, schedule
from voxprior.diffusion.snapshots import central, watched
from voxprior.errors import InputError
from voxprior.guidance.gradient import dps
from voxprior.guidance.proximal import unguided
from voxprior.io.sinogram import MU_WATER
from voxprior.methods.planes import Plane, normals
from voxprior.methods.result import Progress, Result
from voxprior.operators.base import Compose, Measurement, pinv
from voxprior.operators.fourier import Fourier, RealImage
from voxprior.operators.norm import axis_of_slices, largest_singular_value
from voxprior.operators.separable import Separable
from voxprior.operators.tomography import Tomography
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.intensity import intensity_scale
from voxprior.priors.plain import is_complex, unconditional
from voxprior.priors.portion import GRADIENT_BYTES, voxels_at_once
from voxprior.priors.weights import DEFAULT, Weights, load

SIGMA_MIN, SIGMA_MAX = 0.01, 378.0
"""Noise levels of the published process, for images in 0..1."""
BATCH = 6
"""Slices that shared one norm when the published weights were set: a slice of its own takes 1/sqrt(6) of them."""
SLICE_WEIGHTS = {2: 1.0, 3: 2.0, 4: 3.0, 5: 4.0}
"""Published DPS weights by factor; their operator, repeat(mean), has norm 1."""
FOURIER_WEIGHTS = {8: 0.512, 24: 1.792, 48: 2.56}
"""Published DPS weights by acceleration, times the norm 256 of their Fourier transform, which was not orthonormal."""
TOMOGRAPHY_WEIGHT = 0.025 * 94.35
"""Published DPS weight, times the norm of their projector (36 views of 256 x 256 pixels)."""
TURN, TOMOGRAPHY_TURN = 2, 2.7
"""Published K."""
COMPLEX_WEIGHTS = "head-kspace"
"""Weights for images with a phase, unless said otherwise."""
TOMOGRAPHY_WEIGHTS = "thorax-ct"
"""Weights for X-ray views, unless said otherwise: of attenuation in multiples of water's."""
PLANES = -2
"""Row number of the noise that seeds the draw of the planes."""

Prior = Callable[[tuple[int, ...], int], Denoiser]
"""(shape of the volume, array axis normal to the slices) to a denoiser of volumes with intensities in 0..1."""


class Settings(BaseModel):
    """The published knobs; None stands for the published number of the job.

    ``steps``: noise levels N. ``k``: as a whole number, every k-th step asks the auxiliary plane; as a fraction, one
    step in k by chance. ``dps_weight``: for a slice of its own and an operator of norm 1, in units of the image's
    99th percentile, or of water's attenuation where there are X-ray views. ``snr``: of the Langevin step. ``primary``,
    ``auxiliary``: planes; auto: the auxiliary one is that of the thick slices, or else the one across those that were
    measured. ``snapshots``: keep a picture every so many network calls. ``mu_water``: attenuation of water, 1/mm, for
    X-ray views; None: :data:`~voxprior.io.sinogram.MU_WATER`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=2000, ge=2, le=100_000)
    k: int | float | None = Field(default=None, gt=1)
    dps_weight: float | None = Field(default=None, ge=0, lt=math.inf)
    snr: float = Field(default=0.16, gt=0, le=10)
    primary: Plane | Literal["auto"] = "auto"
    auxiliary: Plane | Literal["auto"] = "auto"
    snapshots: int | None = Field(default=None, ge=1)
    samples: int = Field(default=1, ge=1, le=64)
    weights: str | None = None
    mu_water: float | None = Field(default=None, gt=0, lt=math.inf)
    memory: int | None = Field(default=None, ge=64)
    device: str = "cpu"


@dataclass(frozen=True)
class Published:
    """The numbers of the paper for one kind of measurement: K, the DPS weight, and the measured slices' axis."""

    k: int | float
    weight: float | None
    slices: int | None


def published(measurement: Measurement) -> Published:
    """The numbers for an operator, between those of the tables and at their ends beyond them; weight None: unknown."""
    operator = measurement.operator
    if isinstance(operator, Compose) and isinstance(operator.inner, RealImage):
        operator = operator.outer
    if isinstance(operator, Separable) and operator.slices is not None:
        g = operator.slices
        return Published(TURN, _between(SLICE_WEIGHTS, g.spacing / g.fine_spacing), g.axis)
    if isinstance(operator, Fourier):
        across = [a for a in range(operator.mask.ndim) if a not in operator.axes]
        logs = {math.log(r): w for r, w in FOURIER_WEIGHTS.items()}
        return Published(TURN, _between(logs, math.log(operator.acceleration)), across[0] if across else None)
    if isinstance(operator, Tomography):
        return Published(TOMOGRAPHY_TURN, TOMOGRAPHY_WEIGHT / math.sqrt(BATCH), operator.axis)
    return Published(TURN, None, None)


def _between(table: Mapping[Any, float], at: float) -> float:
    return float(np.interp(at, list(table), list(table.values()))) / math.sqrt(BATCH)


def turns(k: int | float, seed: int) -> PlaneRule:
    """Plane 0 (primary, with data) or 1 (auxiliary) of each grid step; the last is primary."""
    return every(k) if isinstance(k, int) else drawn((1 - 1 / k, 1 / k), seed)


def rows(steps: int, k: int | float, snr: float, seed: int) -> tuple[Step, ...]:
    """Langevin corrector and reverse-SDE predictor at each of the published noise levels."""
    return schedule(log_uniform(steps, SIGMA_MAX, SIGMA_MIN), reverse_sde, turns(k, seed), snr)


@dataclass(frozen=True, eq=False)
class Problem:
    """A measurement on the intensity scale of the paper, and what restores it.

    ``like`` (1, *space): an image of it, zero. ``scale``: input units per unit inside. ``planes``: primary and
    auxiliary, with their array axes.
    """

    measurement: Measurement
    like: Tensor
    scale: float
    planes: Mapping[Plane, int]
    known: Published

    @property
    def empty(self) -> bool:
        """Whether nothing was measured."""
        return self.measurement.y.numel() == 0

    def guided(self, priors: list[Denoiser], weight: float | None) -> Guided:
        """DPS with one norm a slice of the primary plane, or of the volume where the data do not part into slices."""
        if self.empty:
            return unguided(priors)
        w = self.known.weight if weight is None else weight
        if w is None:
            raise InputError("method tpdm knows no weight for this kind of measurement; give the DPS weight")
        operator, primary = self.measurement.operator, next(iter(self.planes.values()))
        axis = axis_of_slices(operator, self.like, primary)
        if axis is None:  # the norm of n like slices together is sqrt(n) times one's, and its gradient so much smaller
            w *= math.sqrt(self.like.shape[primary + 1])
        norm = largest_singular_value(operator, self.like)
        return dps(priors, self.measurement, (w / norm if norm else 0.0, 0.0), axis)

    def start(self, steps: tuple[Step, ...], process: White, rng: Noise) -> State:
        """Noise; for thick slices only what they do not see is noise."""
        first = start(torch.zeros_like(self.like), steps, process, rng)
        if self.empty or not isinstance(self.measurement.operator, Separable):
            return first
        return State(self.measurement.operator.prox(first.x, self.measurement.y, 0.0))


def pose(measurement: Measurement, options: Settings) -> Problem:
    """The problem behind a measurement; raises :class:`InputError` for one slice alone, and for equal planes."""
    operator, y = measurement.operator, measurement.y
    like = torch.zeros_like(operator.adjoint(y))
    if like.ndim != 4 or like.shape[0] != 1:
        raise InputError("method tpdm restores one volume from its planes; give a stack of slices, not a single one")
    scale = _scale(measurement, like, options)
    known = published(measurement)
    return Problem(
        Measurement(operator, y / scale, None, measurement.affine), like, scale, _planes(measurement, options), known
    )


def _scale(measurement: Measurement, like: Tensor, options: Settings) -> float:
    """Input units per unit inside: attenuation has a unit of its own, of other images it is found in the data."""
    operator, y = measurement.operator, measurement.y
    if isinstance(operator, Tomography):
        return options.mu_water or MU_WATER
    return intensity_scale(pinv(operator, y, like).abs().numpy(force=True)) if y.numel() else 1.0


def _planes(measurement: Measurement, options: Settings) -> Mapping[Plane, int]:
    """The primary and the auxiliary plane, in this order, and the array axes normal to them."""
    slices = published(measurement).slices
    axes = normals(measurement.affine, 2 if slices is None else slices)
    names: dict[int, Plane] = {axis: name for name, axis in axes.items()}
    measured = names[axes["axial"] if slices is None else slices]
    across: Plane = "coronal" if measured == "sagittal" else "sagittal"
    # Thick slices leave detail to be found across them; k-space and views are of the slices themselves.
    auto = (across, measured) if isinstance(measurement.operator, Separable) else (measured, across)
    primary = auto[0] if options.primary == "auto" else options.primary
    auxiliary = auto[1] if options.auxiliary == "auto" else options.auxiliary
    if primary == auxiliary:
        raise InputError(f"primary and auxiliary plane are both {primary}; give two different planes")
    return {primary: axes[primary], auxiliary: axes[auxiliary]}


class Tpdm:
    """Two planes, predictor and corrector, DPS on the primary plane; ``prior`` None: the bundled slice priors."""

    name = "tpdm"
    Options: ClassVar[type[BaseModel]] = Settings
    citation = "Lee et al., Improving 3D imaging with pre-trained perpendicular 2D diffusion models, ICCV 2023"
    whole_stacks = True

    def __init__(self, prior: Prior | None = None) -> None:
        self._prior = prior
        self._loaded: dict[tuple[str, str], Weights[SlicePrior]] = {}

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Restore the volume behind any measurement, or make one where nothing was measured.

        Raises :class:`InputError` as :func:`pose` does, and for a measurement without a published DPS weight.
        """
        device = options.device
        moved = Measurement(measurement.operator, measurement.y.to(device), None, measurement.affine)
        problem = pose(moved, options)
        weights = None if self._prior is not None else self._weights(options, problem)
        priors = [self._plane(problem, axis, weights, options) for axis in problem.planes.values()]
        guided = problem.guided(priors, options.dps_weight)
        k = problem.known.k if options.k is None else options.k
        # The planes of a run are as random as its noise: their seed is the bits of a number of it.
        seed = int(rng(0, PLANES, (1,)).to(torch.float32).view(torch.int32))
        steps = rows(options.steps, k, options.snr, seed)
        total, samples, shots = options.samples * len(steps), [], dict[int, tuple[Tensor, ...]]()
        for number in range(options.samples):
            process = White(first=number)
            states = sample(guided, problem.start(steps, process, rng), steps, process, rng)
            show = central(shots, problem.scale)
            for state in watched(states, options.snapshots if number == 0 else None, show):
                if progress is not None:
                    progress(number * len(steps) + state.index, total)
            samples.append(state.x[0].cpu() * problem.scale)
        stack = torch.stack(samples)
        return Result(
            stack.mean(0),
            stack.std(dim=0, correction=1) if len(samples) > 1 else None,
            stack,
            calls=total,
            weights=None if weights is None else {"name": weights.name, "sha256": weights.sha256},
            notes={"k": k, **dict(zip(("primary", "auxiliary"), problem.planes, strict=True))},
            snapshots=shots,
        )

    def _weights(self, options: Settings, problem: Problem) -> Weights[SlicePrior]:
        """Weights, read once for a batch of scans; by default those for the kind of image."""
        complex_images = problem.like.is_complex()
        real = TOMOGRAPHY_WEIGHTS if isinstance(problem.measurement.operator, Tomography) else DEFAULT
        name = options.weights or (COMPLEX_WEIGHTS if complex_images else real)
        if (name, options.device) not in self._loaded:
            self._loaded[name, options.device] = load(name)
            self._loaded[name, options.device].prior.to(options.device)
        found = self._loaded[name, options.device]
        if is_complex(found.prior) != complex_images:
            kinds = ("real", "complex") if complex_images else ("complex", "real")
            raise InputError(f"weights {name} are of {kinds[0]} slices, and the image is {kinds[1]}; give others")
        return found

    def _plane(self, problem: Problem, axis: int, weights: Weights[SlicePrior] | None, options: Settings) -> Denoiser:
        shape = tuple(problem.like.shape[1:])
        if weights is None:
            assert self._prior is not None
            return self._prior(shape, axis)
        voxels = voxels_at_once(options.memory, GRADIENT_BYTES)
        return unconditional(weights.prior, shape, axis, problem.measurement.affine, voxels=voxels)


tpdm = Tpdm()
