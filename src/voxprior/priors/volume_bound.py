"""A volume prior bound to one measurement: its intensities, its cells, its interpolation to the fine grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, pullback
from voxprior.operators.base import Measurement
from voxprior.operators.profiles import interpolation_matrix, slice_matrix
from voxprior.operators.separable import Separable, along
from voxprior.priors.bound import frame, from_other_end
from voxprior.priors.condition import MOST_NOISE, interpolate
from voxprior.priors.intensity import intensity_scale
from voxprior.priors.portion import VOLUME_BYTES
from voxprior.priors.tiles import Box, Tiles, tiled
from voxprior.priors.volume import FEATURES, STEM, VolumePrior, VolumePriorConfig
from voxprior.volume import SliceGeometry


def describe_axes(
    axes: Sequence[SliceGeometry],
    along_cells: int,
    voxel: tuple[float, float, float],
    world: tuple[int, int, int] | None,
    noise: float = 0.0,
    degradation: str = "box",
) -> NDArray[np.float32]:
    """The vector that conditions a volume network, (FEATURES,).

    ``axes``: what is coarse. ``along_cells``: the array axis that is cut into cells. ``voxel``: mm of the array axes.
    ``world``: patient axis of each array axis, None when oblique or unknown. ``noise``: std of a measured value on the
    priors' scale.
    """
    vector = np.zeros(FEATURES, dtype=np.float32)
    across = [g for g in axes if g.axis != along_cells]
    for first, group in ((0, [g for g in axes if g.axis == along_cells]), (8, across)):
        if group:
            vector[first] = 1.0
            vector[first + 1 : first + 4] = np.mean([_shape(g) for g in group], axis=0)
    vector[4] = 10 * noise
    others = sorted({0, 1, 2} - {along_cells}, key=lambda a: a if world is None else world[a])
    order = [along_cells, *others]
    vector[5:8] = np.log([voxel[a] for a in order])
    vector[12] = float(degradation == "1.5t")
    if world is not None:
        vector[13 + world[along_cells]] = 1.0
    return vector


def _shape(g: SliceGeometry) -> tuple[float, float, float]:
    middle, z = slice_matrix(g)[g.count // 2], (np.arange(g.fine_count) - (g.fine_count - 1) / 2) * g.fine_spacing
    width = math.sqrt(max(float(middle @ z**2 - (middle @ z) ** 2), 0.0))
    return math.log(g.thickness / g.fine_spacing), math.log(g.spacing / g.fine_spacing), width / g.spacing


def cell_axis(axes: Sequence[SliceGeometry]) -> int:
    """The array axis that is cut into cells: the slice axis of a stack, else the last axis that is not coarse."""
    coarse = {g.axis for g in axes}
    return next(iter(coarse)) if len(coarse) == 1 else max(set(range(3)) - coarse, default=2)


def on_cells(g: SliceGeometry, cosines: int) -> SliceGeometry:
    """The slices of ``g`` with a whole number of fine voxels each, at most ``cosines``, as near as can be to its own.

    The kernel sees the slices side by side: a gap or an overlap is in the thickness, not in the grid.
    """
    fine = min(max(round(g.spacing / g.fine_spacing), 1), cosines)
    return replace(g, fine_count=g.count * fine, fine_spacing=g.spacing / fine)


@dataclass(frozen=True)
class _Grid:
    """The fine grid asked for (``asked``) and the one of the cells; ``matrix``: from the latter to the former."""

    asked: Tensor
    matrix: NDArray[np.float64] | None


class BoundVolume:
    """What a :class:`VolumePrior` needs to work on the volume behind one coarse measurement.

    Everything inside is on the priors' intensity scale, in RAS order, on the grid of the cells: :attr:`measurement`,
    :attr:`m` and the denoiser. :meth:`leave` brings an image there to the grid and the units that were asked for.
    ``memory``: megabytes for one network call. Raises TypeError when the operator is not separable with known axes, or
    has no place in the patient.
    """

    def __init__(
        self, prior: VolumePrior, measurement: Measurement, degradation: str = "box", memory: int | None = None
    ) -> None:
        operator = measurement.operator
        if not isinstance(operator, Separable) or not operator.axes or measurement.affine is None:
            raise TypeError("a volume prior is bound to a Separable operator with axes, and an affine")
        self.prior, self.frame = prior, frame(measurement.affine)
        self.scale = intensity_scale(measurement.y.numpy(force=True))
        # Of a weak field the network knows the noise: it belongs to what was simulated.
        known = isinstance(measurement.sigma, int | float) and degradation != "1.5t"
        self.noise = float(measurement.sigma) / self.scale if known else 0.0  # type: ignore[arg-type]
        given = [from_other_end(g) if g.axis in self.frame.flips else g for g in operator.axes]
        self.axis = cell_axis(given)
        self.axes = [on_cells(g, prior.config.cosines) if g.axis == self.axis else g for g in given]
        self.fine = next((g.fine_count // g.count for g in self.axes if g.axis == self.axis), 1)
        y = self.enter(measurement.y)
        cells = Separable.from_axes(self.axes, tuple(y.shape[1:]))
        self.measurement = Measurement(cells, y, self.noise or None)
        heard = min(self.noise, MOST_NOISE)
        ways = [interpolate(g, heard) for g in self.axes]
        self.residual = math.sqrt(sum(way.residual**2 for way in ways))
        self.m = _through(y, self.axes, [way.matrix for way in ways])
        self._grid = _grid(given, self.axes, self.axis, y, self.m, heard)
        voxel = list(self.frame.voxel)
        for g in self.axes:
            voxel[g.axis] = g.fine_spacing
        world = None if self.frame.oblique else self.frame.world
        told = describe_axes(self.axes, self.axis, (voxel[0], voxel[1], voxel[2]), world, heard, degradation)
        self.vector = torch.from_numpy(told).to(self.m)
        self.tiles = tiles_of(prior.config, self.fine)
        if memory is not None:
            self.tiles = self.tiles.at_most(memory * 2**20 // VOLUME_BYTES)

    def enter(self, y: Tensor) -> Tensor:
        """Measured values in input units and array order to the priors' scale and RAS order."""
        return (y / self.scale).flip([a + 1 for a in self.frame.flips])

    def leave(self, x: Tensor) -> Tensor:
        """An image on the cells' grid to the grid asked for, array order and input units."""
        if self._grid.matrix is not None:  # what the prior adds is carried over; the rest is known on the grid itself
            x = self._grid.asked + along(x - self.m, self._grid.matrix, self.axis)
        return x.flip([a + 1 for a in self.frame.flips]) * self.scale

    def spread(self, std: Tensor) -> Tensor:
        """A standard deviation on the cells' grid, as :meth:`leave` does an image."""
        if self._grid.matrix is not None:
            std = along(std, self._grid.matrix, self.axis).clamp_min(0)
        return std.flip([a + 1 for a in self.frame.flips]) * self.scale

    def call(self, x: Tensor, sigma: float, tick: Callable[[], None] = lambda: None) -> tuple[Tensor, Tensor]:
        """D(x, sigma) and its std, of x (sample, *space) on the cells' grid, tile by tile."""
        m = self._inside(self.m)
        noisy = self._inside(x)

        def restore(box: Box) -> tuple[Tensor, ...]:
            part = noisy[(slice(None), *box)]
            n = len(part)
            told = m[(slice(None), *box)].expand(n, -1, -1, -1)
            level, spread = (torch.full((n,), v, dtype=part.dtype, device=part.device) for v in (sigma, self.residual))
            fine = torch.full((n,), self.fine)
            found = self.prior(part, told, fine, level, spread, self.vector.expand(n, -1))
            return found.mean, found.std

        mean, std = tiled(restore, noisy.shape[1:], self.tiles, tick)
        return self._outside(mean), self._outside(std)

    @property
    def calls(self) -> int:
        """Network calls of one pass over the volume."""
        return len(self.tiles.boxes(self._inside(self.m).shape[1:]))

    def denoiser(self) -> VolumeDenoiser:
        """D(x, sigma | measurement) of volumes (sample, *space) on the cells' grid."""
        return VolumeDenoiser(self)

    @torch.no_grad()
    def mean(self, progress: Callable[[int, int], None] | None = None) -> tuple[Tensor, Tensor, int]:
        """The mean estimate and its std, (1, *space) on the cells' grid, and network calls: one pass is one call."""
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, self.calls)

        return *self.call(self.m, self.prior.config.sigma_max, tick), 1

    @property
    def _order(self) -> tuple[int, ...]:
        """Array axes as the network has them: cells, then the others as they lie in the patient, not in the file."""
        return (self.axis, *sorted({0, 1, 2} - {self.axis}, key=lambda a: self.frame.world[a]))

    def _inside(self, x: Tensor) -> Tensor:
        return x.permute(0, *(a + 1 for a in self._order))

    def _outside(self, x: Tensor) -> Tensor:
        return x.permute(0, *(self._order.index(a) + 1 for a in range(3)))


