"""HFS-SDE, and the VE-SDE and VP-SDE that it is compared with: predictor, corrector and a balanced data gradient.

Cao et al., High-frequency space diffusion model for accelerated MRI, IEEE Transactions on Medical Imaging, 2024. The
equations and numbers are the published ones; what is mended, and why, stands in docs/methods/hfs-sde.md. States are
kept as ``x = x_t / a(t)`` (the low frequencies of HFS-SDE, which do not move, as they are), so that all three run
through the common loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, Denoiser
from voxprior.diffusion.noise import Noise
from voxprior.diffusion.path import VarianceExploding, VariancePreserving
from voxprior.diffusion.process import Process, White
from voxprior.diffusion.sample import START, State, sample
from voxprior.diffusion.schedule import Step
from voxprior.diffusion.snapshots import central, watched
from voxprior.diffusion.subspace import Confined, HighFrequency, highpass
from voxprior.errors import InputError
from voxprior.guidance.gradient import Coordinates, balanced, exploding, preserving
from voxprior.guidance.proximal import noise_std
from voxprior.methods.result import Progress, Result
from voxprior.operators.base import Measurement
from voxprior.operators.coils import calibration_region
from voxprior.operators.fourier import Fourier
from voxprior.priors.complex import ComplexDenoiser, gaussian_image
from voxprior.priors.intensity import intensity_scale
from voxprior.priors.weights import load

FULL = 1000
"""Steps of the published runs; with fewer, the published run is an accelerated one."""
LEAST = 100
"""Steps below which the published solver is not stable."""
LAST_TIME = 1e-3
"""Where a run of HFS-SDE or VP-SDE ends."""
LAST_TIME_EXPLODING = 1e-5
"""Where a run of VE-SDE ends."""
IMAGE_STD = 0.3
"""Std of a component of images on the priors' scale, for the regularisation of the start."""
LEAST_NOISE = 1e-3
"""Noise std that the start is given at least, on the priors' scale."""


