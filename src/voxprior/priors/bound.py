"""A slice prior bound to one measurement: its intensities, its place in the patient, its interpolated slices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable, along
from voxprior.priors.condition import MOST_NOISE, Interpolation, describe, interpolate, world_axes
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.intensity import intensity_scale
from voxprior.priors.planes import Slabs, Slicewise, slicewise
from voxprior.priors.portion import VOXELS_AT_ONCE
from voxprior.volume import SliceGeometry

OBLIQUE_DEGREES = 20.0
"""Tilt above which a slice is not told its anatomical plane."""


class Frame(NamedTuple):
    """How a volume lies: array axes to flip for RAS order, world axis of each array axis, voxel in mm, tilt."""

    flips: tuple[int, ...]
    world: tuple[int, int, int]
    voxel: tuple[float, float, float]
    oblique: bool


def frame(affine: NDArray[np.float64]) -> Frame:
    """Orientation of an image grid from its 4 x 4 affine."""
    world = world_axes(affine)
    direction = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    along = [float(direction[w, a]) for a, w in enumerate(world)]
    voxel = np.linalg.norm(affine[:3, :3], axis=0)
    tilt = np.degrees(np.arccos(np.clip(np.min(np.abs(along)), 0, 1)))
    flips = tuple(a for a, cosine in enumerate(along) if cosine < 0)
    return Frame(flips, world, (float(voxel[0]), float(voxel[1]), float(voxel[2])), bool(tilt > OBLIQUE_DEGREES))


def from_other_end(g: SliceGeometry) -> SliceGeometry:
    """The geometry seen from the other end of the slice axis: only a profile given by samples may differ."""
    return g if isinstance(g.profile, str) else replace(g, profile=g.profile[::-1])


class BoundPrior:
    """What a :class:`SlicePrior` needs to work on the volume behind one slice stack.

    Everything inside is on the priors' intensity scale and in RAS order, :attr:`measurement` too; :meth:`enter` and
    :meth:`leave` convert volumes (sample, *space). ``voxels``: slice voxels of one network call.
    Raises TypeError when the operator is not a slice stack with a place in the patient.
    """

    def __init__(self, prior: SlicePrior, measurement: Measurement, voxels: int = VOXELS_AT_ONCE) -> None:
        operator = measurement.operator
        if not isinstance(operator, Separable) or operator.slices is None or measurement.affine is None:
            raise TypeError("a slice prior is bound to a Separable operator with slices, and an affine")
        self.prior, self.voxels = prior, voxels
        self.frame = frame(measurement.affine)
        self.slices = from_other_end(operator.slices) if operator.slices.axis in self.frame.flips else operator.slices
        self.scale = intensity_scale(measurement.y.numpy(force=True))
        noise = measurement.sigma if isinstance(measurement.sigma, int | float) else 0.0
        self.noise = float(noise) / self.scale
        self.told = min(self.noise, MOST_NOISE)
        self.way: Interpolation = interpolate(self.slices, self.told)
        same = Separable({self.slices.axis: self.slices.matrix()}, operator.shape, (self.slices,))
        self.measurement = Measurement(same, self.enter(measurement.y), self.noise or None)
        self.m = along(self.measurement.y, self.way.matrix, self.slices.axis)
        self._phase = torch.from_numpy(self.way.phase).to(self.m)[None]

    def enter(self, x: Tensor) -> Tensor:
        """Input units and array order to the priors' scale and RAS order."""
        return (x / self.scale).flip([a + 1 for a in self.frame.flips]) if self.frame.flips else x / self.scale

    def leave(self, x: Tensor) -> Tensor:
        """The inverse of :meth:`enter`."""
        return (x.flip([a + 1 for a in self.frame.flips]) if self.frame.flips else x) * self.scale

    @property
    def normals(self) -> tuple[int, ...]:
        """Array axes normal to the planes that hold the slice axis."""
        return tuple(a for a in range(3) if a != self.slices.axis)

    def vector(self, normal: int) -> Tensor:
        """Description of the slices normal to array axis ``normal``, rows along the slice axis."""
        rows = self.slices.axis
        columns = 3 - rows - normal
        plane = None if self.frame.oblique else (self.frame.world[rows], self.frame.world[columns])
        voxel = (self.frame.voxel[rows], self.frame.voxel[columns], self.frame.voxel[normal])
        return torch.from_numpy(describe(self.slices, voxel, plane, self.told)).to(self.m)

    def slabs(self, normal: int) -> Slabs:
        """How the volume is cut into slabs normal to array axis ``normal``, rows along the slice axis."""
        return Slabs(normal, self.slices.axis, self.prior.config.slab, self.prior.config.halo)

    def denoiser(self, normal: int) -> Slicewise:
        """D(x, sigma | measurement) of volumes (sample, *space) from the slices normal to ``normal``."""
        cut, vector = self.slabs(normal), self.vector(normal)

        def denoise(slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
            m = cut.cut(self.m, [0] * len(start), start)
            noise, spread = (torch.full((len(start),), v).to(slabs) for v in (sigma, self.way.residual))
            phase = self._phase.expand(len(start), -1, -1)
            return self.prior.forward(slabs, m, phase, noise, spread, vector.expand(len(start), -1)).mean

        config = self.prior.config
        return slicewise(denoise, cut, (config.sigma_min, config.sigma_max), self._batch(normal))

    @torch.no_grad()
    def mean(self, progress: Callable[[int, int], None] | None = None) -> tuple[Tensor, Tensor, int]:
        """The mean estimate and its std, (1, *space), averaged over planes, and network calls.

        A pass over the volume is one call, however many pieces memory cuts it into.
        """
        total = torch.zeros_like(self.m), torch.zeros_like(self.m)
        pieces = [(n, z) for n in self.normals for z in self._pieces(n)]
        for done, (normal, start) in enumerate(pieces, 1):
            slabs, k = self.slabs(normal), len(start)
            m = slabs.cut(self.m, [0] * k, start)
            spread = torch.full((k,), self.way.residual).to(m)
            found = self.prior.regress(m, self._phase.expand(k, -1, -1), spread, self.vector(normal).expand(k, -1))
            for volume, part in zip(total, found, strict=True):
                slabs.add(part, volume, [0] * k, start)
            if progress is not None:
                progress(done, len(pieces))
        share = 1 / len(self.normals)
        return total[0] * share, total[1] * share, len(self.normals)

    def _batch(self, normal: int) -> int:
        """Slabs normal to ``normal`` that one network call may hold."""
        area = math.prod(self.m.shape[1:]) // self.m.shape[normal + 1]
        return max(1, self.voxels // (area * self.prior.config.slab))

    def _pieces(self, normal: int) -> list[list[int]]:
        starts = list(self.slabs(normal).starts(self.m.shape[normal + 1]))
        size = self._batch(normal)
        return [starts[i : i + size] for i in range(0, len(starts), size)]
