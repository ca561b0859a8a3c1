"""Training examples for k-space: a complex slice, and the image that undersampled coils alone would give of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.operators.base import Measurement
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.fourier import Fourier
from voxprior.operators.masks import make_mask
from voxprior.priors.complex import channels, describe_coils, gaussian_image
from voxprior.training.examples import Batch
from voxprior.training.slices import Complex, KspaceConfig, Slices

PATCHES = 4
"""Examples of a batch that are cut from one simulated acquisition."""
BATCHES = 3
"""Batches in a row that cut from the same acquisitions, which take longer to make than a training step."""


class Acquisition(NamedTuple):
    """A complex slice ``truth`` and its linear reconstruction ``m`` (y, x), spread of one about the other, vector."""

    truth: Complex
    m: Complex
    spread: float
    vector: NDArray[np.float32]


class KspaceExamples:
    """Batches as a function of (seed, step) alone, so that a resumed training sees what it would have seen."""

    def __init__(self, slices: Slices, config: KspaceConfig, image_std: float) -> None:
        self.slices, self.config, self.image_std = slices, config, image_std
        self._kept: dict[tuple[int, int, int], Acquisition] = {}

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """Examples ``step * size ...`` of the stream ``seed``; images have two channels, real and imaginary."""
        rows: list[tuple[Any, ...]] = []
        for i in range(0, size, PATCHES):
            found = self._acquisition(seed, step // BATCHES, i)
            rng = np.random.default_rng((seed, step, i, 1))
            rows += [self._patch(found, rng) for _ in range(min(PATCHES, size - i))]
        return Batch(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))

    def _acquisition(self, seed: int, turn: int, i: int) -> Acquisition:
        """Measured or not, kept until the next ones are asked for."""
        key = (seed, turn, i)
        if key not in self._kept:
            rng = np.random.default_rng((seed, turn, i, 0))
            self._kept = {k: v for k, v in self._kept.items() if k[:2] == key[:2]}
            self._kept[key] = self._acquire(rng) if rng.random() >= self.config.kinds[2] else self._unmeasured(rng)
        return self._kept[key]

    def _patch(self, found: Acquisition, rng: np.random.Generator) -> tuple[Any, ...]:
        c = self.config
        measured = bool(found.vector[0])
        kind = 2 if not measured else int(rng.random() < c.kinds[1] / (c.kinds[0] + c.kinds[1]))
        y, x = (int(rng.integers(n - c.patch + 1)) for n in found.truth.shape)
        cut = slice(y, y + c.patch), slice(x, x + c.patch)
        truth, m = (channels(v[cut]) for v in (found.truth, found.m))
        blank = np.zeros((2, c.patch), dtype=np.float32)
        return truth, m, blank, np.float32(found.spread), found.vector, np.int64(kind)

    def _unmeasured(self, rng: np.random.Generator) -> Acquisition:
        truth = self.slices.draw(rng)
        return Acquisition(truth, np.zeros_like(truth), self.image_std, describe_coils(None, 0, 0.0))

    def _acquire(self, rng: np.random.Generator) -> Acquisition:
        """Sample the slice through random coils and mask, with noise, and reconstruct it linearly."""
        truth = self.slices.draw(rng)
        measurement = acquire(truth, rng, self.config)
        with torch.no_grad():
            m = gaussian_image(measurement, 1.0)[0].numpy()
        # The expected error is only known from a model of the image: its own error is told with a random factor.
        error = np.sqrt(np.mean(np.abs(m - truth) ** 2) / 2) * np.exp(0.25 * rng.standard_normal())
        operator: Any = measurement.operator
        acceleration = operator.mask.numel() / float(operator.mask.sum())
        coils = 1 if operator.maps is None else len(operator.maps)
        vector = describe_coils(acceleration, coils, float(measurement.sigma or 0))
        return Acquisition(truth, m, max(float(error), 1e-3), vector)


def acquire(truth: Complex, rng: np.random.Generator, config: KspaceConfig) -> Measurement:
    """Random coils, mask along a random axis, and noise for one slice on the priors' scale."""
    coils = int(rng.integers(config.coils[0], config.coils[1] + 1))
    turned = bool(rng.random() < 0.5)
    shape = truth.shape[::-1] if turned else truth.shape
    keep = _mask((int(shape[0]), int(shape[1])), rng, config)
    mask = torch.from_numpy(np.ascontiguousarray(keep.T if turned else keep))
    maps = torch.from_numpy(simulate_maps((truth.shape[0], truth.shape[1]), coils, rng)) if coils > 1 else None
    operator = Fourier(mask, maps)
    sigma = float(np.exp(rng.uniform(*np.log(config.noise))))
    y = operator.apply(torch.from_numpy(truth)[None])
    noise = rng.standard_normal((*y.shape, 2), dtype=np.float32) * np.float32(sigma)
    return Measurement(operator, (y + torch.view_as_complex(torch.from_numpy(noise))) * mask, sigma)


def _mask(shape: tuple[int, int], rng: np.random.Generator, config: KspaceConfig) -> NDArray[np.bool_]:
    while True:
        name = str(rng.choice(config.masks))
        acceleration = float(rng.uniform(*config.acceleration))
        acs = int(rng.integers(config.acs[0], config.acs[1] + 1))
        try:
            return make_mask(name, shape, acceleration, acs, int(rng.integers(2**31))).keep
        except InputError:  # an impossible pair: draw another
            continue
