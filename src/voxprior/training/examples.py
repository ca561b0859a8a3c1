"""Training examples: a slab of a fine volume, and what thick slices would have measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.ndimage import map_coordinates
from torch import Tensor

from voxprior.priors.condition import describe, interpolate
from voxprior.training.augment import ContrastConfig, contrast, density, paint
from voxprior.training.data import Subject
from voxprior.training.sources.pool import Pool
from voxprior.volume import SliceGeometry

WINDOW = 160
"""Most fine rows of one simulated stack."""


class ExampleConfig(BaseModel):
    """What examples look like.

    ``kinds``: shares of mean, conditional and unconditional examples. ``patch``: rows and columns. ``spacing``: range
    of slice distances in mm, log-uniform. ``resampled``: share of oblique examples at a random voxel size of ``voxel``
    mm. ``integer``: share whose slice distance is a whole number of voxels. ``described``: share told its plane.
    ``ct``: share of CT examples; the rest are the MR volumes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[float, float, float] = (0.55, 0.25, 0.2)
    patch: int = 96
    spacing: tuple[float, float] = (1.5, 9.0)
    resampled: float = 0.25
    voxel: tuple[float, float] = (0.7, 1.5)
    integer: float = 0.5
    described: float = 0.8
    labels: float = 0.05
    other_contrasts: float = 2.0
    contrast: ContrastConfig = ContrastConfig()
    ct: float = 0.0


class Batch(NamedTuple):
    """Tensors of a batch: see :meth:`voxprior.priors.denoiser.SlicePrior.forward`; ``kind`` 0 mean, 1, 2 as config."""

    truth: Tensor
    m: Tensor
    phase: Tensor
    spread: Tensor
    vector: Tensor
    kind: Tensor


class Slab(NamedTuple):
    """A slab of a fine volume: ``image`` (slices, rows, columns), ``voxel`` mm of rows, columns and normal."""

    image: NDArray[np.float32]
    voxel: tuple[float, float, float]
    plane: tuple[int, int] | None


class Cut(NamedTuple):
    """What is cut of a volume; axes: 0 slices, 1 rows, 2 columns.

    ``size`` along each axis; where the cut is straight, axes ``whole`` have all that there is. ``fine``: axes that must
    have true fine resolution, the rows first.
    """

    size: tuple[int, int, int]
    whole: tuple[int, ...]
    fine: tuple[int, ...]


