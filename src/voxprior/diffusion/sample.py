"""The one loop of every sampler: a guided denoiser walks from large noise to none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, Denoiser, pullback
from voxprior.diffusion.noise import Noise
from voxprior.diffusion.process import Process
from voxprior.diffusion.schedule import Step

START = -1
"""Row number of the noise of the first state."""
PREVIOUS = "previous"
"""Key of the last D_y in :attr:`State.memory`; after the last row it is the answer."""


class Estimate(NamedTuple):
    """``prior`` D, ``denoised`` D_y, and ``shift``, what is taken off the next state besides; (sample, *space)."""

    prior: Tensor
    denoised: Tensor
    shift: Tensor | None = None


class Guided(Protocol):
    """A prior that knows the measurement: the estimate at one row, and what it wants to remember at the next."""

    def __call__(self, x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        """Estimate at the state x (sample, *space) of noise std ``step.sigma``."""
        ...


@dataclass(frozen=True, eq=False)
class State:
    """All that a run needs to go on: x (sample, *space), the row to do next, and named tensors of the guidance."""

    x: Tensor
    index: int = 0
    memory: Mapping[str, Tensor] = field(default_factory=dict)


def start(point: Tensor, steps: Sequence[Step], process: Process, rng: Noise) -> State:
    """First state ``point + sigma_0 z``; ``point`` (sample, *space): zeros, or an image with the data in it."""
    z = process.noise(rng, point, replace(steps[0], index=START))
    return State(point + steps[0].sigma * z)


@torch.no_grad()
def sample(guided: Guided, state: State, steps: Sequence[Step], process: Process, rng: Noise) -> Iterator[State]:
    """Walk the rows from ``state`` on, and give the state after each of them.

    The answer is ``memory["previous"]`` of the last. A state given here again, with the same steps and noise, goes on
    as if it had not been stopped.
    """
    for s in steps[state.index :]:
        e, memory = guided(state.x, s, state.memory)
        if s.snr is not None:
            x = langevin(s.sigma, s.snr, state.x, e, process.noise(rng, state.x, s))
        else:
            x = s.keep * state.x + s.pull * e.denoised
            if s.kick:
                x = x + s.kick * process.noise(rng, state.x, s)
        if s.past:
            x = x + s.past * state.memory[PREVIOUS]
        if e.shift is not None:
            x = x - e.shift
        x = process.confine(x, state.x, e.denoised, s)
        state = State(x, s.index + 1, {**memory, PREVIOUS: e.denoised})
        yield state


def langevin(sigma: float, snr: float, x: Tensor, e: Estimate, z: Tensor) -> Tensor:
    """One Langevin step, ``x + t g + sqrt(2 t) z`` with ``g = (D_y - x)/sigma^2`` and ``t = 2 (snr |z|/|g|)^2``.

    The norms are of whole samples, and the one of g is the prior's, ``(D - x)/sigma^2``. A sample whose g is zero
    stays where it is.
    """
    wide = (-1, *[1] * (x.ndim - 1))
    length = torch.linalg.vector_norm((e.prior - x).flatten(1), dim=1) / sigma**2
    noise = torch.linalg.vector_norm(z.flatten(1), dim=1)
    t = torch.where(length > 0, 2 * (snr * noise / length) ** 2, 0.0).reshape(wide)
    return x + t / sigma**2 * (e.denoised - x) + torch.sqrt(2 * t) * z


class Counted:
    """A guided prior that counts how often it is asked; ``calls`` is all that it remembers."""

    def __init__(self, guided: Guided) -> None:
        self.guided, self.calls = guided, 0

    def __call__(self, x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        """The estimate of the guided prior itself."""
        self.calls += 1
        return self.guided(x, step, memory)


@dataclass(frozen=True)
class _AsDenoiser:
    guided: Guided
    plane: int
    sigma_range: tuple[float, float]

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        estimate, _ = self.guided(x, Step(0, sigma, plane=self.plane), {})
        return estimate.denoised

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        return pullback(self, x, sigma, cotangent)


def as_denoiser(guided: Guided, plane: int = 0, sigma_range: tuple[float, float] = (0.0, math.inf)) -> Denoiser:
    """D_y at any (x, sigma) as a denoiser of its own, without memory of other rows."""
    return _AsDenoiser(guided, plane, sigma_range)
