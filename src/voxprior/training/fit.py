"""One training loop: resumable to the bit, validated by reconstruction."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from voxprior.errors import InputError
from voxprior.priors.kinds import Prior, make_prior
from voxprior.training.checkpoint import read_checkpoint, read_metadata, whole, write_checkpoint
from voxprior.training.config import FitConfig, read_config
from voxprior.training.examples import Batch
from voxprior.training.loss import denoising_loss, noise_levels
from voxprior.training.sharding import set_up, sharding
from voxprior.training.task import Task, make_task

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"


class Run:
    """The state of a training: weights, their average, the optimiser, and the steps done.

    ``save`` and ``resume`` carry all of it; examples and noise are functions of (seed, step), so nothing else is state.
    """

    def __init__(self, config: FitConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.prior = make_prior(config.prior)
        if config.start is not None:
            from voxprior.priors.weights import load_as, widened

            begin = load_as(str(config.start), type(self.prior)).prior.state_dict()
            self.prior.load_state_dict(widened(begin, self.prior.state_dict()))
        self.average = deepcopy(self.prior).requires_grad_(False)
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            self.prior.parameters(), lr=config.rate, weight_decay=config.weight_decay, betas=(0.9, 0.99)
        )
        self.step = 0
        self.seconds = 0.0

    def rate(self) -> float:
        """Learning rate of the current step: warm-up, level, linear decay to zero."""
        c = self.config
        left = (c.steps - self.step) / max(1, c.decay)
        return c.rate * min(1.0, (self.step + 1) / max(1, c.warmup), max(left, 0.0))

    def save(self, path: Path) -> None:
        """Write everything to ``path``, atomically; every process calls it, and the first writes."""
        metadata = {"step": str(self.step), "seconds": str(self.seconds), "prior": self.config.prior.model_dump_json()}
        write_checkpoint(path, self._modules(), {"optimiser": self.optimiser}, metadata)

    def resume(self, path: Path) -> None:
        """Take up what :meth:`save` wrote. Raises :class:`InputError` when it is of another network."""
        metadata = read_metadata(path)
        if not self._is_of(metadata["prior"]):
            raise InputError(f"{path}: is of another network than the settings; give another output folder")
        read_checkpoint(path, self._modules(), {"optimiser": self.optimiser})
        self.step, self.seconds = int(metadata["step"]), float(metadata["seconds"])

    def averaged(self) -> Prior:
        """The prior of the average weights, on the processor; every process calls it."""
        with torch.random.fork_rng(devices=[]):
            prior = make_prior(self.config.prior)
        prior.load_state_dict({name: whole(value) for name, value in self.average.state_dict().items()})
        return prior

    def _is_of(self, text: str) -> bool:
        """Whether ``text`` says what the settings of the prior do; what it does not name had the default."""
        try:
            return type(self.config.prior).model_validate_json(text) == self.config.prior
        except ValidationError:
            return False

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"model": self.prior, "ema": self.average}


class Stream(torch.utils.data.Dataset[Batch]):
    """Batches by number of pass, for a DataLoader that prepares them beside the training.

    A step is ``world * accumulate`` batches, whoever makes them: so many processes, or so many passes of one.
    """

    def __init__(self, task: Task, seed: int, size: int, rank: int, world: int, accumulate: int = 1) -> None:
        self.task, self.seed, self.size, self.rank, self.world = task, seed, size, rank, world
        self.accumulate = accumulate

    def number(self, passed: int) -> int:
        """The batch of this process's pass ``passed``, among all of all processes."""
        step, part = divmod(passed, self.accumulate)
        return (step * self.world + self.rank) * self.accumulate + part

    def __getitem__(self, passed: int) -> Batch:
        return self.task.batch(self.seed, self.number(passed), self.size)


def main(path: Path, minutes: float | None = None, **overrides: Any) -> Path:
    """Train as the YAML file ``path`` says; stop after ``minutes`` if given; return the checkpoint.

    An output folder that holds a checkpoint is resumed. Raises :class:`InputError` for wrong settings or data.
    """
    return fit(read_config(path, **overrides), minutes)


