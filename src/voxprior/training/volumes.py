"""Training examples in three dimensions: a block of a fine volume, and what a coarse scan would have measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from voxprior.operators.field import simulate_field
from voxprior.priors.condition import interpolate
from voxprior.priors.volume_bound import describe_axes
from voxprior.training.augment import ContrastConfig, contrast, paint
from voxprior.training.data import Subject
from voxprior.training.examples import Batch
from voxprior.training.sources.pool import Pool
from voxprior.volume import SliceGeometry

MARGIN = 2
"""Cells on either side of a block that are measured too: its edge is no edge of the scan."""
DEPTH = 32
"""Fine slices that a block has about, whatever the factor."""


class VolumeExampleConfig(BaseModel):
    """What volume examples look like.

    ``cells``: least and most cells of a block. ``plane``: its rows and columns. ``factors``: fine slices a cell.
    ``in_plane``: share of batches that are coarse in two directions, twice, and not in slices. ``degradations``: shares
    of box, k-space truncation and simulated 1.5 T among those. ``mean``: share of mean examples. ``described``: share
    told its direction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cells: tuple[int, int]
    plane: tuple[int, int] = (40, 40)
    factors: tuple[int, ...] = (2, 3, 4, 4, 5, 5, 6, 7, 8, 8)
    in_plane: float = 0.3
    degradations: tuple[float, float, float] = (0.5, 0.2, 0.3)
    mean: float = 0.5
    described: float = 0.8
    labels: float = 0.05
    other_contrasts: float = 2.0
    contrast: ContrastConfig = ContrastConfig()


class Block(NamedTuple):
    """A block of a fine volume: ``image`` (depth, rows, columns), ``voxel`` mm, ``world`` axes or None."""

    image: NDArray[np.float32]
    voxel: tuple[float, float, float]
    world: tuple[int, int, int] | None


