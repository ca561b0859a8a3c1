"""Denoisers of slices as denoisers of a volume: slab by slab along one axis, and averaged over planes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, Denoiser
from voxprior.errors import InputError

BATCH = 8
"""Slabs of one call unless said otherwise."""
WEIGHT_SLACK = 1e-6
"""Rounding by which weights may miss a sum of 1."""


class SlabDenoiser(Protocol):
    """A denoiser of slabs of parallel slices that sees ``halo`` slices more on either side."""

    def __call__(self, slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
        """(n, slab + 2 halo, rows, columns) to the inner (n, slab, rows, columns).

        Slab i begins (halo aside) at slice ``start[i]`` of the volume ``sample[i]`` of the batch.
        """
        ...


@dataclass(frozen=True)
class Slabs:
    """How a volume is cut: ``slab`` slices at a time along space axis ``axis``, ``halo`` more on either side.

    ``rows``: the space axis that becomes the rows of a slice; the remaining one becomes the columns. Beyond its ends
    the volume goes on with its edge slice. Raises :class:`InputError` for axes that are not two of three.
    """

    axis: int
    rows: int
    slab: int = 1
    halo: int = 0

    def __post_init__(self) -> None:
        if self.axis == self.rows or not {self.axis, self.rows} <= {0, 1, 2}:
            raise InputError(f"slices along axis {self.axis} with rows along {self.rows}; give two of 0, 1 and 2")
        if self.slab < 1 or self.halo < 0:
            raise InputError(f"slabs of {self.slab} slices with a halo of {self.halo}; give at least 1 and 0")

    def view(self, x: Tensor) -> Tensor:
        """(sample, *space) as (sample, slice, row, column), the same memory."""
        return x.movedim((self.axis + 1, self.rows + 1), (1, 2))

    def starts(self, slices: int) -> range:
        """First slices of the slabs of a volume of so many slices; the last slab may reach beyond the end."""
        return range(0, slices, self.slab)

    def index(self, slices: int, sample: list[int], start: list[int]) -> tuple[Tensor, Tensor]:
        """Index into :meth:`view` that cuts slabs with their halos: (n, 1) samples and (n, slab + 2 halo) slices."""
        first = torch.tensor(start)[:, None] + torch.arange(-self.halo, self.slab + self.halo)
        return torch.tensor(sample)[:, None], first.clamp(0, slices - 1)

    def cut(self, x: Tensor, sample: list[int], start: list[int]) -> Tensor:
        """Slabs (n, slab + 2 halo, rows, columns) of x (sample, *space)."""
        whole = self.view(x)
        return whole[self.index(whole.shape[1], sample, start)]

    def put(self, slabs: Tensor, x: Tensor, sample: list[int], start: list[int]) -> None:
        """Write the inner slices (n, slab, rows, columns) to their place in x; what reaches beyond the end is left."""
        whole = self.view(x)
        for slab, k, z in zip(slabs, sample, start, strict=True):
            room = whole[k, z : z + self.slab]
            room.copy_(slab[: room.shape[0]])

    def add(self, slabs: Tensor, x: Tensor, sample: list[int], start: list[int]) -> None:
        """Like :meth:`put`, but add to what is there."""
        whole = self.view(x)
        for slab, k, z in zip(slabs, sample, start, strict=True):
            room = whole[k, z : z + self.slab]
            room.add_(slab[: room.shape[0]])


@dataclass(frozen=True)
class Slicewise:
    """A slab denoiser applied to every slab of a volume, ``batch`` slabs at a time; see :func:`slicewise`."""

    denoise: SlabDenoiser
    slabs: Slabs
    sigma_range: tuple[float, float]
    batch: int

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D of x (sample, *space)."""
        d = torch.empty_like(x, memory_format=torch.contiguous_format)
        for sample, start in self._chunks(x):
            self.slabs.put(self.denoise(self.slabs.cut(x, sample, start), sigma, start, sample), d, sample, start)
        return d

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D)); the memory of autograd is that of one chunk, for a second call of each."""
        with torch.no_grad():
            d = self(x, sigma)
            v = cotangent(d)
        gradient = torch.zeros_like(x, memory_format=torch.contiguous_format)
        whole, inner = self.slabs.view(gradient), Slabs(self.slabs.axis, self.slabs.rows, self.slabs.slab)
        for sample, start in self._chunks(x):
            with torch.enable_grad():
                leaf = self.slabs.cut(x.detach(), sample, start).requires_grad_(True)
                out = self.denoise(leaf, sigma, start, sample)
            weight = inner.cut(v, sample, start)
            for i, z in enumerate(start):
                weight[i, whole.shape[1] - z :] = 0
            (part,) = torch.autograd.grad(out, leaf, weight)
            whole.index_put_(self.slabs.index(whole.shape[1], sample, start), part, accumulate=True)
        return d, gradient

    def _chunks(self, x: Tensor) -> Iterator[tuple[list[int], list[int]]]:
        starts = self.slabs.starts(x.shape[self.slabs.axis + 1])
        every = [(k, z) for k in range(x.shape[0]) for z in starts]
        for i in range(0, len(every), self.batch):
            sample, start = zip(*every[i : i + self.batch], strict=True)
            yield list(sample), list(start)


def slicewise(denoise: SlabDenoiser, slabs: Slabs, sigma_range: tuple[float, float], batch: int = BATCH) -> Slicewise:
    """A denoiser of volumes from one of slabs; the result does not depend on ``batch``, the slabs of one call."""
    if batch < 1:
        raise InputError(f"{batch} slabs a call; give at least 1")
    return Slicewise(denoise, slabs, sigma_range, batch)


@dataclass(frozen=True)
class Averaged:
    """``D = sum_p w_p D_p``; see :func:`averaged`."""

    denoisers: tuple[Denoiser, ...]
    weights: tuple[float, ...]

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Where every one of the denoisers can be trusted."""
        ranges = [d.sigma_range for d in self.denoisers]
        return max(low for low, _ in ranges), min(high for _, high in ranges)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D of x (sample, *space)."""
        total = torch.zeros_like(x)
        for w, denoise in zip(self.weights, self.denoisers, strict=True):
            total = total + w * denoise(x, sigma)
        return total

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D)), one denoiser after the other."""
        with torch.no_grad():
            d = self(x, sigma)
            v, gradient = cotangent(d), torch.zeros_like(x)
        for w, denoise in zip(self.weights, self.denoisers, strict=True):
            gradient = gradient + w * denoise.pullback(x, sigma, lambda _: v)[1]
        return d, gradient


def averaged(denoisers: Sequence[Denoiser], weights: Sequence[float] | None = None) -> Averaged:
    """The weighted mean of denoisers, one a plane as a rule; ``weights`` sum to 1, by default they are equal.

    Raises :class:`InputError` for no denoiser, or weights that do not fit.
    """
    n = len(denoisers)
    given = tuple(weights) if weights is not None else (1 / n,) * n if n else ()
    if not n or len(given) != n or abs(sum(given) - 1) > WEIGHT_SLACK:
        raise InputError(f"{n} denoisers with weights {given}; give one weight each, with a sum of 1")
    return Averaged(tuple(denoisers), given)
