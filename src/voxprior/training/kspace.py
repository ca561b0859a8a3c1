"""Training examples for k-space: a complex slice, and the image that undersampled coils alone would give of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.ndimage import zoom

from voxprior.errors import InputError
from voxprior.operators.base import Measurement
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.fourier import Fourier
from voxprior.operators.masks import make_mask
from voxprior.priors.complex import channels, describe_coils, gaussian_image
from voxprior.training.augment import ContrastConfig, contrast, paint
from voxprior.training.data import Subject
from voxprior.training.examples import Batch

Complex = NDArray[np.complex64]
PATCHES = 4
"""Examples cut from one simulated acquisition."""


class KspaceConfig(BaseModel):
    """What examples look like.

    ``coils``: range of their number. ``kinds``: shares of mean, conditional and unconditional examples. ``patch``: rows
    and columns. ``matrix``: range of the matrix size. ``acceleration``, ``acs``: ranges. ``masks``: families, chosen
    evenly. ``noise``: range of the noise std on the priors' scale, log-uniform. ``zoom``: range of in-plane zoom, for
    the share ``zoomed``. ``acs_lines``: for a prior that diffuses only outside so many central lines (whole slices).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    coils: tuple[int, int]
    kinds: tuple[float, float, float] = (0.4, 0.25, 0.35)
    patch: int = 96
    matrix: tuple[int, int] = (144, 256)
    acceleration: tuple[float, float] = (2.0, 12.0)
    acs: tuple[int, int] = (12, 32)
    masks: tuple[str, ...] = ("uniform", "random-uniform", "cartesian", "gaussian-2d")
    noise: tuple[float, float] = (0.002, 0.05)
    zoom: tuple[float, float] = (0.75, 1.3)
    zoomed: float = 0.3
    labels: float = 0.05
    other_contrasts: float = 2.0
    contrast: ContrastConfig = ContrastConfig()
    acs_lines: int | None = None


class Acquisition(NamedTuple):
    """A complex slice ``truth`` and its linear reconstruction ``m`` (y, x), spread of one about the other, vector."""

    truth: Complex
    m: Complex
    spread: float
    vector: NDArray[np.float32]


class KspaceExamples:
    """Batches as a function of (seed, step) alone, so that a resumed training sees what it would have seen."""

    def __init__(self, subjects: Sequence[Subject], config: KspaceConfig, image_std: float) -> None:
        self.subjects = [s for s in subjects if not s.labels and len(s.fine) > 1]
        self.labels = [s for s in subjects if s.labels]
        if not self.subjects:
            raise InputError("no training volume with two fine axes; check fine_axes in manifest.csv")
        self.config, self.image_std = config, image_std
        weight = np.array([1.0 if s.modality == "T1w" else config.other_contrasts for s in self.subjects])
        self.weight = weight / weight.sum()

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """Examples ``step * size ...`` of the stream ``seed``; images have two channels, real and imaginary."""
        rows: list[tuple[Any, ...]] = []
        for i in range(0, size, PATCHES):
            rows += self._group(np.random.default_rng((seed, step, i)), min(PATCHES, size - i))
        return Batch(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))

    def _group(self, rng: np.random.Generator, count: int) -> list[tuple[Any, ...]]:
        """``count`` patches of one slice: all measured, or all unconditional."""
        c = self.config
        measured = rng.random() >= c.kinds[2]
        found = self._acquire(rng) if measured else self._unmeasured(rng)
        blank = np.zeros((2, c.patch), dtype=np.float32)
        rows = []
        for _ in range(count):
            kind = 2 if not measured else int(rng.random() < c.kinds[1] / (c.kinds[0] + c.kinds[1]))
            y, x = (int(rng.integers(n - c.patch + 1)) for n in found.truth.shape)
            cut = slice(y, y + c.patch), slice(x, x + c.patch)
            truth, m = (channels(v[cut]) for v in (found.truth, found.m))
            rows.append((truth, m, blank, np.float32(found.spread), found.vector, np.int64(kind)))
        return rows

    def _unmeasured(self, rng: np.random.Generator) -> Acquisition:
        truth = self._slice(rng)
        return Acquisition(truth, np.zeros_like(truth), self.image_std, describe_coils(None, 0, 0.0))

    def _acquire(self, rng: np.random.Generator) -> Acquisition:
        """Sample the slice through random coils and mask, with noise, and reconstruct it linearly."""
        truth = self._slice(rng)
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

    def _slice(self, rng: np.random.Generator) -> Complex:
        """A slice with some tissue in it, at a random contrast, zoom, matrix size and phase."""
        c = self.config
        for _ in range(4):
            image = self._cut(rng)
            if np.mean(image > 0.1) > 0.2:
                break
        if rng.random() < c.zoomed:
            image = np.asarray(zoom(image, float(rng.uniform(*c.zoom)), order=3, output=np.float32)).clip(0)
        size = [int(n) for n in rng.integers(c.matrix[0], c.matrix[1] + 1, 2)]
        if c.acs_lines is not None:
            size = [c.patch, c.patch]
        image = _fitted(image, (max(size[0], c.patch), max(size[1], c.patch)), rng)
        return with_phase(image, rng)

    def _cut(self, rng: np.random.Generator) -> NDArray[np.float32]:
        c = self.config
        if self.labels and rng.random() < c.labels:
            subject = self.labels[int(rng.integers(len(self.labels)))]
        else:
            subject = self.subjects[int(rng.choice(len(self.subjects), p=self.weight))]
        fine = subject.fine or (0, 1, 2)
        rows, columns = rng.permutation(rng.choice(fine, 2, replace=False))
        normal = 3 - int(rows) - int(columns)
        volume = subject.image.transpose(normal, rows, columns)
        middle = len(volume) / 2
        k = int(np.clip(rng.normal(middle, 0.22 * len(volume)), 0, len(volume) - 1))
        image = volume[k : k + 1]
        image = paint(image, rng) if subject.labels else image
        image = contrast(image, rng, c.contrast)[0]
        return np.flip(image, tuple(a for a in (0, 1) if rng.random() < 0.5))


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


def with_phase(image: NDArray[np.float32], rng: np.random.Generator) -> Complex:
    """A real slice (y, x) with :func:`smooth_phase`."""
    return np.asarray(image * np.exp(1j * smooth_phase(image.shape, rng)), dtype=np.complex64)


def smooth_phase(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """A random smooth phase (y, x) in radians: an offset, a ramp, and a few slow waves; sometimes an offset alone."""
    phase = np.full(shape, rng.uniform(0, 2 * np.pi), dtype=np.float32)
    if rng.random() < 0.15:
        return phase
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    phase += rng.normal(0, 1.5) * y[:, None] + rng.normal(0, 1.5) * x[None, :]
    for _ in range(4):
        ky, kx = rng.normal(0, 1.5, 2)
        wave = np.exp(1j * (np.pi * ky * y[:, None] + np.pi * kx * x[None, :] + rng.uniform(0, 2 * np.pi)))
        phase += np.float32(rng.normal(0, 0.6)) * wave.real.astype(np.float32)
    return phase


def _fitted(image: NDArray[np.float32], size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """``image`` cropped at random, or set at random into zeros, to ``size``."""
    for axis, n in enumerate(size):
        have = image.shape[axis]
        if have > n:
            image = image.take(range(first := int(rng.integers(have - n + 1)), first + n), axis)
        elif have < n:
            before = int(rng.integers(n - have + 1))
            pad = [(0, 0), (0, 0)]
            pad[axis] = (before, n - have - before)
            image = np.pad(image, pad)
    return image

