"""What a process adds to an image on its way to noise, and the space in which it moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from voxprior.diffusion.noise import Noise
from voxprior.diffusion.schedule import Step


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
