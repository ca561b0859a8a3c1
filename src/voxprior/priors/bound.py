"""A slice prior bound to one measurement: its intensities, its place in the patient, its interpolated slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable, along
from voxprior.priors.condition import Interpolation, describe, interpolate, world_axes
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.intensity import intensity_scale
from voxprior.volume import SliceGeometry

OBLIQUE_DEGREES = 20.0
"""Tilt above which a slice is not told its anatomical plane."""
VOXELS_AT_ONCE = 2_000_000
"""Slice voxels of one network call, unless a memory limit asks for fewer."""


class Frame(NamedTuple):
    """How a volume lies: array axes to flip for RAS order, world axis of each array axis, voxel in mm, tilt."""

    flips: tuple[int, ...]
    world: tuple[int, int, int]
    voxel: tuple[float, float, float]
    oblique: bool


def frame(affine: np.ndarray) -> Frame:
    """Orientation of an image grid from its 4 x 4 affine."""
    world = world_axes(affine)
    direction = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    along = [float(direction[w, a]) for a, w in enumerate(world)]
    voxel = np.linalg.norm(affine[:3, :3], axis=0)
    tilt = np.degrees(np.arccos(np.clip(np.min(np.abs(along)), 0, 1)))
    flips = tuple(a for a, cosine in enumerate(along) if cosine < 0)
    return Frame(flips, world, (float(voxel[0]), float(voxel[1]), float(voxel[2])), bool(tilt > OBLIQUE_DEGREES))


def _turned(g: SliceGeometry) -> SliceGeometry:
    """The geometry seen from the other end of the slice axis: only a profile given by samples may differ."""
    return g if isinstance(g.profile, str) else replace(g, profile=g.profile[::-1])


class BoundPrior:
    """What a :class:`SlicePrior` needs to work on the volume behind one slice stack.

    Works on the priors' intensity scale and in RAS order: :meth:`enter` and :meth:`leave` convert volumes
    (sample, *space). ``noise``: std of a slice value in input units.
    """

    def __init__(self, prior: SlicePrior, measurement: Measurement, voxels: int = VOXELS_AT_ONCE) -> None:
        operator = measurement.operator
        if not isinstance(operator, Separable) or operator.slices is None or measurement.affine is None:
            raise TypeError("a slice prior is bound to a Separable operator with slices, and an affine")
        self.prior, self.voxels = prior, voxels
        self.frame = frame(measurement.affine)
        self.slices = _turned(operator.slices) if operator.slices.axis in self.frame.flips else operator.slices
        self.scale = intensity_scale(measurement.y.numpy(force=True))
        noise = measurement.sigma if isinstance(measurement.sigma, (int, float)) else 0.0
        self.noise = float(noise) / self.scale
        self.way: Interpolation = interpolate(self.slices, self.noise)
        y = self.enter(measurement.y)
        self.m = along(y, self.way.matrix, self.slices.axis)

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
        return torch.from_numpy(describe(self.slices, voxel, plane, self.noise))

    def slabs(self, x: Tensor, normal: int) -> Tensor:
        """Cut (sample, *space) into slabs (sample * pieces, seen, rows, columns); the edge slice is repeated."""
        c = self.prior.config
        x = x.movedim((normal + 1, self.slices.axis + 1), (1, 2))
        n = x.shape[1]
        index = torch.arange(-c.halo, -(-n // c.slab) * c.slab + c.halo).clamp(0, n - 1)
        return x[:, index].unfold(1, c.seen, c.slab).movedim(-1, 2).flatten(0, 1)

    def whole(self, slabs: Tensor, normal: int, samples: int) -> Tensor:
        """Put restored slabs (sample * pieces, slab, rows, columns) together: (sample, *space)."""
        n = self.m.shape[normal + 1]
        x = slabs.reshape(samples, -1, *slabs.shape[2:])[:, :n]
        return x.movedim((1, 2), (normal + 1, self.slices.axis + 1))

    def mean(self, progress: Callable[[int, int], None] | None = None) -> tuple[Tensor, Tensor, int]:
        """The mean estimate and its std, (1, *space) on the priors' scale, averaged over planes, and network
        calls: a pass over the volume is one call, however many pieces memory cuts it into."""
        means, stds, done = [], [], 0
        total = sum(-(-self.m.shape[n + 1] // self.prior.config.slab) for n in self.normals)
        for normal in self.normals:
            slabs = self.slabs(self.m, normal)
            size = max(1, self.voxels // (slabs.shape[2] * slabs.shape[3] * self.prior.config.slab))
            phase = torch.from_numpy(self.way.phase).float()[None]
            spread, vector = torch.tensor([self.way.residual]), self.vector(normal)[None]
            parts = []
            for piece in slabs.split(size):
                k = len(piece)
                parts.append(
                    self.prior.regress(
                        piece, phase.expand(k, -1, -1), spread.expand(k), vector.expand(k, -1)
                    )
                )
                done += k
                if progress is not None:
                    progress(done, total)
            means.append(self.whole(torch.cat([p.mean for p in parts]), normal, 1))
            stds.append(self.whole(torch.cat([p.std for p in parts]), normal, 1))
        return torch.stack(means).mean(0), torch.stack(stds).mean(0), len(self.normals)