def fit(config: FitConfig, minutes: float | None = None) -> Path:
    """Train a slice prior; see :func:`main`."""
    from lightning_fabric import Fabric

    if config.threads:
        torch.set_num_threads(config.threads)
    processes, task = _processes(config), make_task(config)
    config.output.mkdir(parents=True, exist_ok=True)
    checkpoint = config.output / CHECKPOINT
    run = Run(config)
    if checkpoint.is_file():
        run.resume(checkpoint)
    fabric = Fabric(accelerator=config.accelerator, precision=config.precision, **processes)
    fabric.launch()
    run.average.to(fabric.device)
    if config.strategy == "fsdp":
        model, run.optimiser = set_up(fabric, run.prior, run.average, run.optimiser)
    else:
        model, run.optimiser = fabric.setup(run.prior, run.optimiser)
    model.mark_forward_method("raw")
    stream = Stream(task, config.seed, config.batch, fabric.global_rank, fabric.world_size, config.accumulate)
    passes = range(run.step * config.accumulate, config.steps * config.accumulate)
    started, before, last = time.monotonic(), run.seconds, []
    for batches in _steps(batches_of(stream, passes, config.workers), config.accumulate):
        last.append(_train_step(fabric, model, run, batches, stream))
        run.seconds = before + time.monotonic() - started
        over = _agreed(fabric, minutes is not None and time.monotonic() - started > 60 * minutes)
        final = over or run.step == config.steps
        if run.step % config.save_every == 0 or final:
            run.save(checkpoint)
            if fabric.is_global_zero:
                _log(config.output, {"step": run.step, "seconds": round(run.seconds, 1), "rate": run.rate(),
                                     "loss": float(np.mean(last))})
            last = []
        if run.step % config.validate_every == 0 or final:
            average = run.averaged()
            if fabric.is_global_zero:
                _validate(run, average, task)
        if final:
            break
    return checkpoint


def _processes(config: FitConfig) -> dict[str, Any]:
    """Devices, machines and strategy for Fabric; a run under torchrun has the processes that it started."""
    several: Any = config.strategy
    here, machines = config.devices, 1
    if "TORCHELASTIC_RUN_ID" in os.environ:
        here, started = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        machines = started // here
        several = "ddp" if started > 1 and several == "auto" else several
    elif here == "auto" and config.accelerator == "cpu":
        here = 1
    if several == "fsdp":
        count = max(1, torch.cuda.device_count()) if here == "auto" else here
        if count * machines == 1:
            raise InputError("strategy: fsdp spreads a prior over processes; start several by torchrun, or give ddp")
        several = sharding()
    return {"devices": here, "num_nodes": machines, "strategy": several}


def _agreed(fabric: Any, over: bool) -> bool:
    """What the first process says of the time: clocks differ, and all must stop at one step."""
    return over if fabric.world_size == 1 else bool(fabric.broadcast(over))


def _steps(batches: Iterator[Batch], count: int) -> Iterator[list[Batch]]:
    """``batches`` in groups of ``count``."""
    while group := list(islice(batches, count)):
        yield group


def batches_of(stream: Stream, steps: range, workers: int) -> Iterator[Batch]:
    """The batches of ``stream`` for ``steps``, made by so many ``workers`` beside the training, or in it."""
    if workers == 0:
        yield from (stream[step] for step in steps)
    else:
        yield from torch.utils.data.DataLoader(
            stream, batch_size=None, sampler=steps, num_workers=workers, prefetch_factor=8
        )


def _train_step(fabric: Any, model: Any, run: Run, batches: list[Batch], stream: Stream) -> float:
    """One step of the optimiser on the mean loss of ``batches``, and of those of the other processes; the error."""
    config = run.config
    for group in run.optimiser.param_groups:
        group["lr"] = run.rate()
    errors = []
    for part, batch in enumerate(batches):
        number = stream.number(run.step * config.accumulate + part)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + number)
        sigma = noise_levels(batch, run.prior, config.noise_spread, generator, config.noise_centre)
        noise = torch.randn(batch.truth.shape, generator=generator)
        moved = Batch(*(t.to(fabric.device) for t in batch))
        with fabric.no_backward_sync(model, enabled=part + 1 < len(batches)):
            loss = denoising_loss(
                model, moved, sigma.to(fabric.device), noise.to(fabric.device), config.variance_weight,
                stream.task.diffusing,
            )
            fabric.backward(loss.total / len(batches))
        errors.append(float(loss.error.mean()))
    fabric.clip_gradients(model, run.optimiser, max_norm=config.clip)
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)
    run.step += 1
    # The average follows quickly at first, so that early validations are not of the initial weights.
    decay = min(config.ema, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        for mean, value in zip(run.average.parameters(), run.prior.parameters(), strict=True):
            mean.lerp_(value.detach(), 1 - decay)
    return float(np.mean(errors))


def _validate(run: Run, average: Prior, task: Task) -> None:
    import matplotlib.image

    output = run.config.output
    scores = task.validate(average)
    gains = {s.case: round(s.psnr - s.baseline, 3) for s in scores}
    _log(output, {"step": run.step, "seconds": round(run.seconds, 1), "gain": gains})
    for s in scores:
        name = f"{s.case.replace(' ', '-')}.png"
        matplotlib.image.imsave(output / name, s.picture, cmap="gray", vmin=0, vmax=1)
    _tensorboard(output, run.step, gains)


def _log(output: Path, values: dict[str, Any]) -> None:
    with (output / LOG).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(values) + "\n")
    if "loss" in values:
        _tensorboard(output, values["step"], {"loss": values["loss"], "rate": values["rate"]})


def _tensorboard(output: Path, step: int, values: dict[str, float]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(output / "tensorboard")) as writer:
        for name, value in values.items():
            writer.add_scalar(name.replace(" ", "/"), value, step)
