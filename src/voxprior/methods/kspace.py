"""The default method for k-space: a complex slice prior, and proximal points of the data; nothing is tuned by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor

from voxprior.diffusion.noise import Noise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import PREVIOUS, State, sample, start
from voxprior.diffusion.schedule import Step, alternating, dpm_2m, karras, log_uniform, schedule
from voxprior.errors import InputError
from voxprior.guidance.proximal import consensus, noise_std, proximal
from voxprior.methods.result import Progress, Result
from voxprior.methods.walks import WalkSettings, draw, precision
from voxprior.operators.base import Measurement
from voxprior.operators.fourier import Fourier
from voxprior.priors.complex import ComplexDenoiser, Explained, explain
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.weights import Shelf
from voxprior.priors.widening import widenings

WEIGHTS = "head-kspace"
MEAN_START, LAST_LEVEL = 4.0, 0.3
"""First and last level of the mean mode, in units of the expected error of the linear start; from tune subjects."""
STD_LEVEL = 1.5
"""Noise level, in the same units, whose posterior std is that of the mean mode; from tune subjects."""
WARM_START, LAST_SIGMA = 4.0, 0.05
"""First noise level of a sample, and the last before zero, in the same units."""
LEAST_NOISE = 1e-3
"""Noise std of the data, on the scale of the image, where it is unknown or less: last bits are not worth a solve."""
NEGLIGIBLE = 1e-4
"""Known noise std, on the same scale, up to which the data are at last matched exactly."""


class Settings(WalkSettings):
    """Settings of the method.

    ``mode``: ``mean`` (the estimate, refined in ``steps`` calls) or ``sample`` (posterior samples of ``steps`` calls
    each). ``samples``: how many. ``memory`` is here for the common options: a slice needs little.
    ``weights``: bundled name, file or ``hf://``. ``snapshots``: keep a picture every so many calls of the first sample.
    """

    weights: str = WEIGHTS


class Kspace:
    """Complex slice prior, best linear start, proximal guidance."""

    name = "voxprior"
    Options: ClassVar[type[BaseModel]] = Settings
    citation = "Voxprior: this package."

    def __init__(self) -> None:
        self.shelf = Shelf(SlicePrior)

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Reconstruct a slice (y, x) or a volume (z, y, x); raises :class:`InputError` for other measurements."""
        operator = measurement.operator
        if not isinstance(operator, Fourier):
            raise InputError("method voxprior of recon takes k-space; give a k-space file, or another job")
        weights = self.shelf(options.weights, options.device)
        with precision(options), torch.no_grad():
            given = explain(measurement)
            problem = Problem(weights.prior, measurement, given)
            found = (problem.mean if options.mode == "mean" else problem.sample)(options, rng, progress)
        return Result(
            **found,
            weights={"name": weights.name, "sha256": weights.sha256},
            notes={
                "mode": options.mode,
                "projection": "exact" if problem.hard else "proximal",
                "expected_error_of_start": given.spread,
            },
            widenings=widenings(weights.card, weights.sha256),
        )


class Problem:
    """One measurement with its prior, one a plane."""

    def __init__(self, prior: SlicePrior, measurement: Measurement, given: Explained) -> None:
        operator: Any = measurement.operator
        self.given = given
        sigma = max(noise_std(measurement), LEAST_NOISE * given.scale)
        self.hard = measurement.sigma is not None and noise_std(measurement) <= NEGLIGIBLE * given.scale
        self.measurement = Measurement(operator, measurement.y, sigma)
        planes = range(operator.mask.ndim - 1) if operator.mask.ndim == 3 else (0,)
        self.priors = [ComplexDenoiser(prior, given.scale, plane=plane) for plane in planes]

    def mean(self, options: Settings, rng: Noise, progress: Progress | None) -> dict[str, Any]:
        """Denoise and fit the data in turn at a falling level, from the linear start; the last call gives the std."""
        spread, n = self.given.spread, options.steps - 1
        levels = log_uniform(n, MEAN_START * spread, LAST_LEVEL * spread)[:-1]
        turn = alternating(len(self.priors))
        rows = [Step(i, level, plane=turn(i, n)) for i, level in enumerate(levels)]
        state = State(self.given.m)
        for state in sample(consensus(self.priors, self.measurement), state, rows, White(), rng):
            if progress is not None:
                progress(state.index, options.steps)
        x = state.memory[PREVIOUS]
        std = self._std(x)
        if progress is not None:
            progress(options.steps, options.steps)
        return {"mean": self._matched(x)[0], "std": std, "calls": options.steps}

    def _std(self, x: Tensor) -> Tensor:
        """Std of a component about the estimate x (1, *space), from the variance head; (*space)."""
        return self.priors[0].both(x, STD_LEVEL * self.given.spread)[1][0]

    def sample(self, options: Settings, rng: Noise, progress: Progress | None) -> dict[str, Any]:
        """Posterior samples by DPM-Solver++(2M)."""
        spread = self.given.spread
        grid = karras(options.steps, WARM_START * spread, LAST_SIGMA * spread)
        steps = schedule(grid, dpm_2m, alternating(len(self.priors)))
        guided = proximal(self.priors, self.measurement, self.priors[0].prior.config.image_std * self.given.scale)
        drawn = draw(
            guided,
            steps,
            lambda process: start(self.given.m, steps, process, rng),
            lambda state: self._matched(state.memory[PREVIOUS])[0],
            options,
            rng,
            progress,
        )
        stack, calls = drawn.samples, drawn.calls
        if len(stack) > 1:
            std = torch.view_as_real(stack).std(dim=0, correction=1).square().mean(-1).sqrt()
        else:
            std = self._std(stack)
            calls += 1
        return {"mean": stack.mean(0), "std": std, "samples": stack, "calls": calls, "snapshots": drawn.snapshots}

    def _matched(self, x: Tensor) -> Tensor:
        """The nearest image that explains the data exactly, where their noise is negligible; else x."""
        return self.measurement.operator.prox(x, self.measurement.y, 0.0) if self.hard else x


voxprior = Kspace()
Options = Settings