class VolumeExamples:
    """Batches as a function of (seed, step) alone; all examples of a batch have one number of fine slices a cell."""

    def __init__(self, subjects: Sequence[Subject], config: VolumeExampleConfig) -> None:
        self.subjects = [s for s in subjects if not s.labels and s.fine]
        self.labels = [s for s in subjects if s.labels]
        self.config = config
        weight = np.array([1.0 if s.modality == "T1w" else config.other_contrasts for s in self.subjects])
        self.weight = weight / weight.sum()
        self.pool = Pool(self.subjects, self.weight)

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """Examples of the stream ``seed`` at ``step``; ``phase`` holds the fine slices a cell."""
        self.pool.turn(seed, step)
        rng = np.random.default_rng((seed, step))
        fine = 1 if rng.random() < self.config.in_plane else int(rng.choice(self.config.factors))
        rows = [self._example(np.random.default_rng((seed, step, i)), fine) for i in range(size)]
        return Batch(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))

    def _example(self, rng: np.random.Generator, fine: int) -> tuple[Any, ...]:
        kind = np.int64(rng.random() >= self.config.mean)
        truth, m, spread, vector = self._in_plane(rng) if fine == 1 else self._slices(rng, fine)
        return truth, m, np.int64(fine), np.float32(spread), vector, kind

    def _slices(self, rng: np.random.Generator, fine: int) -> tuple[Any, ...]:
        low, high = self.config.cells
        cells = int(np.clip(DEPTH // fine, low, high))
        block = self._block(rng, (cells + 2 * MARGIN) * fine, (0,))
        step = block.voxel[0]
        u = rng.random()
        factor = 1.0 if u < 0.7 else rng.uniform(0.6, 1) if u < 0.9 else rng.uniform(1, 1.5)
        profile = str(rng.choice(["box", "gaussian", "slr"], p=[0.6, 0.3, 0.1]))
        count = len(block.image) // fine
        g = SliceGeometry(0, count, fine * step, max(factor * fine, 1.0) * step, count * fine, step, profile)
        image = block.image[: count * fine]
        y, noise = _noisy(np.einsum("kz,zrc->krc", g.matrix().astype(np.float32), image, optimize=True), rng)
        way = interpolate(g, noise)
        first = int(rng.integers(count - cells + 1)) * fine
        inside = slice(first, first + cells * fine)
        m = np.einsum("zk,krc->zrc", way.matrix[inside].astype(np.float32), y, optimize=True)
        return image[inside], m, way.residual, describe_axes((g,), 0, block.voxel, block.world, noise)

    def _in_plane(self, rng: np.random.Generator) -> tuple[Any, ...]:
        degradation = str(rng.choice(["box", "kspace", "1.5t"], p=self.config.degradations))
        block = self._block(rng, DEPTH // 2, (1, 2))
        image = block.image
        profile = "kspace" if degradation == "kspace" else "box"
        axes = [
            SliceGeometry(a, n // 2, 2 * step, 2 * step, n, step, profile)
            for a, n, step in zip((1, 2), image.shape[1:], block.voxel[1:], strict=True)
        ]
        matrices = [g.matrix().astype(np.float32) for g in axes]

        def measure(x: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(np.einsum("ir,jc,zrc->zij", *matrices, x, optimize=True))

        if degradation == "1.5t":
            y, noise = np.asarray(simulate_field(image, rng, measure=measure)), 0.0
        else:
            y, noise = _noisy(measure(image), rng)
        ways = [interpolate(g, noise) for g in axes]
        m = np.einsum("ri,cj,zij->zrc", *(w.matrix.astype(np.float32) for w in ways), y, optimize=True)
        spread = float(np.sqrt(sum(w.residual**2 for w in ways)))
        return image, m, spread, describe_axes(axes, 0, block.voxel, block.world, noise, degradation)

    def _block(self, rng: np.random.Generator, depth: int, coarse: tuple[int, ...]) -> Block:
        """A block with some tissue in it, of a random volume, direction and contrast, along the array axes.

        ``coarse``: its axes that will be measured coarsely, and are cut from directions of true resolution.
        """
        c = self.config
        for _ in range(4):
            if self.labels and rng.random() < c.labels:
                subject = self.labels[int(rng.integers(len(self.labels)))]
            else:
                subject = self.pool.draw(rng)
            block = _cut(subject, rng, (depth, *c.plane), coarse, c.described)
            if np.mean(block.image > 0.1) > 0.25:
                break
        image = paint(block.image, rng) if subject.labels else block.image
        return block._replace(image=contrast(image, rng, c.contrast))


def _cut(
    subject: Subject, rng: np.random.Generator, size: tuple[int, int, int], coarse: tuple[int, ...], described: float
) -> Block:
    order = [int(a) for a in rng.permutation(3)]
    if len(coarse) <= len(subject.fine):
        while not all(order[a] in subject.fine for a in coarse):
            order = [int(a) for a in rng.permutation(3)]
    image = subject.image.transpose(order)
    starts = [int(rng.integers(max(1, n - k + 1))) for n, k in zip(image.shape, size, strict=True)]
    image = image[tuple(slice(s, s + k) for s, k in zip(starts, size, strict=True))]
    image = np.pad(image, [(0, k - n) for n, k in zip(image.shape, size, strict=True)])
    flips = [a for a, world in enumerate(order) if rng.random() < (0.5 if world == 0 else 0.15)]
    told = rng.random() < described and all(order[a] == 0 for a in flips)
    voxel = (subject.voxel[order[0]], subject.voxel[order[1]], subject.voxel[order[2]])
    world = (order[0], order[1], order[2]) if told else None
    return Block(np.ascontiguousarray(np.flip(image, tuple(flips))), voxel, world)


def _noisy(y: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """A measurement with noise, every fourth time, and its std on the priors' scale."""
    noise = float(rng.uniform(0, 0.05)) if rng.random() < 0.25 else 0.0
    return np.asarray(y + np.float32(noise) * rng.standard_normal(y.shape, dtype=np.float32), np.float32), noise
