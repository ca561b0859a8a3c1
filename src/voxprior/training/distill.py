"""A many-step teacher made into a one-step student: OS-DDPM's algorithm with its gradient set right, and DMD's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from voxprior.diffusion.path import Ddpm
from voxprior.errors import InputError
from voxprior.priors.student import StudentConfig
from voxprior.priors.volume import VolumePrior
from voxprior.priors.weights import load_as
from voxprior.training.checkpoint import read_checkpoint, read_metadata, write_checkpoint
from voxprior.training.data import held_back
from voxprior.training.examples import Batch
from voxprior.training.fit import CHECKPOINT, LOG, Stream, batches_of
from voxprior.training.gradients import Weighting, contrast_in_features, distribution_gradient, step_along
from voxprior.training.task import VolumeTask
from voxprior.training.volumes import VolumeExampleConfig

TIMES = (0.02, 0.98)
"""Times at which student and teacher are compared, parts of T."""


class DistillConfig(BaseModel):
    """A distillation of a volume prior.

    ``teacher``: bundled name or file. ``student``: what it starts from. ``weighting``: of the distribution's gradient.
    ``levels``: noise levels of the comparison, ``time`` even in the time of the linear process (published) or
    ``spread`` log-normal about the expected error of the measurement. ``contrastive``: weight of the loss in the
    teacher's features (published: .1). ``regression``: weight of the absolute error against the truth.
    ``variance_weight``: of the likelihood of the truth about the student's image, which teaches its std.
    ``fake_steps``: steps of the network of the student's images for each of the student. ``rate``, ``fake_rate``:
    AdamW. ``examples``: as of a volume prior. Other settings as of :class:`~voxprior.training.config.FitConfig`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    output: Path
    teacher: str = "head-volume"
    student: StudentConfig = StudentConfig()
    examples: VolumeExampleConfig
    weighting: Weighting = "dmd"
    levels: Literal["time", "spread"] = "spread"
    contrastive: float = Field(default=0.0, ge=0)
    variance_weight: float = Field(default=0.05, ge=0)
    regression: float = Field(default=0.0, ge=0)
    fake_steps: int = Field(default=1, ge=1)
    steps: int = 2000
    batch: int = 4
    rate: float = 1e-5
    fake_rate: float = 5e-5
    warmup: int = 20
    ema: float = 0.99
    clip: float = 1.0
    seed: int = 1
    threads: int = 0
    workers: int = 0
    device: str = "cpu"
    validate_every: int = 250
    save_every: int = 100


class Losses(NamedTuple):
    """Of one step: the student's terms, and the error of the network of its images."""

    distribution: float
    contrastive: float
    regression: float
    fake: float