@dataclass(frozen=True)
class VolumeDenoiser:
    """``D(x, sigma)`` of a bound volume prior."""

    bound: BoundVolume

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Trained noise levels, on the priors' scale."""
        return self.bound.prior.config.sigma_min, self.bound.prior.config.sigma_max

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D of x (sample, *space)."""
        return self.bound.call(x, sigma)[0]

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D))."""
        return pullback(self, x, sigma, cotangent)


def _through(y: Tensor, axes: Sequence[SliceGeometry], matrices: Sequence[NDArray[np.float64]]) -> Tensor:
    for g, matrix in zip(axes, matrices, strict=True):
        y = along(y, matrix, g.axis)
    return y


def _grid(
    given: Sequence[SliceGeometry], cells: Sequence[SliceGeometry], axis: int, y: Tensor, m: Tensor, noise: float
) -> _Grid:
    pair = next(((g, c) for g, c in zip(given, cells, strict=True) if g.axis == axis), None)
    if pair is None:
        return _Grid(m, None)
    asked, cell = pair
    if asked.fine_count == cell.fine_count and math.isclose(asked.fine_spacing, cell.fine_spacing):
        return _Grid(m, None)
    step = cell.fine_spacing
    between = replace(asked, count=cell.fine_count, spacing=step, thickness=step, profile="box")
    m = _through(y, given, [interpolate(g, noise).matrix for g in given])
    return _Grid(m, interpolation_matrix(between, 3))


def tiles_of(c: VolumePriorConfig, fine: int) -> Tiles:
    """The tiles of a prior's settings in voxels, ``fine`` of which are a cell: the first axis counts cells there."""
    multiple = [STEM[a] * math.prod(s[a] for s in c.strides) for a in range(3)]
    factor = (fine, 1, 1)
    size, overlap, step = (
        tuple(-(-n // m) * m * f for n, m, f in zip(values, multiple, factor, strict=True))
        for values in (c.tile, c.overlap, (1, 1, 1))
    )
    return Tiles((size[0], size[1], size[2]), (overlap[0], overlap[1], overlap[2]), (step[0], step[1], step[2]))
