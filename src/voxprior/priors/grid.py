"""A slice prior bound to a volume that is coarse along several axes: in-plane super-resolution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from voxprior.errors import InputError
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable, along
from voxprior.priors.bound import frame, from_other_end
from voxprior.priors.condition import MOST_NOISE, PLACE, describe_grid, interpolate_grid, phase_maps
from voxprior.priors.denoiser import Denoised, SlicePrior
from voxprior.priors.intensity import intensity_scale
from voxprior.priors.planes import Slabs, Slicewise, slicewise
from voxprior.priors.portion import VOXELS_AT_ONCE


class Plane(NamedTuple):
    """Slices normal to array axis ``normal``, with rows along ``rows``."""

    normal: int
    rows: int

    @property
    def columns(self) -> int:
        """The array axis that is left."""
        return 3 - self.normal - self.rows


class BoundGrid:
    """What a :class:`SlicePrior` of two axes needs to work on the fine volume behind a coarse one.

    Everything inside is on the priors' intensity scale and in RAS order, :attr:`measurement` too; :meth:`enter` and
    :meth:`leave` convert volumes (sample, *space). ``degradation``: what it is told of the cause, see
    :func:`voxprior.priors.condition.describe_grid`. ``voxels``: slice voxels of one network call.
    Raises TypeError when the operator has no axes known in mm or no place in the patient, and :class:`InputError` for
    a prior that knows of one coarse axis alone.
    """

    def __init__(
        self, prior: SlicePrior, measurement: Measurement, degradation: str = "box", voxels: int = VOXELS_AT_ONCE
    ) -> None:
        operator = measurement.operator
        if not isinstance(operator, Separable) or not operator.axes or measurement.affine is None:
            raise TypeError("a slice prior of two axes is bound to a Separable operator with axes, and an affine")
        if prior.config.axes != 2:
            raise InputError("these weights know of coarse slices alone, not of coarse voxels in them; give others")
        self.prior, self.voxels, self.degradation = prior, voxels, degradation
        self.frame = frame(measurement.affine)
        self.axes = {g.axis: from_other_end(g) if g.axis in self.frame.flips else g for g in operator.axes}
        self.scale = intensity_scale(measurement.y.numpy(force=True))
        noise = measurement.sigma if isinstance(measurement.sigma, int | float) else 0.0
        self.noise = float(noise) / self.scale
        # The noise of a weak field is part of what the network knows of it.
        self.told = 0.0 if degradation == "1.5t" else min(self.noise, MOST_NOISE)
        self.ways, self.residual = interpolate_grid(list(self.axes.values()), self.told, degradation)
        y = self.enter(measurement.y)
        same = Separable.from_axes(tuple(self.axes.values()), tuple(y.shape[1:]))
        self.measurement = Measurement(same, y, self.noise or None)
        self.m = y
        for axis, way in self.ways.items():
            self.m = along(self.m, way.matrix, axis)

    def enter(self, x: Tensor) -> Tensor:
        """Input units and array order to the priors' scale and RAS order."""
        return (x / self.scale).flip([a + 1 for a in self.frame.flips]) if self.frame.flips else x / self.scale

    def leave(self, x: Tensor) -> Tensor:
        """The inverse of :meth:`enter`."""
        return (x.flip([a + 1 for a in self.frame.flips]) if self.frame.flips else x) * self.scale

    def planes(self, which: Literal["one", "three"]) -> tuple[Plane, ...]:
        """Slices that hold as many coarse axes as can be; ``three``: normal to every axis, rows along a coarse one."""
        # In the order of the patient's axes, not of the array's: how a file is stored changes nothing.
        order = sorted(range(3), key=lambda a: self.frame.world[a])
        coarse = [a for a in order if a in self.axes]
        normals = [a for a in order if a not in coarse] or order[-1:]
        if which == "three" and len(coarse) > 1:
            normals += [a for a in order if a not in normals]
        return tuple(Plane(n, next(a for a in coarse if a != n)) for n in normals)

    def slabs(self, plane: Plane) -> Slabs:
        """How the volume is cut into slabs of slices of ``plane``."""
        return Slabs(plane.normal, plane.rows, self.prior.config.slab, self.prior.config.halo)

    def vectors(self, plane: Plane, start: Sequence[int]) -> Tensor:
        """Description of the slabs that begin at slices ``start``, (n, features)."""
        f = self.frame
        axes = tuple(self.axes.get(a) for a in (plane.rows, plane.columns, plane.normal))
        voxel = f.voxel[plane.rows], f.voxel[plane.columns], f.voxel[plane.normal]
        world = None if f.oblique else (f.world[plane.rows], f.world[plane.columns])
        one = describe_grid(axes, voxel, world, (0.0, 0.0), self.told, self.degradation)
        found = torch.from_numpy(one).to(self.m).expand(len(start), -1)
        if plane.normal in self.axes:
            places = self.ways[plane.normal].phase[:, list(start)].T
            found = found.clone()
            found[:, PLACE : PLACE + 2] = torch.from_numpy(places).to(self.m)
        return found

    def maps(self, plane: Plane) -> Tensor:
        """Phase maps of slices of ``plane``, (1, 4, rows, columns)."""
        phases = [self.ways[a].phase if a in self.ways else None for a in (plane.rows, plane.columns)]
        shape = self.m.shape[plane.rows + 1], self.m.shape[plane.columns + 1]
        return torch.from_numpy(phase_maps(phases[0], phases[1], shape)).to(self.m)[None]

    def denoiser(self, plane: Plane) -> Slicewise:
        """D(x, sigma | measurement) of volumes (sample, *space) from the slices of ``plane``."""
        cut, maps = self.slabs(plane), self.maps(plane)

        def denoise(slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
            k = len(start)
            m = cut.cut(self.m, [0] * k, start)
            noise, spread = (torch.full((k,), v).to(slabs) for v in (sigma, self.residual))
            phase = maps.expand(k, -1, -1, -1)
            return self.prior.forward(slabs, m, phase, noise, spread, self.vectors(plane, start)).mean

        config = self.prior.config
        return slicewise(denoise, cut, (config.sigma_min, config.sigma_max), self._batch(plane))

    @torch.no_grad()
    def mean(
        self, planes: Sequence[Plane], progress: Callable[[int, int], None] | None = None
    ) -> tuple[Tensor, Tensor, int]:
        """The mean estimate and its std, (1, *space), averaged over ``planes``, and network calls.

        A pass over the volume is one call, however many pieces memory cuts it into.
        """
        total = torch.zeros_like(self.m), torch.zeros_like(self.m)
        pieces = [(plane, start) for plane in planes for start in self._pieces(plane)]
        for done, (plane, start) in enumerate(pieces, 1):
            cut, k = self.slabs(plane), len(start)
            found = self._regressed(plane, cut.cut(self.m, [0] * k, start), start)
            for volume, part in zip(total, found, strict=True):
                cut.add(part, volume, [0] * k, start)
            if progress is not None:
                progress(done, len(pieces))
        share = 1 / len(planes)
        return total[0] * share, total[1] * share, len(planes)

    def _regressed(self, plane: Plane, m: Tensor, start: list[int]) -> Denoised:
        spread = torch.full((len(start),), self.residual).to(m)
        maps = self.maps(plane).expand(len(start), -1, -1, -1)
        return self.prior.regress(m, maps, spread, self.vectors(plane, start))

    def _batch(self, plane: Plane) -> int:
        """Slabs of ``plane`` that one network call may hold."""
        area = math.prod(self.m.shape[1:]) // self.m.shape[plane.normal + 1]
        return max(1, self.voxels // (area * self.prior.config.slab))

    def _pieces(self, plane: Plane) -> list[list[int]]:
        starts = list(self.slabs(plane).starts(self.m.shape[plane.normal + 1]))
        size = self._batch(plane)
        return [starts[i : i + size] for i in range(0, len(starts), size)]
