"""A small data folder with what the k-space evaluation reads, and a method that draws samples."""

import csv
import hashlib

import nibabel
import numpy as np
import scipy.io
import torch
from pydantic import BaseModel, ConfigDict
from scipy.ndimage import gaussian_filter

from voxprior.methods.result import Result

COLUMNS = ("file", "split", "role", "subject", "modality", "sequence_field_scanner", "shape", "fine_axes", "sha256")
SIZE = (100, 104, 5)


def head(shape, seed):
    """A bright ellipse with texture in an empty field, larger in the middle slices."""
    y, x = (np.linspace(-1, 1, n) for n in shape[:2])
    texture = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), (1.5, 1.5, 0.5))
    radius = np.hypot(y[:, None] / 0.8, x[None] / 0.7)[..., None] + 0.05 * np.abs(np.arange(shape[2]) - shape[2] // 2)
    return np.where(radius < 1, 120 + 300 * texture, 0).clip(0, 255).astype(np.float32)


def coil_images(shape, coils, seed):
    """Images of Gaussian sensitivities around a head with a smooth phase: (coil, y, x) complex64."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    image = head((*shape, 1), seed)[..., 0] * np.exp(1j * (y + 0.5 * x))
    angles = 2 * np.pi * np.arange(coils) / coils
    maps = [np.exp(-((y - np.sin(a)) ** 2 + (x - np.cos(a)) ** 2) / 2 + 1j * a * y) for a in angles]
    return (np.stack(maps) * image).astype(np.complex64)


def make(folder):
    """Two test heads, one tune head, real coil images, a complex image, undersampled k-space, and a CT volume."""
    rows = []

    def add(name, split, role, subject, modality, shape, fine):
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        shape = "x".join(map(str, shape))
        rows.append((name, split, role, subject, modality, "scanner", shape, fine, digest))

    for sub in ("test", "train", "ct", "kspace"):
        (folder / sub).mkdir(parents=True)
    for seed, (name, role) in enumerate((("test/a", ""), ("test/b", ""), ("train/t", "tune"))):
        nibabel.save(nibabel.Nifti1Image(head(SIZE, seed), np.diag([1, 1, 1, 1.0])), folder / f"{name}.nii.gz")
        add(f"{name}.nii.gz", name[:-2], role, name[-1], "T1w", SIZE, "L-R A-P")
    hounsfield = np.where(head((60, 57, 3), 7) > 0, 100, -1000).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(hounsfield, np.diag([1, 1, 1, 1.0])), folder / "ct/c.nii.gz")
    add("ct/c.nii.gz", "test", "", "c", "CT", (60, 57, 3), "")
    images = coil_images((96, 100), 4, 3)
    scipy.io.savemat(folder / "kspace/real.mat", {"data": images.transpose(1, 2, 0)})
    add("kspace/real.mat", "test", "", "real", "multi-coil", (), "")
    scipy.io.savemat(folder / "kspace/one_7.mat", {"Img": 1e-6 * images.sum(0).astype(np.complex128)})
    add("kspace/one_7.mat", "test", "", "one", "complex image (coil-combined)", (), "")
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, (1, 2)), norm="ortho"), (1, 2)).astype(np.complex64)
    kspace[:, :, 1::2] *= np.abs(np.arange(1, 100, 2) - 50) < 12
    np.save(folder / "kspace/short.npy", kspace)
    add("kspace/short.npy", "test", "", "short", "multi-coil k-space", (), "")
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return folder


class Options(BaseModel):
    """Number and spread of the samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    samples: int = 3
    spread: float = 1.0


class Drawn:
    """Zero-filling plus white noise from the passed source: samples whose spread is known."""

    name, Options, citation = "drawn", Options, "a test"

    def __init__(self):
        self.operators = []

    def __call__(self, measurement, options, rng, progress=None):
        self.operators.append(measurement.operator)
        base = measurement.operator.adjoint(measurement.y)[0]
        noise = [[rng(k, part, tuple(base.shape)) for part in (0, 1)] for k in range(options.samples)]
        samples = torch.stack([base + options.spread * torch.complex(*parts) for parts in noise])
        std = torch.full(base.shape, options.spread)
        return Result(samples.mean(0), std, samples, calls=options.samples)


class Plain:
    """Zero-filling."""

    name, Options, citation = "plain", Options, "a test"

    def __call__(self, measurement, options, rng, progress=None):
        return Result(measurement.operator.adjoint(measurement.y)[0])
