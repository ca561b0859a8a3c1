"""What a stack of slices anywhere in space measures of a fine grid, in numpy, so that a result can be verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from voxprior.operators.profiles import cumulative
from voxprior.volume import SliceGeometry

PARALLEL_VOXELS = 0.05
"""Fine voxels by which a stack may leave the directions of the grid, over its length, to count as parallel to it."""
COVERED = 0.8
"""Part of a voxel's sensitivity that must lie on the grid for the voxel to be used."""
REACH = 2.0
"""Half the length of a slice profile that is looked at, in units of the thickness."""

Array = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices as they lie in space: ``affine`` (4 x 4, voxel centre to mm), ``shape``, slice ``axis``, profile.

    ``thickness``: mm. In the slice a voxel is a box as wide as the spacing.
    """

    affine: Array
    shape: tuple[int, int, int]
    axis: int
    thickness: float
    profile: str | tuple[float, ...] = "box"

    @classmethod
    def of(cls, affine: Array, shape: tuple[int, ...], slices: SliceGeometry) -> Stack:
        """The stack that ``slices`` describes, measured under ``affine``."""
        return cls(affine, (shape[0], shape[1], shape[2]), slices.axis, slices.thickness, slices.profile)

    @property
    def spacing(self) -> Array:
        """Distance of voxel centres along each array axis, mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as JSON values."""
        values = asdict(self)
        values["affine"] = self.affine.tolist()
        values["shape"] = list(self.shape)
        values["profile"] = self.profile if isinstance(self.profile, str) else list(self.profile)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Stack:
        """What :meth:`to_dict` wrote; raises KeyError, TypeError or ValueError when it is not that."""
        shape = tuple(int(n) for n in values["shape"])
        affine = np.array(values["affine"], dtype=np.float64)
        axis, thickness, profile = int(values["axis"]), float(values["thickness"]), values["profile"]
        if len(shape) != 3 or affine.shape != (4, 4) or axis not in (0, 1, 2) or not 0 < thickness < np.inf:
            raise ValueError("impossible stack")
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise ValueError("impossible affine")
        known = profile if isinstance(profile, str) else tuple(float(p) for p in profile)
        return cls(affine, (shape[0], shape[1], shape[2]), axis, thickness, known)

    def profile_of(self, axis: int) -> tuple[str | tuple[float, ...], float]:
        """Name and width (mm) of the sensitivity along array ``axis``."""
        return (self.profile, self.thickness) if axis == self.axis else ("box", float(self.spacing[axis]))


@dataclass(frozen=True, eq=False)
class Grid:
    """A fine grid: ``affine`` (4 x 4) and ``shape``."""

    affine: Array
    shape: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Parallel:
    """A stack along the axes of the grid: one matrix (n_data, n_grid) a grid axis.

    ``order``: array axis of the stack that lies along each grid axis. ``kept``: voxels along each grid axis that the
    grid covers.
    """

    order: tuple[int, int, int]
    kept: tuple[slice, slice, slice]
    matrices: Mapping[int, Array]

    def choose(self, data: NDArray[Any]) -> NDArray[Any]:
        """The voxels of the stack that are used, along the axes of the grid."""
        return data.transpose(self.order)[self.kept]

    def apply(self, x: NDArray[Any]) -> Array:
        """``A x`` of one image (*grid), float64, shaped as :meth:`choose` gives it."""
        found = x.astype(np.float64)
        for axis, matrix in self.matrices.items():
            found = np.moveaxis(np.tensordot(matrix, found, axes=(1, axis)), 0, axis)
        return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Tilted:
    """A stack across the axes of the grid: a sparse matrix, (voxels used, voxels of the grid)."""

    kept: Bool
    matrix: sparse.csr_array

    def choose(self, data: NDArray[Any]) -> NDArray[Any]:
        """The voxels of the stack that are used, in one row, slice by slice."""
        return data[self.kept]

    def apply(self, x: NDArray[Any]) -> Array:
        """``A x`` of one image (*grid), float64."""
        return np.asarray(self.matrix @ x.reshape(-1).astype(np.float64))


def place(stack: Stack, grid: Grid) -> Parallel | Tilted:
    """What ``stack`` measures of ``grid``; raises ValueError when nothing of it lies on the grid."""
    to_grid = np.linalg.inv(grid.affine) @ stack.affine
    order = _order(to_grid, stack.shape)
    found = _tilted(stack, grid, to_grid) if order is None else _parallel(stack, grid, to_grid, order)
    if found is None:
        raise ValueError("the stack lies outside the grid")
    return found


def _order(to_grid: Array, shape: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """The array axis along each grid axis, if every array axis runs along one."""
    along = np.abs(to_grid[:3, :3])
    largest = along.argmax(axis=0)
    if sorted(largest) != [0, 1, 2]:
        return None
    off = along.copy()
    off[largest, np.arange(3)] = 0
    if (off * np.array(shape)).max() > PARALLEL_VOXELS:
        return None
    inverse = np.argsort(largest)
    return int(inverse[0]), int(inverse[1]), int(inverse[2])


def _parallel(stack: Stack, grid: Grid, to_grid: Array, order: tuple[int, int, int]) -> Parallel | None:
    matrices: dict[int, Array] = {}
    kept = []
    middle = (np.array(stack.shape) - 1) / 2
    for g, a in enumerate(order):
        # Where the stack is turned by a hair, the middle of it is where it should be.
        others = sum(to_grid[g, b] * middle[b] for b in range(3) if b != a)
        centres = to_grid[g, a] * np.arange(stack.shape[a]) + others + to_grid[g, 3]
        profile, width = stack.profile_of(a)
        mirrored = to_grid[g, a] < 0 and not isinstance(profile, str)
        weight = cumulative(profile[::-1] if mirrored else profile, width / _step(grid, g))
        distance = np.arange(grid.shape[g])[None, :] - centres[:, None]
        matrix = weight(distance + 0.5) - weight(distance - 0.5)
        total = matrix.sum(axis=1)
        inside = np.flatnonzero(total >= COVERED)
        if not len(inside):
            return None
        part = slice(int(inside[0]), int(inside[-1]) + 1)
        kept.append(part)
        matrix = np.asarray(matrix[part] / total[part, None], dtype=np.float64)
        matrix[matrix < 1e-12] = 0
        if matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, np.eye(len(matrix)), atol=1e-6):
            matrices[g] = matrix
    return Parallel(order, (kept[0], kept[1], kept[2]), matrices)


def _step(grid: Grid, axis: int) -> float:
    return float(np.linalg.norm(grid.affine[:3, axis]))


def _tilted(stack: Stack, grid: Grid, to_grid: Array) -> Tilted | None:
    rows, parts = [], []
    for kept, matrix in _slices(stack, grid, to_grid):
        rows.append(kept)
        parts.append(matrix)
    used = np.stack(rows, axis=stack.axis)
    if not used.any():
        return None
    # Voxels are counted as numpy's mask does, the last axis fastest; the matrices came slice by slice.
    number = np.full(stack.shape, -1, dtype=np.int64)
    number[used] = np.arange(used.sum())
    turned = np.moveaxis(number, stack.axis, 0)
    position = turned[np.moveaxis(used, stack.axis, 0)]
    matrix = sparse.vstack(parts, format="csr")
    return Tilted(used, matrix[np.argsort(position)])


def _slices(stack: Stack, grid: Grid, to_grid: Array) -> Iterator[tuple[Bool, sparse.csr_array]]:
    """Of each slice the voxels that are used, and their rows: the profile at points, linear between grid voxels."""
    fine = min(_step(grid, g) for g in range(3))
    offsets, weights = _points(stack, fine)
    in_plane = [a for a in range(3) if a != stack.axis]
    shape = [stack.shape[a] for a in in_plane]
    for k in range(stack.shape[stack.axis]):
        index = np.empty((3, int(np.prod(shape))))
        index[stack.axis] = k
        index[in_plane] = np.indices(shape).reshape(2, -1)
        points = index[:, :, None] + offsets.T[:, None, :]
        place = np.einsum("gi,ivp->gvp", to_grid[:3, :3], points) + to_grid[:3, 3, None, None]
        matrix = _linear(place, weights, grid.shape)
        total = np.asarray(matrix.sum(axis=1)).ravel()
        kept = total >= COVERED
        scaled = sparse.diags_array(1 / total[kept]) @ matrix[np.flatnonzero(kept)]
        yield kept.reshape(shape), sparse.csr_array(scaled)


def _points(stack: Stack, fine: float) -> tuple[Array, Array]:
    """Places about a voxel's centre, in voxels of the stack, (points, 3), and how much each counts, (points,)."""
    ways, shares = [], []
    for a in range(3):
        profile, width = stack.profile_of(a)
        half = (0.5 if profile == "box" else REACH) * width
        count = max(1, ceil(2 * half / fine - 1e-6)) * (2 if a == stack.axis else 1)
        edges = np.linspace(-half, half, count + 1)
        share = np.diff(cumulative(profile, width)(edges))
        counts = share > 1e-6
        ways.append(((edges[1:] + edges[:-1]) / 2)[counts] / stack.spacing[a])
        shares.append(share[counts] / share.sum())
    mesh = np.stack([m.ravel() for m in np.meshgrid(*ways, indexing="ij")], axis=1)
    weights = np.einsum("i,j,k->ijk", *shares).ravel()
    return mesh, weights


def _linear(place: Array, weights: Array, shape: tuple[int, int, int]) -> sparse.csr_array:
    """Rows (voxels, grid) that read the grid linearly at ``place`` (3, voxels, points); beyond the grid is nothing."""
    limits = np.array(shape)[:, None, None]
    inside = ((place >= -0.5) & (place <= limits - 0.5)).all(axis=0)
    held = np.clip(place, 0, limits - 1)
    low = np.minimum(np.floor(held), np.maximum(limits - 2, 0)).astype(np.int64)
    part = held - low
    voxels = np.broadcast_to(np.arange(place.shape[1])[:, None], inside.shape)
    size = (place.shape[1], int(np.prod(shape)))
    total = sparse.csr_array(size)
    for corner in np.ndindex(2, 2, 2):
        c = np.array(corner)[:, None, None]
        share = np.where(c == 1, part, 1 - part).prod(axis=0) * weights
        used = inside & (share > 0)
        column = np.ravel_multi_index(tuple(np.minimum(low + c, limits - 1)[:, used]), shape)
        total = total + sparse.csr_array((share[used], (voxels[used], column)), shape=size)
    return total
