"""Complex slices for training: of head volumes with a made phase, or of fully sampled k-space files as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.ndimage import zoom

from voxprior.errors import InputError
from voxprior.io.kspace import index_folder, open_kspace
from voxprior.operators.coils import adaptive_combine
from voxprior.operators.fourier import ifft
from voxprior.priors.intensity import intensity_scale
from voxprior.training.augment import ContrastConfig, contrast, paint
from voxprior.training.data import held_back, load_subjects, modalities
from voxprior.training.sources.pool import Pool

Complex = NDArray[np.complex64]
HELD = 10
"""Of so many files of a folder the first is held back for validation."""


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


class Slices(Protocol):
    """Where complex slices (y, x) on the priors' scale come from."""

    def draw(self, rng: np.random.Generator) -> Complex:
        """A random slice, at least ``patch`` on a side."""
        ...

    def held(self) -> Mapping[str, Complex]:
        """One slice of everything that is held back, by name."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the card says of the data."""
        ...


def load_slices(data: Path, config: KspaceConfig) -> Slices:
    """Slices of a folder of k-space files (.h5), or of what :func:`voxprior.training.data.load_subjects` reads."""
    if data.is_dir() and any(data.glob("*.h5")):
        return FileSlices(data, config)
    return HeadSlices(data, config)


class HeadSlices:
    """Slices of magnitude volumes, along axes of true resolution, with a random smooth phase."""

    def __init__(self, data: Path, config: KspaceConfig) -> None:
        self.data, self.config = data, config
        subjects = load_subjects(data, ("fit",))
        self.subjects = [s for s in subjects if not s.labels and len(s.fine) > 1]
        self.labels = [s for s in subjects if s.labels]
        if not self.subjects:
            raise InputError("no training volume with two fine axes; check fine_axes in manifest.csv")
        weight = np.array([1.0 if s.modality == "T1w" else config.other_contrasts for s in self.subjects])
        self.weight = weight / weight.sum()
        self.pool = Pool(self.subjects, self.weight)

    def held(self) -> dict[str, Complex]:
        """The middle axial slice of each tune subject."""
        rng = np.random.default_rng(0)
        held = held_back(self.data)
        return {s.name: with_phase(s.image[:, :, s.image.shape[2] // 2].T, rng) for s in held}

    def describe(self) -> dict[str, Any]:
        """Split, subjects and modalities."""
        return modalities(self.data)

    def draw(self, rng: np.random.Generator) -> Complex:
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
        image = fitted(image, (max(size[0], c.patch), max(size[1], c.patch)), rng)
        return with_phase(image, rng)

    def _cut(self, rng: np.random.Generator) -> NDArray[np.float32]:
        c = self.config
        if self.labels and rng.random() < c.labels:
            subject = self.labels[int(rng.integers(len(self.labels)))]
        else:
            subject = self.pool.draw(rng)
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


class FileSlices:
    """Slices of fully sampled k-space files, one of which is opened for each draw."""

    def __init__(self, folder: Path, config: KspaceConfig) -> None:
        self.folder, self.config = folder, config
        index = index_folder(folder)
        names = [entry.name for entry in index.entries if entry.fault is None]
        self.kept = names[::HELD]
        self.names = [name for name in names if name not in self.kept] or names
        self.slices = [place for place in index if place[0].name in self.names]
        if not self.slices:
            raise InputError(f"{folder}: no k-space file that can be read; {'; '.join(index.faults[:1])}")

    def draw(self, rng: np.random.Generator) -> Complex:
        """A slice, flipped and turned at random, with a random phase offset and brightness."""
        path, number = self.slices[int(rng.integers(len(self.slices)))]
        image = _combined(path, number)
        image = np.flip(image, tuple(a for a in (0, 1) if rng.random() < 0.5))
        image = image.T if rng.random() < 0.5 else image
        factor = rng.uniform(0.85, 1.15) * np.exp(1j * rng.uniform(0, 2 * np.pi))
        size = (self.config.patch, self.config.patch)
        if self.config.acs_lines is None:
            size = (max(size[0], image.shape[0]), max(size[1], image.shape[1]))
        return fitted(np.asarray(image * factor, dtype=np.complex64), size, rng)

    def held(self) -> dict[str, Complex]:
        """The middle slice of each file that is held back."""
        index = index_folder(self.folder)
        counts = {entry.name: entry.slices for entry in index.entries}
        return {name: _combined(self.folder / name, counts[name] // 2) for name in self.kept}

    def describe(self) -> dict[str, Any]:
        """File names and counts."""
        return {"split": "own files", "files": len(self.names), "slices": len(self.slices), "held": list(self.kept)}


def _combined(path: Path, number: int) -> Complex:
    """One slice of a file, coils combined, on the priors' scale; of a 3-D file the middle of its first axis."""
    with open_kspace(path) as file:
        kspace = torch.from_numpy(file.read(number))
    images = ifft(kspace, tuple(range(1, kspace.ndim)))
    if images.ndim == 4:
        images = images[:, images.shape[1] // 2]
    image: Complex = adaptive_combine(images[None])[0].numpy()
    return np.asarray(image / intensity_scale(image), dtype=np.complex64)


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


def fitted(image: NDArray[Any], size: tuple[int, int], rng: np.random.Generator) -> NDArray[Any]:
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