class Settings(BaseModel):
    """The published knobs.

    ``snr``: of the Langevin step; None: the published one for so many steps. ``mse``, ``corrector_mse``: weight of the
    data, relative to the prior, in predictor and corrector. ``solver``: the reverse SDE with its corrector, or the
    probability-flow ODE without. ``samples``: how many. ``weights``: bundled name, file or ``hf://``. ``memory`` is
    here for the common options: a slice needs little. ``snapshots``: keep a picture every so many network calls.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    snr: float | None = Field(default=None, gt=0, le=10)
    mse: float = Field(default=2.5, ge=0, le=1000)
    corrector_mse: float = Field(default=2.5, ge=0, le=1000)
    steps: int = Field(default=FULL, ge=20, le=100_000)
    solver: Literal["sde", "ode"] = "sde"
    samples: int = Field(default=1, ge=1, le=64)
    weights: str = "head-kspace"
    precision: Literal["float32", "bf16"] = "float32"
    memory: int | None = Field(default=None, ge=64)
    snapshots: int | None = Field(default=None, ge=1)
    device: str = "cpu"


class HfsSettings(Settings):
    """Those of HFS-SDE. ``acs``: central k-space lines that do not diffuse."""

    corrector_mse: float = Field(default=0.1, ge=0, le=1000)
    weights: str = "head-hfs"
    acs: int = Field(default=16, ge=1)


class VeSettings(Settings):
    """Those of VE-SDE."""

    mse: float = Field(default=5.0, ge=0, le=1000)
    corrector_mse: float = Field(default=5.0, ge=0, le=1000)


class Prior(NamedTuple):
    """A denoiser of complex slices (sample, y, x) on the priors' scale, and which weights it has.

    ``acs``: central lines along x that it was trained to leave alone; None: it was trained on whole images.
    """

    denoise: Denoiser
    weights: Mapping[str, str] | None = None
    acs: int | None = None


def pretrained(name: str, device: str) -> Prior:
    """The prior of committed or own weights; raises :class:`InputError` as :func:`voxprior.priors.weights.load`."""
    weights = load(name)
    weights.prior.to(device)
    trained = weights.card["training"].get("settings", {}).get("examples", {})
    identity = {"name": weights.name, "sha256": weights.sha256}
    return Prior(ComplexDenoiser(weights.prior, 1.0), identity, trained.get("acs_lines"))


def preserving_rows(n: int, snr: float | None) -> tuple[Step, ...]:
    """Langevin and Euler-Maruyama rows of VP-SDE and of the high frequencies of HFS-SDE; no snr: Euler on the ODE.

    ``x_t <- x_t + beta/2 x_t / n + beta s / n + sqrt(beta/n) z`` at ``t = 1 ... 1e-3``, written for x = x_t / a with
    the score ``s = a (D - x)/b^2``. The Langevin step has a factor ``alpha_j = 1 - beta_j`` of the table of n steps.
    After the last row, whose noise is left out, x is x_t itself.
    """
    path = VariancePreserving()
    steps: list[Step] = []
    for i in range(n):
        t = _time(i, n, LAST_TIME)
        after = path.a(_time(i + 1, n, LAST_TIME)) if i < n - 1 else 1.0
        sigma, ratio, g2 = path.sigma(t), path.a(t) / after, path.diffusion(t) / n
        if snr is not None:
            j = math.floor(t * (n - 1))
            alpha = 1 - (path.beta_0 + (path.beta_1 - path.beta_0) * j / (n - 1)) / n
            steps.append(Step(len(steps), sigma, stage="correct", snr=snr * math.sqrt(max(alpha, 0.0))))
        pull = (g2 if snr is not None else g2 / 2) / path.b(t) ** 2
        kick = math.sqrt(g2) / after if snr is not None and i < n - 1 else 0.0
        steps.append(Step(len(steps), sigma, ratio * (1 - path.drift(t) / n - pull), ratio * pull, kick))
    return tuple(steps)


def exploding_rows(n: int, snr: float | None) -> tuple[Step, ...]:
    """Langevin and reverse-diffusion rows of VE-SDE, sigma 348 to .01; no snr: Euler on the ODE.

    ``x <- x + (sigma_j^2 - sigma_(j-1)^2) s + sqrt(...) z`` with the table of n levels, and 0 below the last.
    """
    path = VarianceExploding(0.01, 348.0)
    steps: list[Step] = []
    for i in range(n):
        sigma, j = path.sigma(_time(i, n, LAST_TIME_EXPLODING)), n - 1 - i
        here, below = path.sigma(j / (n - 1)), path.sigma((j - 1) / (n - 1)) if j else 0.0
        g2 = (here - below) * (here + below)
        if snr is not None:
            steps.append(Step(len(steps), sigma, stage="correct", snr=snr))
        pull = (g2 if snr is not None else g2 / 2) / sigma**2
        kick = math.sqrt(g2) if snr is not None and j else 0.0
        steps.append(Step(len(steps), sigma, 1 - pull, pull, kick))
    return tuple(steps)


def _time(i: int, n: int, last: float) -> float:
    return 1 + i * (last - 1) / (n - 1)


def phase_encoding(mask: Tensor) -> int | None:
    """The axis along which a sampling pattern (y, x) varies; None where it varies along both, x where along neither."""
    along_y, along_x = (bool((mask != mask.narrow(a, 0, 1)).any()) for a in (0, 1))
    return None if along_y and along_x else 0 if along_y else 1


def sense_of_centre(operator: Fourier, y: Tensor, noise: float, axis: int | None) -> Tensor:
    """SENSE (1, y, x) of the fully sampled centre of k-space alone: its lines along ``axis``, or None: a rectangle.

    On the priors' scale; regularised by ``noise``, the std of y, over that of images, so that it cannot diverge.
    """
    size = calibration_region(operator.mask.numpy(force=True))
    mask = torch.zeros_like(operator.mask)
    mask[tuple(
        slice(n // 2 - s // 2, n // 2 - s // 2 + s) if axis in (None, a) else slice(None)
        for a, (n, s) in enumerate(zip(operator.shape, size, strict=True))
    )] = True
    lam = (max(noise, LEAST_NOISE) / IMAGE_STD) ** 2
    return Fourier(mask & operator.mask, operator.maps).prox(y.new_zeros(1, *operator.shape), y, lam)


@dataclass(frozen=True, eq=False)
class Followed:
    """The process of :class:`HighFrequency`, whose low frequencies follow the data's pull and nothing else.

    ``scales``: the factor a of the state after each row: the pull is one of ``x_t``, of which a row makes ``x_t / a``.
    """

    high: HighFrequency
    scales: tuple[float, ...]

    def noise(self, rng: Noise, like: Tensor, step: Step) -> Tensor:
        """``H z``."""
        return self.high.noise(rng, like, step)

    def confine(self, new: Tensor, old: Tensor, clean: Tensor, step: Step) -> Tensor:
        """``H new``, and of the low frequencies the old ones moved by what the row added to them."""
        # In a row of numbers that is pull (D_y - x), and in a Langevin row, whose keep and pull sum to 1, new - x.
        low = old + self.scales[step.index] * (new - (step.keep + step.pull) * old)
        return low + self.high.high(new - low)


@dataclass(frozen=True, eq=False)
class Turned:
    """A denoiser of slices (sample, y, x) that sees them as (sample, x, y)."""

    denoise: Denoiser

    @property
    def sigma_range(self) -> tuple[float, float]:
        """That of the denoiser."""
        return self.denoise.sigma_range

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D of x."""
        return self.denoise(x.mT, sigma).mT

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D))."""
        d, gradient = self.denoise.pullback(x.mT, sigma, lambda raw: cotangent(raw.mT).mT)
        return d.mT, gradient.mT


class Run(NamedTuple):
    """A system at work: its prior, where it starts (and std of the noise there), its process for a first sample."""

    prior: Denoiser
    point: Tensor
    noise: float
    process: Callable[[int], Process]
    coordinates: Coordinates = exploding
    warnings: tuple[str, ...] = ()


def run_exploding(prior: Prior, given: Measurement, operator: Fourier, options: Any, steps: tuple[Step, ...]) -> Run:
    """VE-SDE: white noise of the largest std, without an image in it."""
    if prior.acs is not None:
        name = options.weights
        raise InputError(f"--weights {name} know high frequencies alone; give head-kspace, or --method hfs-sde")
    return Run(prior.denoise, given.y.new_zeros(1, *operator.shape), steps[0].sigma, White)


def run_preserving(prior: Prior, given: Measurement, operator: Fourier, options: Any, steps: tuple[Step, ...]) -> Run:
    """VP-SDE: white noise of unit std."""
    run = run_exploding(prior, given, operator, options, steps)
    return run._replace(noise=math.hypot(1, steps[0].sigma), coordinates=preserving)


def run_high(prior: Prior, given: Measurement, operator: Fourier, options: Any, steps: tuple[Step, ...]) -> Run:
    """HFS-SDE: the low frequencies of the centre's SENSE, and high ones of unit std."""
    axis, device = phase_encoding(operator.mask), given.y.device
    keep = highpass(operator.shape, options.acs, axis)
    if not bool(operator.mask[~keep.to(operator.mask.device)].all()):
        raise InputError(_unmeasured(operator, axis, options.acs))
    high = HighFrequency(keep.to(device))
    warnings: tuple[str, ...] = ()
    if prior.acs is not None and (prior.acs != options.acs or axis is None):
        warnings = (f"the weights were trained to leave {prior.acs} central lines as they are, not what was asked for",)
    denoise = Turned(prior.denoise) if axis == 0 else prior.denoise
    scales = (*(1 / math.hypot(1, s.sigma) for s in steps[1:]), 1.0)
    return Run(
        Confined(denoise, high),
        high.low(sense_of_centre(operator, given.y, noise_std(given), axis)),
        math.hypot(1, steps[0].sigma),
        lambda first: Followed(replace(high, first=first), scales),
        high.preserving,
        warnings,
    )


