"""Diffusion of the high frequencies alone: what the centre of k-space has measured never becomes noise (HFS-SDE).

With the low-pass L, ones on the centre of k-space, ``H = F^-1 (1 - L) F`` and ``P = 1 - H`` are orthogonal projectors.
The process is ``x = x0 + sigma H z``: P x = P x0 at every noise level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, Denoiser
from voxprior.diffusion.noise import Noise
from voxprior.diffusion.process import White
from voxprior.diffusion.schedule import Step
from voxprior.errors import InputError
from voxprior.operators.sampling import central


def highpass(shape: Sequence[int], acs: int, axis: int | None) -> Tensor:
    """Mask of the frequencies that diffuse, bool (*space), zero frequency at n//2: all but the ``acs`` central lines.

    ``axis``: space axis along which the lines are counted, the one along which the sampling pattern of the data varies
    (phase encoding); None, for patterns that vary along every axis: all but the central square of side ``acs``.
    Raises :class:`InputError` for a centre that does not fit.
    """
    axes = range(len(shape)) if axis is None else (axis,)
    if not all(0 < acs < shape[a] for a in axes):
        raise InputError(f"a low-pass of {acs} lines in k-space of {tuple(shape)}; give fewer, and at least 1")
    low = torch.ones(tuple(shape), dtype=torch.bool)
    for a in axes:
        low &= torch.from_numpy(central(shape[a], acs)).reshape([-1 if a == b else 1 for b in range(len(shape))])
    return ~low


@dataclass(frozen=True, eq=False)
class HighFrequency:
    """The process ``x0 + sigma H z`` on complex images (sample, *space), as a :class:`Process`.

    ``keep``: mask of :func:`highpass`. ``first``: number of the first sample of the batch, as in :class:`White`.
    """

    keep: Tensor
    first: int = 0

    def high(self, x: Tensor) -> Tensor:
        """``H x``."""
        dims = tuple(range(1, x.ndim))
        keep = torch.fft.ifftshift(self.keep).to(x.device)
        projected: Tensor = torch.fft.ifftn(torch.fft.fftn(x, dim=dims) * keep, dim=dims)
        return projected

    def low(self, x: Tensor) -> Tensor:
        """``P x``."""
        return x - self.high(x)

    def preserving(self, x: Tensor, sigma: float) -> tuple[Tensor, float]:
        """State ``P x + a H x`` of the published path, where ``a^2 + b^2 = 1``, and b, the noise std of its H x."""
        a = 1 / math.hypot(1, sigma)
        return x - (1 - a) * self.high(x), a * sigma

    def noise(self, rng: Noise, like: Tensor, step: Step) -> Tensor:
        """``H z`` of white noise z with unit std a real component."""
        return self.high(White(self.first).noise(rng, like, step))

    def confine(self, new: Tensor, old: Tensor, clean: Tensor, step: Step) -> Tensor:
        """``P clean + H new``: low frequencies are those of the clean estimate, only high ones diffuse."""
        return clean + self.high(new - clean)


@dataclass(frozen=True, eq=False)
class Confined:
    """A denoiser of the high frequencies: ``P x + H D(x, sigma)``; what ``denoise`` says of low ones is not used."""

    denoise: Denoiser
    process: HighFrequency

    @property
    def sigma_range(self) -> tuple[float, float]:
        """That of the denoiser."""
        return self.denoise.sigma_range

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D of x (sample, *space)."""
        return x + self.process.high(self.denoise(x, sigma) - x)

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D)) with ``J' v = P v + J_denoise' H v``."""
        low: list[Tensor] = []

        def inner(raw: Tensor) -> Tensor:
            v = cotangent(x + self.process.high(raw - x))
            high = self.process.high(v)
            low.append(v - high)
            return high

        raw, gradient = self.denoise.pullback(x, sigma, inner)
        return x + self.process.high(raw - x), low[0] + gradient
