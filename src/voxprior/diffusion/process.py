"""What a process adds to an image on its way to noise, and the space in which it moves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from voxprior.diffusion.noise import Noise
from voxprior.diffusion.schedule import Step
from voxprior.errors import InputError


class Process(Protocol):
    """The noise of a diffusion, and the part of the image that diffuses. Images x are (sample, *space)."""

    def noise(self, rng: Noise, like: Tensor, step: Step) -> Tensor:
        """Noise of unit std a real component, for every sample of ``like``, in its type and on its device."""
        ...

    def confine(self, new: Tensor, old: Tensor, clean: Tensor, step: Step) -> Tensor:
        """The next state, from a solver's proposal ``new``, the state ``old`` and the clean estimate ``clean``."""
        ...


@dataclass(frozen=True)
class White:
    """Independent noise in every voxel of the whole image.

    ``first``: number of the first sample of the batch, so that samples 4 to 7 of a run of eight can be made alone.
    """

    first: int = 0

    def noise(self, rng: Noise, like: Tensor, step: Step) -> Tensor:
        """White noise (sample, *space); of a complex image the real and the imaginary part each have unit std."""
        numbers = range(self.first, self.first + like.shape[0])
        space = tuple(like.shape[1:])
        if like.is_complex():
            z = torch.view_as_complex(torch.stack([rng(n, step.index, (*space, 2)) for n in numbers]))
        else:
            z = torch.stack([rng(n, step.index, space) for n in numbers])
        return z.to(like.device, like.dtype)

    def confine(self, new: Tensor, old: Tensor, clean: Tensor, step: Step) -> Tensor:
        """The proposal itself: every voxel diffuses."""
        return new


@dataclass(frozen=True)
class Correlated:
    """White noise within each slice, alike from slice to slice: ``z_k = rho z_(k-1) + sqrt(1 - rho^2) w_k``.

    For runs in which the slices of one plane are restored alone: neighbours that start from like noise end in like
    images. A plane across them would see noise that is not white. ``axis``: image axis normal to the slices; ``rho``
    in [0, 1): correlation of neighbours, rho^k of slices k apart. ``first``: see :class:`White`.
    """

    axis: int
    rho: float
    first: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rho < 1 or self.axis < 0:
            raise InputError(f"correlation {self.rho:g} along axis {self.axis}; it must be at least 0 and below 1")

    def noise(self, rng: Noise, like: Tensor, step: Step) -> Tensor:
        """Noise (sample, *space) of unit std a real component in every voxel."""
        z = White(self.first).noise(rng, like, step)
        slices = z.unbind(self.axis + 1)
        fresh = math.sqrt((1 - self.rho) * (1 + self.rho))
        found = [slices[0]]
        for w in slices[1:]:
            found.append(self.rho * found[-1] + fresh * w)
        return torch.stack(found, dim=self.axis + 1)

    def confine(self, new: Tensor, old: Tensor, clean: Tensor, step: Step) -> Tensor:
        """The proposal itself: every voxel diffuses."""
        return new
