"""Cartesian k-space of an image, by one coil or many: its adjoint, and its proximal point by the cheapest exact way."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from voxprior.errors import InputError
from voxprior.operators.base import Composable, solve_normal
from voxprior.operators.block_solve import LARGEST, Blocks, Plan, Sizes, choose

TOLERANCE = {torch.complex64: 2e-6, torch.complex128: 1e-10}
"""Where the iterations stop: residual of the normal equations as a part of ``|A'y + lam d|``."""


def fft(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Centred orthonormal Fourier transform along ``dims``: zero frequency, and the origin, at index n // 2."""
    result: Tensor = torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(x, dims), dim=dims, norm="ortho"), dims)
    return result


def ifft(k: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Inverse, and adjoint, of :func:`fft`."""
    result: Tensor = torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(k, dims), dim=dims, norm="ortho"), dims)
    return result


class _Placed(NamedTuple):
    """Mask, mask with the zero frequency first, and maps (set, coil, *space), on one device in one precision."""

    mask: Tensor
    rolled: Tensor
    maps: Tensor | None


class Fourier(Composable):
    """``(A x)_c = mask * F(maps_c x)``: k-space (sample, coil, *space) of complex images x (sample, *space).

    ``mask``: bool (*space), True where measured; what y holds elsewhere is ignored. ``maps``: coil sensitivities
    (coil, *space), or None for one coil without a map, whose y is (sample, *space). With several sets of maps,
    (set, coil, *space), an image is (sample, set, *space) and the coils see the sum over the sets. ``axes``: axes of
    the space that are transformed, by default all: (1, 2) makes a stack of slices of a space (slice, y, x).

    The proximal point is a closed form for one coil. With maps, axes along which the mask is constant need no
    transform, and the normal equations fall apart into one small system for each position along them:
    :func:`~voxprior.operators.block_solve.choose` says whether these are solved exactly or by conjugate gradients,
    from the sizes and ``plan`` alone. With sum |maps|^2 at most 1 the eigenvalues of A'A lie in [0, 1], so the
    condition number is (1 + lam) / lam; for ``lam`` = 0 what lies below rounding counts as not measured.
    """

    def __init__(
        self,
        mask: Tensor,
        maps: Tensor | None = None,
        axes: tuple[int, ...] | None = None,
        plan: Plan | None = None,
        tolerance: float | None = None,
    ) -> None:
        space = tuple(mask.shape)
        if maps is not None and (maps.ndim - mask.ndim not in (1, 2) or tuple(maps.shape[-mask.ndim :]) != space):
            raise InputError(
                f"sensitivity maps {tuple(maps.shape)} do not fit a mask {space}; give maps (coil, *space) of the grid"
            )
        self.mask, self.maps, self.shape = mask.bool(), maps, space
        self.axes = tuple(range(mask.ndim)) if axes is None else tuple(a % mask.ndim for a in axes)
        self.plan, self.tolerance = plan or Plan(), tolerance
        self._placed: dict[tuple[torch.device, torch.dtype], _Placed] = {}
        self._blocks: dict[tuple[torch.device, torch.dtype], Blocks] = {}

    @property
    def sets(self) -> int | None:
        """Number of sets of maps when the image has an axis for them, else None."""
        return self.maps.shape[0] if self.maps is not None and self.maps.ndim == self.mask.ndim + 2 else None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of x, without the sample axis."""
        return self.shape if self.sets is None else (self.sets, *self.shape)

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of y, without the sample axis."""
        return self.shape if self.maps is None else tuple(self.maps.shape[-self.mask.ndim - 1 :])

    @property
    def acceleration(self) -> float:
        """Number of k-space samples of the grid over the number of measured ones."""
        return self.mask.numel() / max(int(self.mask.sum()), 1)

    @property
    def entries(self) -> int:
        """Most matrix entries that an exact proximal point keeps; 0 where there is a formula, or iterations alone."""
        whole = self._sizes.blocks * (self._sizes.lines * self._sizes.sets) ** 2
        return 0 if self.maps is None or len(self.changing) != 1 or whole > LARGEST else whole

    def planned(self, solves: int, weights: int | None = None, tolerance: float | None = None) -> Fourier:
        """The same operator, told how many proximal points will be asked for, with how many different ``lam``.

        ``tolerance``: of the iterations; by default as before.
        """
        return Fourier(self.mask, self.maps, self.axes, Plan(solves, weights), tolerance or self.tolerance)

    def apply(self, x: Tensor) -> Tensor:
        """``A x``: complex images (sample, *image_shape) to k-space (sample, *data_shape)."""
        placed = self._at(x)
        measured: Tensor = placed.mask * fft(self._coil_images(x, placed.maps), self._dims)
        return measured

    def adjoint(self, y: Tensor) -> Tensor:
        """``A' y``: k-space (sample, *data_shape) to images (sample, *image_shape)."""
        self._require(y)
        placed = self._at(y)
        return self._combine(ifft(placed.mask * y, self._dims), placed.maps)

    def normal(self, x: Tensor) -> Tensor:
        """``A'A x``, with transforms along the axes alone along which the mask changes.

        Centred and plain transforms give the same A'A: shifts of the image commute with ``F' mask F``. Coil by coil,
        so that the pictures stay in the cache of a core.
        """
        placed = self._at(x)
        dims = tuple(a - self.mask.ndim for a in self.changing)
        if placed.maps is None:
            return _filtered(x, placed.rolled, dims)
        if self.sets is None:
            parts = (s.conj() * _filtered(s * x, placed.rolled, dims) for s in placed.maps[0])
        else:
            coils = placed.maps.unbind(1)
            parts = (s.conj() * _filtered((s * x).sum(1, keepdim=True), placed.rolled, dims) for s in coils)
        total: Tensor = next(parts)
        for part in parts:
            total = total + part
        return total

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        """``argmin_x |A x - y|^2 + lam |x - d|^2``; ``lam`` = 0 keeps what A does not see of d.

        ``warm``: where conjugate gradients start for ``lam`` > 0; the exact ways do not need it.
        """
        if self.maps is None:
            self._require(y)
            mask = self._at(y).mask
            return d + ifft(mask * (y - fft(d, self._dims)), self._dims) / (1 + lam)
        back = self.adjoint(y)
        if not self.changing and self.sets is None:
            return self._voxelwise(d, back, lam)
        way = choose(self._sizes, self.plan, lam)
        if way == "iterate":
            start = d if warm is None or lam == 0 else warm
            together = tuple(a - self.mask.ndim for a in self.changing)
            together = together if self.sets is None else (1, *together)
            tolerance = self.tolerance or TOLERANCE[d.dtype]
            return solve_normal(self.normal, back + lam * d, start, lam, tolerance=tolerance, together=together).x
        return self._factors(d).solve(back, d, lam, way)

    def _voxelwise(self, d: Tensor, back: Tensor, lam: float) -> Tensor:
        """Proximal point where A'A is a number a voxel: everything, or nothing, of a slice is measured."""
        energy = self.normal(torch.ones_like(d)).real
        seen = energy > (0 if lam else torch.finfo(energy.dtype).eps * energy.max())
        return d + torch.where(seen, (back - energy * d) / torch.where(seen, energy + lam, 1), 0)

    def _require(self, y: Tensor) -> None:
        if tuple(y.shape[1:]) != self.data_shape:
            raise InputError(
                f"k-space {tuple(y.shape[1:])} where the operator measures {self.data_shape}; "
                "give mask, maps and data of the same coils and grid"
            )

    @cached_property
    def _dims(self) -> tuple[int, ...]:
        return tuple(a - self.mask.ndim for a in self.axes)

    @cached_property
    def changing(self) -> tuple[int, ...]:
        """Transformed axes along which the mask is not constant."""
        return tuple(a for a in self.axes if bool((self.mask != self.mask.narrow(a, 0, 1)).any()))

    @cached_property
    def _sizes(self) -> Sizes:
        coils, sets = (self.data_shape[0], self.sets or 1)
        lines = 1
        for a in self.changing:
            lines *= self.shape[a]
        return Sizes(lines, self.mask.numel() // lines, coils, sets, len(self.changing))

    def _at(self, like: Tensor) -> _Placed:
        """What is needed where, and as precise as, ``like`` is."""
        dtype = torch.complex128 if like.dtype in (torch.float64, torch.complex128) else torch.complex64
        key = (like.device, dtype)
        if key not in self._placed:
            mask = self.mask.to(like.device, dtype.to_real())
            rolled = torch.fft.ifftshift(mask, self.changing) if self.changing else mask
            maps = None if self.maps is None else self.maps.to(like.device, dtype)
            self._placed[key] = _Placed(mask, rolled, maps[None] if maps is not None and self.sets is None else maps)
        return self._placed[key]

    def _factors(self, like: Tensor) -> Blocks:
        placed, key = self._at(like), (like.device, like.dtype)
        if key not in self._blocks:
            assert placed.maps is not None
            self._blocks[key] = Blocks(placed.maps, placed.rolled, self.changing, self.axes)
        return self._blocks[key]

    def _coil_images(self, x: Tensor, maps: Tensor | None) -> Tensor:
        """(sample, *image_shape) to (sample, *data_shape)."""
        if maps is None:
            return x
        if self.sets is None:
            return maps[0] * x[:, None]
        return (maps * x[:, :, None]).sum(1)

    def _combine(self, coils: Tensor, maps: Tensor | None) -> Tensor:
        """The adjoint of :meth:`_coil_images`."""
        if maps is None:
            return coils
        if self.sets is None:
            return (maps[0].conj() * coils).sum(1)
        return (maps.conj() * coils[:, None]).sum(2)


def _filtered(x: Tensor, gain: Tensor, dims: tuple[int, ...]) -> Tensor:
    """``gain`` times x in the frequencies of ``dims``, zero frequency first."""
    if not dims:
        return gain * x
    k = torch.fft.fftn(x, dim=dims)
    k = gain * k if k.requires_grad else k.mul_(gain)
    result: Tensor = torch.fft.ifftn(k, dim=dims)
    return result


class RealImage(Composable):
    """A real image as a complex one: ``Fourier(mask) @ RealImage()`` measures real images."""

    def apply(self, x: Tensor) -> Tensor:
        """x (sample, *space), real, as complex."""
        return torch.complex(x, torch.zeros_like(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """The real part: the adjoint for the inner product Re(conj(a) b)."""
        return y.real

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        """``(Re y + lam d) / (1 + lam)``; ``warm`` is not needed."""
        return (y.real + lam * d) / (1 + lam)
