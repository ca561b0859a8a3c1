"""A small data folder with CT volumes of two test subjects and one of training, and a method that knows its spread."""

import csv
import hashlib

import nibabel
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from scipy.ndimage import gaussian_filter

from voxprior.io.sinogram import MU_WATER
from voxprior.methods.result import Result
from voxprior.methods.tomography import fbp

COLUMNS = ("file", "split", "subject", "modality", "sequence_field_scanner", "shape", "skull", "fine_axes", "sha256")
SIZE = (24, 26, 64)
AFFINES = {"a": np.diag([-3, -3, 3, 1.0]), "b": np.diag([3, 3, -3, 1.0]), "t": np.diag([-2, -2, 2, 1.0])}


def body(seed):
    """HU: an ellipse of water with texture in air; the mean rises by 2 HU from slice to slice."""
    y, x = (np.linspace(-1, 1, n) for n in SIZE[:2])
    inside = (y[:, None] / 0.8) ** 2 + (x[None] / 0.7) ** 2 < 1
    texture = 400 * gaussian_filter(np.random.default_rng(seed).standard_normal(SIZE), 2)
    return np.where(inside[..., None], texture + 2.0 * np.arange(SIZE[2]), -1000).astype(np.float32)


def make(folder):
    """Subjects a (head first along k), b (feet last) and the training volume t."""
    rows = []
    (folder / "ct").mkdir(parents=True)
    for seed, (name, split) in enumerate((("a", "test"), ("b", "test"), ("t", "train"))):
        path = folder / "ct" / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(body(seed), AFFINES[name]), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append((f"ct/{name}.nii.gz", split, name, "CT", "s", "x".join(map(str, SIZE)), f"part {name}", "", digest))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return folder


class Options(BaseModel):
    """Number and spread (HU) of the samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    samples: int = 3
    spread: float = 20.0


class Drawn:
    """Filtered back-projection plus white noise from the passed source."""

    name, Options, citation = "drawn", Options, "a test"

    def __init__(self):
        self.measurements = []

    def __call__(self, measurement, options, rng, progress=None):
        self.measurements.append(measurement)
        base = fbp(measurement, fbp.Options(), rng).mean
        spread = options.spread * MU_WATER / 1000
        samples = torch.stack([base + spread * rng(k, 0, tuple(base.shape)) for k in range(options.samples)])
        return Result(samples.mean(0), samples.std(0), samples, calls=5 * options.samples)