class Distillation:
    """The state: a frozen teacher, the student, its average, the network of its images, and two optimisers."""

    def __init__(self, config: DistillConfig) -> None:
        self.config = config
        held = load_as(config.teacher, VolumePrior)
        if held.prior.path is not None:
            raise InputError(f"{config.teacher}: predicts noise of a published process; distil weights of process edm")
        self.teacher = held.prior.to(config.device)
        self.origin = {"name": held.name, "sha256": held.sha256}
        self.student = deepcopy(self.teacher).requires_grad_(True)
        self.fake = deepcopy(self.teacher).requires_grad_(True)
        self.average = deepcopy(self.teacher).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.student.parameters(), lr=config.rate, weight_decay=0, betas=(0.9, 0.99))
        self.fake_optimiser = torch.optim.AdamW(
            self.fake.parameters(), lr=config.fake_rate, weight_decay=0, betas=(0.9, 0.99)
        )
        self.step, self.seconds = 0, 0.0

    def save(self, path: Path) -> None:
        """Write everything to ``path``, atomically."""
        metadata = {"step": str(self.step), "seconds": str(self.seconds), "teacher": self.origin["sha256"]}
        write_checkpoint(path, self._modules(), self._optimisers(), metadata)

    def resume(self, path: Path) -> None:
        """Take up what :meth:`save` wrote; raises :class:`InputError` when it is of another teacher."""
        metadata = read_metadata(path)
        if metadata.get("teacher") != self.origin["sha256"]:
            raise InputError(f"{path}: is of another teacher than the settings; give another output folder")
        read_checkpoint(path, self._modules(), self._optimisers())
        self.step, self.seconds = int(metadata["step"]), float(metadata["seconds"])

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"model": self.student, "ema": self.average, "fake": self.fake}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimiser": self.optimiser, "fake_optimiser": self.fake_optimiser}

    def advance(self, batch: Batch) -> Losses:
        """One step of the student, then of the network of its images; random numbers depend on (seed, step)."""
        c = self.config
        generator = torch.Generator().manual_seed(c.seed * 1_000_003 + self.step)

        def drawn(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator).to(like)

        u, std = c.student.restore(self.student, *_told(batch), drawn(batch.truth))
        sigma = self._levels(batch, generator)
        distribution, contrastive, regression = self._student_terms(u, batch, sigma, drawn)
        # The error is held fixed: the std learns from it, and the image does not learn to be easy to predict.
        square = (batch.truth - u).square().detach()
        likelihood = (square / std.square() + 2 * std.log()).mean()
        loss = distribution + c.contrastive * contrastive + c.regression * regression + c.variance_weight * likelihood
        _follow(loss, self.optimiser, self.student, c.clip, c.rate * min(1.0, (self.step + 1) / max(1, c.warmup)))
        fixed, error = u.detach(), torch.zeros(())
        for _ in range(c.fake_steps):
            error = self._fake_error(fixed, batch, self._levels(batch, generator), drawn)
            _follow(error, self.fake_optimiser, self.fake, c.clip, c.fake_rate)
        self.step += 1
        decay = min(c.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.student.parameters(), strict=True):
                mean.lerp_(value.detach(), 1 - decay)
        return Losses(*(float(x.detach()) for x in (distribution, contrastive, regression, error)))

    def _student_terms(
        self, u: Tensor, batch: Batch, sigma: Tensor, drawn: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        c, noise = self.config, drawn(u)
        told = _told(batch)
        noisy = u + sigma[:, None, None, None] * noise
        with torch.no_grad():
            real, fake = (_ask(network, noisy, told, sigma) for network in (self.teacher, self.fake))
            gradient = distribution_gradient(real, fake, u, sigma, c.weighting)
        contrastive = u.new_zeros(())
        if c.contrastive:
            top = torch.full_like(sigma, self.teacher.config.sigma_max)
            with torch.no_grad():
                near = _features(self.teacher, batch.truth + sigma[:, None, None, None] * noise, told, sigma)
                far = _features(self.teacher, told[0] + top[:, None, None, None] * drawn(u), told, top)
            contrastive = contrast_in_features(_features(self.teacher, noisy, told, sigma), near, far)
        regression = (u - batch.truth).abs().mean() if c.regression else u.new_zeros(())
        return step_along(u, gradient), contrastive, regression

    def _fake_error(self, u: Tensor, batch: Batch, sigma: Tensor, drawn: Callable[[Tensor], Tensor]) -> Tensor:
        """EDM's weighted error of D on the student's images."""
        told = _told(batch)
        found = _ask(self.fake, u + sigma[:, None, None, None] * drawn(u), told, sigma)
        out = self.fake.coefficients(sigma, batch.spread).out
        return ((found - u) / out).square().mean()

    def _levels(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Noise levels (n,) of a comparison, within the range of the teacher."""
        c, n = self.teacher.config, len(batch.spread)
        if self.config.levels == "spread":
            about = torch.log(batch.spread.cpu()) + torch.randn(n, generator=generator)
            return about.exp().clamp(c.sigma_min, c.sigma_max).to(batch.spread)
        path = Ddpm()
        times = TIMES[0] + (TIMES[1] - TIMES[0]) * torch.rand(n, generator=generator)
        sigma = torch.tensor([path.sigma(path.steps * float(t)) for t in times])
        return sigma.clamp(c.sigma_min, c.sigma_max).to(batch.spread)


Told = tuple[Tensor, Tensor, Tensor, Tensor]


def _told(batch: Batch) -> Told:
    """What a volume prior is told of a measurement: m, fine slices a cell, spread, vector."""
    return batch.m, batch.phase, batch.spread, batch.vector


def _ask(prior: VolumePrior, x: Tensor, told: Told, sigma: Tensor) -> Tensor:
    m, fine, spread, vector = told
    return prior.forward(x, m, fine, sigma, spread, vector).mean


def _features(prior: VolumePrior, x: Tensor, told: Told, sigma: Tensor) -> list[Tensor]:
    m, fine, spread, vector = told
    return prior.features(x, m, fine, sigma, spread, vector)


def _follow(loss: Tensor, optimiser: torch.optim.Optimizer, network: torch.nn.Module, clip: float, rate: float) -> None:
    """One step along the gradient of ``loss``, which is zeroed before."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([p for p in network.parameters() if p.grad is not None], clip)
    optimiser.step()


def distill(config: DistillConfig, minutes: float | None = None) -> Path:
    """Distil as ``config`` says, go on from a checkpoint in its folder, stop after ``minutes`` if given.

    Returns the checkpoint. Raises :class:`InputError` for wrong settings, data or weights.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    run, task = Distillation(config), VolumeTask(config)
    config.output.mkdir(parents=True, exist_ok=True)
    checkpoint = config.output / CHECKPOINT
    if checkpoint.is_file():
        run.resume(checkpoint)
    elif config.validate_every:
        _validate(run)
    stream = Stream(task, config.seed, config.batch, 0, 1)
    started, before, last = time.monotonic(), run.seconds, list[Losses]()
    for batch in batches_of(stream, range(run.step, config.steps), config.workers):
        last.append(run.advance(Batch(*(t.to(config.device) for t in batch))))
        run.seconds = before + time.monotonic() - started
        final = run.step == config.steps or (minutes is not None and time.monotonic() - started > 60 * minutes)
        if run.step % config.save_every == 0 or final:
            run.save(checkpoint)
            means = {name: round(float(np.mean([getattr(x, name) for x in last])), 6) for name in Losses._fields}
            _log(config.output, {"step": run.step, "seconds": round(run.seconds, 1), **means})
            last = []
        if config.validate_every and (run.step % config.validate_every == 0 or final):
            _validate(run)
        if final:
            break
    return checkpoint


def _validate(run: Distillation) -> None:
    from voxprior.training.validate_student import validate_student

    c = run.config
    scores = validate_student(c.student, run.average, held_back(c.data), (4, 8))
    _log(c.output, {"step": run.step, "seconds": round(run.seconds, 1), "scores": [s._asdict() for s in scores]})


def _log(output: Path, values: dict[str, Any]) -> None:
    with (output / LOG).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(values) + "\n")
