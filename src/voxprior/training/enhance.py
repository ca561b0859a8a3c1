"""Examples for in-plane super-resolution: a slab of a fine volume, and what coarse voxels would have measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.operators.field import FieldSettings, simulate_field
from voxprior.priors.condition import describe_grid, interpolate_grid, phase_maps
from voxprior.priors.denoiser import SlicePriorConfig
from voxprior.priors.intensity import intensity_scale
from voxprior.training.data import Subject
from voxprior.training.examples import Cut, ExampleConfig, Examples, Slab
from voxprior.volume import SliceGeometry

LIES = ((1, 2), (1, 0), (1,), (1, 2, 0))
"""Which axes of a slab (0 slices, 1 rows, 2 columns) may be coarse together."""
MARGIN = 6
"""Fine slices on either side of the slab from which coarse slices are made with it."""
SPARE = 8
"""Fine voxels of a patch that a whole number of coarse ones may leave over."""

Image = NDArray[np.float32]


class EnhanceConfig(ExampleConfig):
    """What examples look like; see :class:`ExampleConfig` for the rest.

    ``factor``: range of the ratio of coarse to fine voxel size; the share ``usual`` has just 2. ``degradations``:
    shares of box averaging, truncated k-space and a simulated field of 1.5 T. ``lies``: shares of :data:`LIES`.
    ``unchanged``: share of the 1.5 T examples at the size they have. ``noisy``: share of the others with noise, of a
    std up to ``noise``. ``field``: ranges of the simulated field.
    """

    kinds: tuple[float, float, float] = (0.6, 0.4, 0.0)
    factor: tuple[float, float]
    usual: float = 0.85
    degradations: tuple[float, float, float] = (0.5, 0.2, 0.3)
    lies: tuple[float, float, float, float] = (0.5, 0.36, 0.08, 0.06)
    unchanged: float = 0.1
    noisy: float = 0.25
    noise: float = 0.05
    field: FieldSettings = FieldSettings()


class EnhanceExamples(Examples):
    """Batches as a function of (seed, step) alone; see :class:`Examples`."""

    def __init__(self, subjects: Sequence[Subject], config: EnhanceConfig, prior: SlicePriorConfig) -> None:
        super().__init__([s for s in subjects if len(s.fine) > 1], config, prior.seen, prior.image_std)
        self.settings, self.halo = config, prior.halo

    def _example(self, rng: np.random.Generator) -> tuple[Any, ...]:
        c = self.settings
        kind = int(rng.choice(3, p=c.kinds))
        degradation = ("box", "kspace", "1.5t")[int(rng.choice(3, p=c.degradations))]
        lie = LIES[int(rng.choice(len(LIES), p=c.lies))]
        slab = self._padded(self._slab(rng, self._cut(lie)), lie)
        image, axes = self._coarsened(slab, lie, degradation, rng)
        noise = float(rng.uniform(0, c.noise)) if degradation != "1.5t" and rng.random() < c.noisy else 0.0
        y = self._measured_by(image, axes, degradation, noise, rng)
        if degradation == "1.5t":  # a volume comes scaled by its own intensities, which the field has changed
            ratio = np.float32(intensity_scale(y) / max(intensity_scale(image), 1e-3))
            image, y = image / ratio, y / ratio
        return *self._shown(image, y, axes, slab, degradation, noise, rng), np.int64(kind)

    def _cut(self, lie: tuple[int, ...]) -> Cut:
        patch = self.config.patch
        size = (self.slices + 2 * MARGIN * (0 in lie), patch + 2 * SPARE, patch + 2 * SPARE * (2 in lie))
        return Cut(size, tuple(a for a in lie if a), lie)

    def _padded(self, slab: Slab, lie: tuple[int, ...]) -> Slab:
        """The slab with zeros to the size that examples need, should the volume be smaller."""
        patch = self.config.patch
        least = (self._cut(lie).size[0], *(patch + SPARE * (a in lie) for a in (1, 2)))
        missing = [(0, max(0, m - n)) for m, n in zip(least, slab.image.shape, strict=True)]
        return slab._replace(image=np.pad(slab.image, missing)) if np.any(missing) else slab

    def _coarsened(
        self, slab: Slab, lie: tuple[int, ...], degradation: str, rng: np.random.Generator
    ) -> tuple[Image, dict[int, SliceGeometry]]:
        """The part of the slab that whole coarse voxels cover, and how each coarse axis samples it."""
        c, image = self.settings, slab.image
        factor = 2.0 if rng.random() < c.usual else float(rng.uniform(*c.factor))
        if degradation == "1.5t" and rng.random() < c.unchanged:
            factor = 1.0
        axes = {}
        for axis in lie:
            fine, n = slab.voxel[axis - 1], image.shape[axis]
            if degradation == "kspace":  # of all that there is: a spectrum has no local part
                count = round(n / factor)
                size, fine_count = n * fine / count, n
            else:
                count = int(n / factor + 1e-6)
                size, fine_count = factor * fine, ceil(count * factor - 1e-3)
            profile = "kspace" if degradation == "kspace" else "box"
            axes[axis] = SliceGeometry(axis, count, size, size, fine_count, fine, profile)
            first = int(rng.integers(n - fine_count + 1))
            image = image.take(range(first, first + fine_count), axis)
        return image, axes

    def _measured_by(
        self, image: Image, axes: dict[int, SliceGeometry], degradation: str, noise: float, rng: np.random.Generator
    ) -> Image:
        def measure(x: Image) -> Image:
            for axis, g in axes.items():
                x = _along(_matrix(g), x, axis)
            return x

        if degradation == "1.5t":
            return simulate_field(image, rng, self.settings.field, measure)
        y = measure(image)
        return y + np.float32(noise) * rng.standard_normal(y.shape, dtype=np.float32) if noise else y

    def _shown(
        self, image: Image, y: Image, axes: dict[int, SliceGeometry], slab: Slab, degradation: str, noise: float,
        rng: np.random.Generator,
    ) -> tuple[Any, ...]:
        """A patch of the truth, and what the network is shown of ``y``."""
        ways, spread = interpolate_grid(list(axes.values()), noise, degradation)
        patch = self.config.patch
        edge = MARGIN // 2 if 0 in axes else 0
        window = []
        for axis, size, margin in ((0, self.slices, edge), (1, patch, 0), (2, patch, 0)):
            start = int(rng.integers(margin, image.shape[axis] - size - margin + 1))
            window.append(slice(start, start + size))
        m = y
        for axis in (1, 0, 2):
            m = _along(ways[axis].matrix[window[axis]], m, axis) if axis in ways else _kept(m, window[axis], axis)
        phases = {axis: way.phase[:, window[axis]] for axis, way in ways.items()}
        maps = phase_maps(phases.get(1), phases.get(2), (patch, patch))
        sampled = axes.get(1), axes.get(2), axes.get(0)
        first = tuple(phases[0][:, self.halo]) if 0 in phases else (0.0, 0.0)
        vector = describe_grid(sampled, slab.voxel, slab.plane, first, noise, degradation)
        return np.ascontiguousarray(image[tuple(window)]), np.ascontiguousarray(m), maps, np.float32(spread), vector


@lru_cache(maxsize=256)
def _matrix(g: SliceGeometry) -> NDArray[np.float64]:
    """The matrix of ``g``, remembered: most examples are of whole axes of a few volumes."""
    return g.matrix()


def _along(matrix: NDArray[np.float64], x: Image, axis: int) -> Image:
    """``matrix`` applied along one axis, in single precision."""
    return np.moveaxis(np.tensordot(matrix.astype(np.float32), x, axes=(1, axis)), 0, axis)


def _kept(x: Image, window: slice, axis: int) -> Image:
    return x[(slice(None),) * axis + (window,)]
