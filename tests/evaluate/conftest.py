"""A data folder with two tiny heads, and a method that draws samples."""

import csv
import hashlib

import nibabel
import numpy as np
import pytest
import torch
from pydantic import BaseModel, ConfigDict
from scipy.ndimage import gaussian_filter

from evaluate.recon_data import make as recon_data_folder
from voxprior.methods.baselines import cubic
from voxprior.methods.result import Result
from voxprior.registry import resolve

COLUMNS = ("file", "split", "subject", "modality", "sequence_field_scanner", "shape", "fine_axes", "sha256")
SHAPES = {"a": (28, 30, 32), "b": (30, 36, 34)}


def head(shape, seed):
    """A bright ellipsoid with texture in an empty field, in whole numbers as scanners store them."""
    grid = (np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2) / np.array(shape).reshape(3, 1, 1, 1)
    texture = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.2)
    return np.where((grid**2).sum(0) < 0.2, 120 + 200 * texture, 0).clip(0, 255).astype(np.uint8)


@pytest.fixture
def data(tmp_path):
    """Subject a: T1w of a scanner that training knows, LAS. Subject b: FLAIR, PIR, I-S not fine."""
    folder = tmp_path / "data"
    (folder / "test").mkdir(parents=True)
    affines = {
        "a": np.array([[-0.9, 0, 0, 10], [0, 1.1, 0, -20], [0, 0, 1.2, 5], [0, 0, 0, 1.0]]),
        "b": np.array([[0, 0, 0.9, -3], [-1.1, 0, 0, 20], [0, -1.0, 0, 5], [0, 0, 0, 1.0]]),
    }
    rows = [("train/x.nii.gz", "train", "x", "T1w", "scanner 1", "9x9x9", "A-P", "0")]
    facts = {"a": ("T1w", "scanner 1", "L-R A-P I-S (soft)"), "b": ("FLAIR", "unknown", "L-R A-P")}
    for seed, (name, (modality, scanner, fine)) in enumerate(facts.items()):
        path = folder / "test" / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(head(SHAPES[name], seed), affines[name]), path)
        shape = "x".join(map(str, SHAPES[name]))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append((f"test/{name}.nii.gz", "test", name, modality, scanner, shape, fine, digest))
    rows.append(("ct/c.nii.gz", "test", "c", "CT", "", "9x9x9", "", "0"))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return folder


class DrawnOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    samples: int = 3
    spread: float = 5.0


class Drawn:
    """Cubic plus white noise from the passed source: samples whose spread is known."""

    name, Options, citation = "drawn", DrawnOptions, "a test"

    def __init__(self):
        self.runs = 0

    def __call__(self, measurement, options, rng, progress=None):
        self.runs += 1
        base = cubic(measurement, cubic.Options(), rng).mean
        samples = torch.stack([base + options.spread * rng(k, 0, tuple(base.shape)) for k in range(options.samples)])
        std = samples.std(0) if options.samples > 1 else torch.full_like(base, options.spread)
        return Result(samples.mean(0), std, samples, calls=options.samples)


@pytest.fixture
def drawn():
    return Drawn()


@pytest.fixture
def methods(drawn):
    """Method name to method: the baselines, and the one above."""
    return lambda name: drawn if name == "drawn" else resolve(name)


@pytest.fixture
def recon_data(tmp_path):
    """A folder with heads, coil images, a complex image, undersampled k-space and a CT volume."""
    return recon_data_folder(tmp_path / "recon-data")
