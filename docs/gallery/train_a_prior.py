"""Train a prior: a tiny one on ellipsoids, in seconds, then restore with it. A real one differs in size alone.

Run it as ``python train_a_prior.py [FOLDER]``; data, checkpoint and weights go into FOLDER. Needs the extra ``train``.
"""

import csv
import sys
from pathlib import Path

import nibabel
import numpy as np

import voxprior
from voxprior.priors.denoiser import SlicePriorConfig
from voxprior.training.config import FitConfig
from voxprior.training.examples import ExampleConfig
from voxprior.training.fit import fit
from voxprior.training.publish import publish

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
shape, rng = (44, 48, 46), np.random.default_rng(0)
grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))


def head() -> np.ndarray:
    """Ellipsoids of random places, sizes and intensities."""
    image = np.zeros(shape, dtype=np.uint8)
    for _ in range(12):
        centre, radius = rng.uniform(-0.4, 0.4, (3, 1, 1, 1)), rng.uniform(0.15, 0.8, (3, 1, 1, 1))
        image[(((grid - centre) / radius) ** 2).sum(0) < 1] = rng.integers(60, 250)
    return image


# A folder of scans and a table that says which of them to learn from, and which to choose by.
data = folder / "data"
(data / "train").mkdir(parents=True, exist_ok=True)
with (data / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
    table = csv.writer(stream)
    table.writerow(["file", "split", "role", "subject", "modality", "fine_axes"])
    for name, role in (("a", "fit"), ("b", "fit"), ("c", "tune")):
        nibabel.Nifti1Image(head(), np.diag([-1.0, 1.0, 1.0, 1.0])).to_filename(data / "train" / f"{name}.nii.gz")
        table.writerow([f"train/{name}.nii.gz", "train", role, name, "T1w", "L-R A-P I-S"])

settings = FitConfig(
    data=data,
    output=folder / "run",
    prior=SlicePriorConfig(channels=(16, 16), blocks=(1, 1)),
    examples=ExampleConfig(patch=32, spacing=(2.0, 4.0), resampled=0.0),
    steps=40,
    batch=4,
    warmup=10,
    decay=15,
    ema=0.9,
    accelerator="cpu",
)
fit(settings)
weights = folder / "ellipsoids.safetensors"
card = publish(settings, weights)
print(f"{card['parameters']} parameters, {card['bytes']} bytes, gain over cubic, dB: {card['figures']['gain_over_cubic']}")

thick = head().astype(np.float32).reshape(44, 48, 23, 2).mean(axis=3)
thin = voxprior.restore(thick, voxel_size=(1.0, 1.0, 2.0), weights=str(weights))
print(thin)
