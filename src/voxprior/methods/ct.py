"""The default method for X-ray views: a slice prior of attenuation, and proximal points of the views."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.noise import Noise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import PREVIOUS, State, sample, start
from voxprior.diffusion.schedule import Step, alternating, dpm_2m, karras, log_uniform, schedule
from voxprior.errors import InputError
from voxprior.guidance.proximal import consensus, noise_std, proximal
from voxprior.io.sinogram import MU_WATER
from voxprior.methods.result import Progress, Result
from voxprior.methods.tomography import UNKNOWN_NOISE, TvSettings, projections, tv
from voxprior.methods.walks import WalkSettings, draw, precision
from voxprior.operators.base import Measurement
from voxprior.operators.tomography import Tomography
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.plain import Single, deviation, is_complex, unconditional
from voxprior.priors.portion import GRADIENT_BYTES, voxels_at_once
from voxprior.priors.weights import Shelf

WEIGHTS = "thorax-ct"
FIRST_LEVEL, LAST_LEVEL = 0.2, 0.05
"""Noise levels of the mean mode, as parts of the attenuation of water; from the held-back slices."""
STD_FACTOR = 8.0
"""Noise level, as a multiple of what the walk changed (root mean square), whose posterior std is that of the mean mode;
from the held-back slices: right with 18 views and with 1e5 photons, wide with 36, narrow with a limited angle."""
WARM_FACTOR, LAST_SIGMA = 4.0, 0.01
"""First noise level of a sample, in units of the same change, and the last before zero, in parts of water; from the
held-back slices: a sample is then 2.7 dB from the truth below the mean, where 3.0 would be right."""
INNER_ITERATIONS = 32
"""Of conjugate gradients, from where they ended before, in each proximal point."""
START = TvSettings()
"""Of the total variation that the walk starts from."""


class Settings(WalkSettings):
    """Settings of the method.

    ``mode``: ``mean`` (the estimate, refined in ``steps`` calls) or ``sample`` (posterior samples of ``steps`` calls
    each, about the estimate of as many). ``samples``: how many. ``weights``: bundled name, file or ``hf://``.
    ``memory``: megabytes of a network call.
    ``mu_water``: attenuation of water, 1/mm. ``snapshots``: keep a picture every so many calls of the first sample.
    """

    weights: str = WEIGHTS
    mu_water: float = Field(default=MU_WATER, gt=0)


class Ct:
    """Total variation first, then a slice prior and the views in turn."""

    name = "voxprior"
    Options: ClassVar[type[BaseModel]] = Settings
    citation = "Voxprior: this package."

    def __init__(self) -> None:
        self._weights = Shelf(SlicePrior)

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Image (*space), 1/mm, of ``measurement.y`` (1, *data); :class:`InputError` for what are no X-ray views."""
        operator = projections(measurement, self.name)
        weights = self._weights(options.weights, options.device)
        if is_complex(weights.prior):
            raise InputError(f"weights {weights.name} are of complex slices; X-ray views need real ones, as {WEIGHTS}")
        moved = replace(measurement, y=measurement.y.to(options.device))
        with precision(options), torch.no_grad():
            problem = Problem(weights.prior, moved, operator, options, rng)
            found = (problem.mean if options.mode == "mean" else problem.sample)(options, rng, progress)
        return Result(
            **found,
            weights={"name": weights.name, "sha256": weights.sha256},
            notes={"mode": options.mode, "projection": "proximal", "start": tv.name},
        )


class Problem:
    """One scan's views with the prior of its slices; a single slice is a volume of one."""

    def __init__(
        self, prior: SlicePrior, measurement: Measurement, operator: Tomography, options: Settings, rng: Noise
    ) -> None:
        self.scale = options.mu_water
        axis, shape, affine = operator.axis, operator.shape, measurement.affine
        voxels = voxels_at_once(options.memory, GRADIENT_BYTES)
        denoise: Denoiser
        spread: Denoiser
        if axis is None:
            place = (prior, (1, *shape), 0, None, self.scale, voxels)
            denoise, spread = Single(unconditional(*place)), Single(deviation(*place))
        else:
            denoise = unconditional(prior, shape, axis, affine, self.scale, voxels)
            spread = deviation(prior, shape, axis, affine, self.scale, voxels)
        self.priors, self.spread = [denoise], spread
        self.image_std = prior.config.image_std * self.scale
        sigma = noise_std(measurement) or UNKNOWN_NOISE * float(measurement.y.abs().max())
        self.measurement = replace(measurement, operator=operator.limited(INNER_ITERATIONS), sigma=sigma)
        settings = START.model_copy(update={"device": options.device})
        self.first = tv(measurement, settings, rng).mean[None].to(measurement.y)

    def mean(self, options: Settings, rng: Noise, progress: Progress | None) -> dict[str, Any]:
        """The estimate of the walk; the last call gives the std."""
        x = self._refined(options.steps - 1, rng, progress, options.steps)
        std = self._std(x)
        if progress is not None:
            progress(options.steps, options.steps)
        return {"mean": x[0].cpu(), "std": std, "calls": options.steps}

    def _refined(self, calls: int, rng: Noise, progress: Progress | None, total: int) -> Tensor:
        """Denoise and fit the views in turn at a falling level, from the first estimate."""
        levels = log_uniform(calls, FIRST_LEVEL * self.scale, LAST_LEVEL * self.scale)[:-1]
        state = State(self.first)
        rows = [Step(i, level) for i, level in enumerate(levels)]
        for state in sample(consensus(self.priors, self.measurement), state, rows, White(), rng):
            if progress is not None:
                progress(state.index, total)
        return state.memory[PREVIOUS]

    def _level(self, x: Tensor, factor: float) -> float:
        """``factor`` times what the walk changed of the first estimate, within the trained noise levels."""
        low, high = self.spread.sigma_range
        return min(max(factor * float((x - self.first).square().mean().sqrt()), low), high)

    def _std(self, x: Tensor) -> Tensor:
        """Std of the image about the estimate x (1, *space), from the variance head; (*space)."""
        return self.spread(x, self._level(x, STD_FACTOR))[0].cpu()

    def sample(self, options: Settings, rng: Noise, progress: Progress | None) -> dict[str, Any]:
        """Posterior samples by DPM-Solver++(2M), from the estimate of the walk with noise.

        The walk costs as many calls as a sample, once. From total variation with noise the streaks of total variation
        stay in every sample, and from more noise the proximal points bring new ones.
        """
        once = options.steps
        x = self._refined(once, rng, None, once)
        last = LAST_SIGMA * self.scale
        grid = karras(options.steps, max(self._level(x, WARM_FACTOR), 2 * last), last)
        steps = schedule(grid, dpm_2m, alternating(1))
        drawn = draw(
            proximal(self.priors, self.measurement, self.image_std),
            steps,
            lambda process: start(x, steps, process, rng),
            lambda state: state.memory[PREVIOUS][0].cpu(),
            options,
            rng,
            None if progress is None else lambda done, total: progress(once + done, once + total),
        )
        stack, calls = drawn.samples, once + drawn.calls
        if len(stack) > 1:
            std = stack.std(dim=0, correction=1)
        else:
            std, calls = self._std(x), calls + 1
        return {"mean": stack.mean(0), "std": std, "samples": stack, "calls": calls, "snapshots": drawn.snapshots}


voxprior = Ct()
