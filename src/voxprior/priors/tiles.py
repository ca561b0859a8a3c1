"""Volumes piece by piece: overlapping tiles whose results are blended, so that memory does not grow with the volume."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

Box = tuple[slice, slice, slice]
"""A part of a volume."""


@dataclass(frozen=True)
class Tiles:
    """How a volume is cut: tiles of at most ``size`` voxels an axis that share ``overlap``.

    ``step``: tiles begin at multiples of it, where the network's coarser grids do. Weights fall off linearly over the
    overlap and sum to one in every voxel, so constants stay what they are; away from an overlap wider than what the
    network sees, the result is that of the whole volume.
    """

    size: tuple[int, int, int]
    overlap: tuple[int, int, int]
    step: tuple[int, int, int] = (1, 1, 1)

    def __post_init__(self) -> None:
        for size, overlap, step in zip(self.size, self.overlap, self.step, strict=True):
            if not 0 <= overlap <= size // 2 or size % step or overlap % step:
                raise ValueError(f"tiles of {self.size} with an overlap of {self.overlap} in steps of {self.step}")

    def at_most(self, voxels: int) -> Tiles:
        """The same with tiles of at most ``voxels`` voxels, or as few as ``step`` allows: long axes are halved."""
        size, overlap = list(self.size), list(self.overlap)
        while math.prod(size) > voxels:
            axis = max(range(3), key=lambda a: size[a] // self.step[a])
            if size[axis] == self.step[axis]:
                break
            size[axis] = -(-size[axis] // (2 * self.step[axis])) * self.step[axis]
            overlap[axis] = min(overlap[axis], size[axis] // 2 // self.step[axis] * self.step[axis])
        return Tiles((size[0], size[1], size[2]), (overlap[0], overlap[1], overlap[2]), self.step)

    def starts(self, axis: int, length: int) -> list[int]:
        """First voxels of the tiles along an axis of ``length`` voxels."""
        size, overlap, step = self.size[axis], self.overlap[axis], self.step[axis]
        if length <= size:
            return [0]
        last = -(-(length - size) // step) * step
        count = -(-last // (size - overlap)) + 1
        return sorted({round(i * last / (count - 1) / step) * step for i in range(count)})

    def boxes(self, shape: Sequence[int]) -> list[Box]:
        """The tiles of a volume of ``shape``."""
        ranges = [[(s, min(s + self.size[a], n)) for s in self.starts(a, n)] for a, n in enumerate(shape)]
        return [(slice(*z), slice(*y), slice(*x)) for z, y, x in product(*ranges)]

    def weight(self, box: Box, shape: Sequence[int]) -> list[Tensor]:
        """Weights along each axis of the tile ``box``, not yet normalised: see :func:`tiled`."""
        found = []
        for axis, (part, n) in enumerate(zip(box, shape, strict=True)):
            length, ramp = part.stop - part.start, self.overlap[axis]
            w = torch.ones(length, dtype=torch.float64)
            rise = (torch.arange(ramp, dtype=torch.float64) + 0.5) / max(ramp, 1)
            if part.start > 0:
                w[:ramp] = torch.minimum(w[:ramp], rise[:length])
            if part.stop < n:
                w[length - ramp :] = torch.minimum(w[length - ramp :], rise.flip(0)[-length:])
            found.append(w)
        return found


def tiled(
    restore: Callable[[Box], tuple[Tensor, ...]],
    shape: Sequence[int],
    tiles: Tiles,
    tick: Callable[[], None] = lambda: None,
) -> tuple[Tensor, ...]:
    """Blend what ``restore`` gives of each tile: ``sum w f / sum w``, tensors (n, *shape).

    ``restore`` returns tensors (n, *tile) for a box; ``tick`` is called after each.
    """
    boxes = tiles.boxes(shape)
    if len(boxes) == 1:
        found = restore(boxes[0])
        tick()
        return found
    totals: list[Tensor] = []
    norms = _norms(tiles, boxes, shape)
    for box in boxes:
        parts = restore(box)
        share = _outer([w / n[s] for w, n, s in zip(tiles.weight(box, shape), norms, box, strict=True)])
        if not totals:
            totals = [part.new_zeros(len(part), *shape) for part in parts]
        for total, part in zip(totals, parts, strict=True):
            total[(slice(None), *box)] += share.to(part) * part
        tick()
    return tuple(totals)


def _norms(tiles: Tiles, boxes: Sequence[Box], shape: Sequence[int]) -> list[Tensor]:
    """Sum of the weights along each axis: tiles are a product of cuts of the axes, so that is enough."""
    result = []
    for axis, n in enumerate(shape):
        total = torch.zeros(n, dtype=torch.float64)
        for part in {box[axis].start: box for box in boxes}.values():
            total[part[axis]] += tiles.weight(part, shape)[axis]
        result.append(total)
    return result


def _outer(weights: list[Tensor]) -> Tensor:
    z, y, x = weights
    return z[:, None, None] * y[:, None] * x
