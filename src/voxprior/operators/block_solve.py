"""Normal equations of k-space lines, solved exactly: one Hermitian system for each position along the read-out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Way = Literal["iterate", "cholesky", "eigen"]

CHUNK = 2**22
"""Matrix entries that are built and factorised at once."""
LARGEST = 2**26
"""Most matrix entries that are kept: half a gigabyte in single precision."""
ITERATION, PRODUCT, TRIANGULAR, EIGEN, CHOLESKY = 6.0, 2.2, 1.0, 0.4, 0.1
"""Nanoseconds (their ratios matter): of an iteration a coil and voxel, of two products and of two triangular solves a
matrix entry, of the eigenvectors and of the Cholesky factor a matrix entry and row; benchmarks/recon/prox.py."""


@dataclass(frozen=True)
class Plan:
    """How an operator will be used: number of proximal points, and how many different weights among them.

    ``weights`` None: every proximal point has its own.
    """

    solves: int = 30
    weights: int | None = None


@dataclass(frozen=True)
class Sizes:
    """Size of normal equations that fall apart into ``blocks`` systems of ``sets`` times ``lines`` unknowns.

    ``changing``: number of axes along which the mask changes; the systems are known in closed form for at most one.
    """

    lines: int
    blocks: int
    coils: int
    sets: int = 1
    changing: int = 1


def choose(sizes: Sizes, plan: Plan, lam: float) -> Way:
    """The cheapest way to a proximal point, from sizes alone, so that it is the same on every machine.

    Iterations to a residual of 1e-6 are about 5 / lam^0.4, at least 5 and at most 200. Matrices are factorised once
    for all weights (eigen) or once a weight (Cholesky, for ``lam`` > 0). ``lam`` = 0 is exact by eigenvectors alone.
    """
    n = sizes.lines * sizes.sets
    entries = sizes.blocks * n**2
    if sizes.changing > 1 or entries > LARGEST:
        return "iterate"
    weights = plan.solves if plan.weights is None else plan.weights
    eigen = plan.solves * PRODUCT * entries + EIGEN * entries * n
    if lam == 0:
        return "eigen"
    steps = min(max(5 / lam**0.4, 5), 200)
    iterate = plan.solves * steps * ITERATION * sizes.blocks * n * sizes.coils
    cholesky = plan.solves * TRIANGULAR * entries + weights * CHOLESKY * entries * n
    ways: list[tuple[float, Way]] = [(iterate, "iterate"), (cholesky, "cholesky"), (eigen, "eigen")]
    return min(ways, key=lambda way: way[0])[1]


class Blocks:
    """``A'A`` as matrices, and what is made of them.

    ``maps`` (set, coil, *space); ``mask``: real (*space), zero frequency first along the ``changing`` axis, of which
    there is one or none; ``axes``: those that the operator transforms. Positions that no coil sees are left out.
    """

    def __init__(self, maps: Tensor, mask: Tensor, changing: tuple[int, ...], axes: tuple[int, ...]) -> None:
        self.sets, self.axis = maps.shape[0], changing[0] if changing else None
        seen = self._lay(maps.abs().amax(dim=(0, 1))[None, None] > 0)[0, 0]
        self.columns, self.rows = seen.any(1).nonzero()[:, 0], seen.any(0).nonzero()[:, 0]
        self.maps = self._lay(maps)[:, :, self.columns][..., self.rows].permute(2, 1, 0, 3).flatten(2)
        constant = [a for a in axes if a not in changing]
        kernel = mask
        for a in constant:
            kernel = kernel.narrow(a, 0, 1).expand_as(mask)
        kernel = kernel.to(maps.dtype) if self.axis is None else torch.fft.ifft(kernel.to(maps.dtype), dim=self.axis)
        self.kernel = self._lay(kernel[None, None])[0, 0][self.columns]
        self.space = mask.ndim
        self._eigen: tuple[Tensor, Tensor] | None = None
        self._cholesky: tuple[float, Tensor] | None = None

    def _lay(self, x: Tensor) -> Tensor:
        """(a, b, *space) to (a, b, block, line)."""
        x = x.movedim(self.axis + 2, -1) if self.axis is not None else x[..., None]
        return x.flatten(2, -2)

    def matrices(self) -> Iterator[tuple[slice, Tensor]]:
        """``A'A`` (block, n, n), n = set times row, some blocks at a time, with their numbers.

        ``(A'A)_jk = g_(j-k) sum_c conj(s_c,j) s_c,k`` with g the inverse transform of the mask.
        """
        blocks, _, n = self.maps.shape
        shift = ((self.rows[:, None] - self.rows[None, :]) % self.kernel.shape[-1]).repeat(self.sets, self.sets)
        step = max(1, CHUNK // max(n, 1) ** 2)
        for first in range(0, blocks, step):
            part = slice(first, first + step)
            yield part, (self.maps[part].mH @ self.maps[part]) * self.kernel[part][:, shift]

    def solve(self, back: Tensor, d: Tensor, lam: float, way: Way) -> Tensor:
        """Proximal point from ``back`` = A'y and d, both (sample, *image_shape)."""
        if not self.maps.numel():
            return d
        b, a = self._gather(back), self._gather(d)
        samples = b.shape[-1]
        if way == "cholesky" and lam > self._rounding:
            solved = self._by_cholesky(b + lam * a, lam)
        else:
            values, vectors = self._decomposition()
            # V' b as the conjugate of V^T conj(b): V' itself would be a copy of the largest thing that there is.
            both = (vectors.mT @ torch.cat([b, a], dim=-1).conj()).conj()
            b, a = both[..., :samples], both[..., samples:]
            kept = values[..., None] > (-1.0 if lam else self._rounding)
            solved = vectors @ torch.where(kept, (b + lam * a) / torch.where(kept, values[..., None] + lam, 1), a)
        return self._scatter(solved, d)

    @cached_property
    def _rounding(self) -> float:
        """What rounding leaves of a zero eigenvalue: n eps of the most that the largest one can be."""
        energy = self.maps.abs().square().sum(1).reshape(len(self.maps), self.sets, -1).sum(1)
        return self.maps.shape[-1] * torch.finfo(energy.dtype).eps * float(energy.max())

    def _decomposition(self) -> tuple[Tensor, Tensor]:
        if self._eigen is None:
            blocks, _, n = self.maps.shape
            values, vectors = self.kernel.real.new_empty(blocks, n), self.maps.new_empty(blocks, n, n)
            with _one_thread():
                for part, matrix in self.matrices():
                    values[part], vectors[part] = _eigh(matrix)
            self._eigen = values.clamp_min(0), vectors
        return self._eigen

    def _by_cholesky(self, b: Tensor, lam: float) -> Tensor:
        if self._cholesky is None or self._cholesky[0] != lam:
            blocks, _, n = self.maps.shape
            factor, self._cholesky = self.maps.new_empty(blocks, n, n), None
            eye = torch.eye(n, dtype=b.dtype, device=b.device)
            with _one_thread():
                for part, matrix in self.matrices():
                    factor[part] = torch.linalg.cholesky(matrix + lam * eye)
            self._cholesky = lam, factor
        factor = self._cholesky[1]
        half = torch.linalg.solve_triangular(factor, b, upper=False)
        result: Tensor = torch.linalg.solve_triangular(factor.mT, half.conj().resolve_conj(), upper=True).conj()
        return result

    def _gather(self, x: Tensor) -> Tensor:
        """Images (sample, *image_shape) to (block, n, sample)."""
        x = self._lay(x if x.ndim == self.space + 2 else x[:, None])[:, :, self.columns][..., self.rows]
        return x.permute(2, 1, 3, 0).flatten(1, 2)

    def _scatter(self, solved: Tensor, d: Tensor) -> Tensor:
        """d with the positions of the blocks replaced."""
        whole = d if d.ndim == self.space + 2 else d[:, None]
        flat = self._lay(whole).clone()
        parts = solved.reshape(len(self.columns), self.sets, len(self.rows), -1).permute(3, 1, 0, 2)
        flat[:, :, self.columns[:, None], self.rows] = parts
        if self.axis is None:
            return flat.reshape(d.shape)
        moved = whole.movedim(self.axis + 2, -1).shape
        return flat.reshape(moved).movedim(-1, self.axis + 2).reshape(d.shape)


def _eigh(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors; by chance the quick algorithm fails in single precision, where most are zero.

    It says so, or leaves a matrix of a batch without a number.
    """
    try:
        values, vectors = torch.linalg.eigh(matrices)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # torch does not list it
        return _eigh_in_double(matrices)
    failed = ~torch.isfinite(values.sum(-1) + vectors.abs().sum((-2, -1)))
    if failed.any():
        values[failed], vectors[failed] = _eigh_in_double(matrices[failed])
    return values, vectors


def _eigh_in_double(matrices: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrices.to(torch.complex128))
    return values.to(matrices.real.dtype), vectors.to(matrices.dtype)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Factorise on one thread: matrices of a few hundred rows lose more by waiting for each other than they win."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