def _unmeasured(operator: Fourier, axis: int | None, acs: int) -> str:
    size = calibration_region(operator.mask.numpy(force=True))
    have = min(size) if axis is None else size[axis]
    told = next((n for n in range(have, 0, -1) if bool(operator.mask[~highpass(operator.shape, n, axis)].all())), 0)
    if not told:
        return "hfs-sde needs the centre of k-space, and the data hold no central lines; choose --method ve-sde"
    return (
        f"hfs-sde leaves the {acs} central lines as they are, and the data hold {told} of them; "
        f"give --acs {told}, or --method ve-sde"
    )


Build = Callable[[Prior, Measurement, Fourier, Any, tuple[Step, ...]], Run]


@dataclass(eq=False)
class Sde:
    """One of the three; ``prior`` gives the denoiser for a name of weights and a device.

    ``snr``: published ones of full and of accelerated runs. ``rows``: the sampler. ``build``: the rest.
    """

    name: str
    Options: type[BaseModel]
    snr: tuple[float, float]
    rows: Callable[[int, float | None], tuple[Step, ...]]
    build: Build
    prior: Callable[[str, str], Prior] = pretrained
    citation: str = "Cao et al., High-frequency space diffusion model for accelerated MRI, IEEE TMI, 2024"
    _priors: dict[tuple[str, str], Prior] = field(default_factory=dict, repr=False)

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Reconstruct one slice (y, x) from k-space; raises :class:`InputError` for other measurements."""
        operator = _one_slice(measurement, self.name)
        key = (options.weights, options.device)
        if key not in self._priors:
            self._priors[key] = self.prior(*key)
        prior, snr = self._priors[key], None
        if options.solver == "sde":
            snr = options.snr or self.snr[options.steps < FULL]
        with _precision(options), torch.no_grad():
            scale = _scale(measurement)
            given = Measurement(operator, measurement.y.to(options.device) / scale, noise_std(measurement) / scale)
            steps = self.rows(options.steps, snr)
            run = self.build(prior, given, operator, options, steps)
            norm = 1.0 if operator.maps is None else float(operator.maps.abs().square().sum(0).max().sqrt())
            guided = balanced([run.prior], given, options.mse, options.corrector_mse, run.coordinates, norm)
            found, total, shots = [], options.samples * len(steps), dict[int, tuple[Tensor, ...]]()
            for k in range(options.samples):
                process = run.process(k)
                z = process.noise(rng, run.point, replace(steps[0], index=START))
                state = State(run.point + run.noise * z)
                states = sample(guided, state, steps, process, rng)
                for state in watched(states, options.snapshots if k == 0 else None, central(shots, scale)):
                    if progress is not None:
                        progress(k * len(steps) + state.index, total)
                found.append(state.x[0].cpu() * scale)
        stack = torch.stack(found)
        std = torch.view_as_real(stack).std(0, correction=1).square().mean(-1).sqrt() if len(found) > 1 else None
        few = () if options.steps >= LEAST else (f"{options.steps} steps: the published solver needs at least {LEAST}",)
        notes = {"snr": snr, "scale": scale, "acceleration": operator.acceleration}
        return Result(stack.mean(0), std, stack, total, "done", prior.weights, notes, (*few, *run.warnings), shots)


def _one_slice(measurement: Measurement, name: str) -> Fourier:
    operator = measurement.operator
    if not isinstance(operator, Fourier):
        raise InputError(f"--method {name} takes k-space; choose another method for this job")
    if len(operator.shape) != 2 or operator.sets is not None or measurement.y.shape[0] != 1:
        raise InputError(f"--method {name} takes one slice (y, x) with one set of maps; reconstruct slice by slice")
    return operator


def _scale(measurement: Measurement) -> float:
    """Intensity scale of the image, from the measured data alone."""
    first = intensity_scale(measurement.operator.adjoint(measurement.y).abs().numpy(force=True))
    return intensity_scale(gaussian_image(measurement, first).abs().numpy(force=True))


def _precision(options: Settings) -> AbstractContextManager[Any]:
    if options.precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(options.device).type, torch.bfloat16)


hfs_sde = Sde("hfs-sde", HfsSettings, (0.16, 0.32), preserving_rows, run_high)
ve_sde = Sde("ve-sde", VeSettings, (0.1, 0.1), exploding_rows, run_exploding)
vp_sde = Sde("vp-sde", Settings, (0.27, 0.43), preserving_rows, run_preserving)