class Examples:
    """Batches as a function of (seed, step) alone, so that a resumed training sees what it would have seen."""

    def __init__(self, subjects: Sequence[Subject], config: ExampleConfig, slices: int, image_std: float) -> None:
        self.subjects = [s for s in subjects if not s.labels and s.fine]
        self.labels = [s for s in subjects if s.labels]
        self.config, self.slices, self.image_std = config, slices, image_std
        weight = np.array([1.0 if s.modality == "T1w" else config.other_contrasts for s in self.subjects])
        ct = np.array([s.modality == "CT" for s in self.subjects])
        for kind, share in ((ct, config.ct), (~ct, 1 - config.ct)):
            weight[kind] *= share / max(weight[kind].sum(), 1.0)
        self.weight = weight / weight.sum()
        self.pool = Pool(self.subjects, self.weight)

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """Examples ``step * size ...`` of the stream ``seed``."""
        self.pool.turn(seed, step)
        rows = [self._example(np.random.default_rng((seed, step, i))) for i in range(size)]
        return Batch(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))

    def _example(self, rng: np.random.Generator) -> tuple[Any, ...]:
        c = self.config
        kind = int(rng.choice(3, p=c.kinds))
        size = (self.slices, c.patch + 32 * (kind < 2), c.patch)
        slab = self._slab(rng, Cut(size, (1,), (1,) if kind < 2 else ()))
        n = min(c.patch, *slab.image.shape[1:])
        if n < c.patch:
            missing = [(0, 0)] + [(0, max(0, c.patch - m)) for m in slab.image.shape[1:]]
            slab = slab._replace(image=np.pad(slab.image, missing))
        if kind == 2:
            row = int(rng.integers(slab.image.shape[1] - c.patch + 1))
            truth = slab.image[:, row : row + c.patch]
            blank = np.zeros((2, c.patch), dtype=np.float32)
            vector = describe(None, slab.voxel, slab.plane)
            return truth, np.zeros_like(truth), blank, np.float32(self.image_std), vector, np.int64(kind)
        return *self._measured(slab, rng), np.int64(kind)

    def _measured(self, slab: Slab, rng: np.random.Generator) -> tuple[Any, ...]:
        """Average the rows of the slab into thick slices, and interpolate them back."""
        g, start = self._geometry(slab, rng)
        image = slab.image[:, start : start + g.fine_count]
        noise = float(rng.uniform(0, 0.05)) if rng.random() < 0.25 else 0.0
        thick = np.einsum("kj,sjc->skc", g.matrix().astype(np.float32), image, optimize=True)
        if noise:
            thick = thick + np.float32(noise) * rng.standard_normal(thick.shape, dtype=np.float32)
        way = interpolate(g, noise)
        row = int(rng.integers(g.fine_count - self.config.patch + 1))
        rows = slice(row, row + self.config.patch)
        m = np.einsum("jk,skc->sjc", way.matrix[rows].astype(np.float32), thick, optimize=True)
        vector = describe(g, slab.voxel, slab.plane, noise)
        return image[:, rows], m, way.phase[:, rows].astype(np.float32), np.float32(way.residual), vector

    def _geometry(self, slab: Slab, rng: np.random.Generator) -> tuple[SliceGeometry, int]:
        c, fine = self.config, slab.voxel[0]
        available = slab.image.shape[1]
        while True:
            spacing = float(np.exp(rng.uniform(*np.log(c.spacing))))
            if rng.random() < c.integer:
                spacing = max(2, round(spacing / fine)) * fine
            u = rng.random()
            factor = 1.0 if u < 0.7 else rng.uniform(0.6, 1) if u < 0.9 else rng.uniform(1, 1.5)
            thickness = max(spacing * factor, fine)
            profile = str(rng.choice(["box", "gaussian", "slr"], p=[0.6, 0.3, 0.1]))
            count = int((available * fine - thickness) / spacing + 1e-6) + 1
            count = max(2, min(count, int((WINDOW * fine - thickness) / spacing) + 1))
            fine_count = int(np.ceil(((count - 1) * spacing + thickness) / fine - 1e-3))
            if self.config.patch <= fine_count <= available and spacing > 1.25 * fine:
                start = int(rng.integers(available - fine_count + 1))
                return SliceGeometry(0, count, spacing, thickness, fine_count, fine, profile), start

    def _slab(self, rng: np.random.Generator, cut: Cut) -> Slab:
        """A slab with some tissue in it, of a random volume, plane and contrast."""
        c = self.config
        for _ in range(4):
            if self.labels and rng.random() < c.labels:
                subject = self.labels[int(rng.integers(len(self.labels)))]
            else:
                subject = self.pool.draw(rng)
            resampled = rng.random() < c.resampled and not subject.labels and 0.8 * max(subject.voxel) < c.voxel[1]
            slab = self._oblique(subject, rng, cut.size) if resampled else self._straight(subject, rng, cut)
            if np.mean(slab.image > 0.1) > 0.25:
                break
        image = slab.image
        image = paint(image, rng) if subject.labels else image
        changed = density(image, rng) if subject.modality == "CT" else contrast(image, rng, c.contrast)
        return slab._replace(image=changed)

    def _straight(self, subject: Subject, rng: np.random.Generator, cut: Cut) -> Slab:
        """Cut along the array axes: no interpolation, so nothing is softer than the scan was."""
        normal, rows, columns = axes = _axes(subject, rng, cut.fine)
        image = subject.image.transpose(axes)
        for axis in (0, 2, 1):
            if axis not in cut.whole:
                first = int(rng.integers(max(1, image.shape[axis] - cut.size[axis] + 1)))
                image = image[(slice(None),) * axis + (slice(first, first + cut.size[axis]),)]
        plane = (rows, columns) if rng.random() < self.config.described else None
        flips = []
        for axis, world in enumerate((normal, rows, columns)):
            if rng.random() < (0.5 if world == 0 else 0.15):
                flips.append(axis)
                plane = plane if world == 0 else None
        image = np.flip(image, tuple(flips))
        voxel = (subject.voxel[rows], subject.voxel[columns], subject.voxel[normal])
        return Slab(np.ascontiguousarray(image), voxel, plane)

    def _oblique(self, subject: Subject, rng: np.random.Generator, size: tuple[int, int, int]) -> Slab:
        """Cut in any direction at another voxel size, by cubic interpolation."""
        voxel = float(rng.uniform(max(self.config.voxel[0], 0.8 * max(subject.voxel)), self.config.voxel[1]))
        q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        if rng.random() < 0.5:  # near an axis: clinical stacks are tilted by some degrees
            q, _ = np.linalg.qr(np.eye(3)[:, rng.permutation(3)] + 0.15 * rng.standard_normal((3, 3)))
        extent = np.array(subject.image.shape) * subject.voxel
        centre = extent / 2 + rng.uniform(-0.2, 0.2, 3) * extent
        grid = [(np.arange(n) - (n - 1) / 2) * voxel for n in size]
        mm = sum(
            axis.reshape([-1 if a == i else 1 for a in range(3)])[None] * q[:, i].reshape(3, 1, 1, 1)
            for i, axis in enumerate(grid)
        )
        index = (mm + centre.reshape(3, 1, 1, 1)) / np.reshape(subject.voxel, (3, 1, 1, 1)) - 0.5
        image = map_coordinates(subject.spline, index, order=3, prefilter=False, mode="constant", output=np.float32)
        return Slab(np.maximum(image, 0), (voxel, voxel, voxel), None)


def _axes(subject: Subject, rng: np.random.Generator, fine: tuple[int, ...]) -> tuple[int, int, int]:
    """Array axes of slices, rows and columns, in random order but that those ``fine`` have true fine resolution."""
    rows = int(rng.choice(subject.fine)) if fine else int(rng.integers(3))
    second, third = (int(a) for a in rng.permutation([a for a in range(3) if a != rows]))
    if 0 in fine or 2 in fine:
        columns, normal = (second, third) if second in subject.fine else (third, second)
        return (normal, rows, columns) if 2 in fine else (columns, rows, normal)
    return third, rows, second
