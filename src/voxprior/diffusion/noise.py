"""Random numbers as a function of (seed, sample, step): there is no generator state to save."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Noise(Protocol):
    """A source of standard normal fields that depend on nothing but its arguments."""

    def __call__(self, sample: int, step: int, shape: tuple[int, ...]) -> Tensor:
        """Field of sample number ``sample`` at row ``step`` (-1: the start): float32 on the CPU, of ``shape``."""
        ...


@dataclass(frozen=True)
class SeededNoise:
    """White noise from a counter-based generator (Philox) whose key is a digest of (seed, sample, step).

    So a sample is the same in a batch of any size, a run can be resumed at any row, and both hold on any machine.
    """

    seed: int

    def __call__(self, sample: int, step: int, shape: tuple[int, ...]) -> Tensor:
        """Standard normal, float32 on the CPU, of ``shape``."""
        return torch.from_numpy(generator(self.seed, sample, step).standard_normal(shape, dtype=np.float32))


def generator(*key: int | str) -> np.random.Generator:
    """A generator that is fully determined by ``key``."""
    digest = blake2b(repr(key).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
