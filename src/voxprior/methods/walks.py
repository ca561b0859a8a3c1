"""What methods with a prior share: the walk of several samples, the number format of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from voxprior.diffusion.noise import Noise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import Guided, State, sample
from voxprior.diffusion.schedule import Step
from voxprior.diffusion.snapshots import central, watched
from voxprior.methods.result import Progress

Snapshots = dict[int, tuple[Tensor, ...]]


class WalkSettings(BaseModel):
    """Settings of a method that walks, at least; see each method for what ``mode`` and ``steps`` mean to it.

    ``samples``: how many. ``weights``: bundled name, file or ``hf://``. ``memory``: megabytes of a network call.
    ``snapshots``: keep a picture every so many calls of the first sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    for_samples: ClassVar[tuple[str, ...]] = ("samples", "snapshots")

    mode: Literal["mean", "sample"] = "mean"
    steps: int = Field(default=20, ge=3, le=1000)
    samples: int = Field(default=1, ge=1, le=64)
    weights: str
    precision: Literal["float32", "bf16"] = "float32"
    memory: int | None = Field(default=None, ge=64)
    snapshots: int | None = Field(default=None, ge=1)
    device: str = "cpu"


class Drawn(NamedTuple):
    """``samples`` (sample, *space), the network calls they took, and pictures of the first by number of calls."""

    samples: Tensor
    calls: int
    snapshots: Snapshots


def draw(
    guided: Guided,
    steps: Sequence[Step],
    begin: Callable[[White], State],
    finish: Callable[[State], Tensor],
    options: Any,
    rng: Noise,
    progress: Progress | None,
    shown: Callable[[Tensor], Tensor] = lambda x: x,
) -> Drawn:
    """``options.samples`` walks over ``steps``, one after the other.

    ``begin``: the state that a process starts from; ``finish``: the sample (*space) in the units of the output, of the
    last state; ``shown``: those units for a snapshot, every ``options.snapshots`` calls.
    """
    total, samples, shots = options.samples * len(steps), [], Snapshots()
    keep = central(shots)
    for k in range(options.samples):
        process = White(first=k)
        states = sample(guided, begin(process), steps, process, rng)
        for state in watched(states, options.snapshots if k == 0 else None, lambda i, x: keep(i, shown(x))):
            if progress is not None:
                progress(k * len(steps) + state.index, total)
        samples.append(finish(state))
    return Drawn(torch.stack(samples), total, shots)


def precision(options: Any) -> AbstractContextManager[Any]:
    """The number format of the network that ``options`` name."""
    if options.precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(options.device).type, torch.bfloat16)
