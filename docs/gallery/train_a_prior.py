"""Train and distil a prior: tiny ones on ellipsoids, in seconds, and restore with them. Real ones differ in size alone.

Run it as ``python train_a_prior.py [FOLDER]``; data, checkpoint and weights go into FOLDER. Needs the extra ``train``.
"""

import csv
import sys
from pathlib import Path

import nibabel
import numpy as np

import voxprior
from voxprior.priors.denoiser import SlicePriorConfig
from voxprior.priors.student import StudentConfig
from voxprior.priors.volume import VolumePriorConfig
from voxprior.training.config import FitConfig
from voxprior.training.distill import DistillConfig, distill
from voxprior.training.examples import ExampleConfig
from voxprior.training.fit import fit
from voxprior.training.publish import publish, publish_student
from voxprior.training.volumes import VolumeExampleConfig

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
gain = card["figures"]["gain_over_cubic"]
print(f"{card['parameters']} parameters, {card['bytes']} bytes, gain over cubic, dB: {gain}")

thick = head().astype(np.float32).reshape(44, 48, 23, 2).mean(axis=3)
thin = voxprior.restore(thick, voxel_size=(1.0, 1.0, 2.0), weights=str(weights))
print(thin)

# The same in three dimensions: a volume prior, which sees blocks of thick slices as cells.
blocks = VolumeExampleConfig(cells=(4, 6), plane=(24, 24), factors=(2, 4), in_plane=0.0)
teaching = settings.model_copy(
    update={
        "output": folder / "volume",
        "prior": VolumePriorConfig(channels=(8, 16), blocks=(0, 1), up=(1,), strides=((1, 2, 2),), cosines=4),
        "examples": blocks,
        "steps": 20,
        "decay": 10,
    }
)
fit(teaching)
teacher = folder / "volume.safetensors"
publish(teaching, teacher)

# Its many steps made into one: the student starts from the interpolated slices, and learns from teacher and truth.
lesson = DistillConfig(
    data=data,
    output=folder / "student",
    teacher=str(teacher),
    student=StudentConfig(start="degraded"),
    examples=blocks.model_copy(update={"mean": 0.0}),
    regression=1.0,
    steps=8,
    batch=2,
    rate=1e-4,
    validate_every=0,
)
distill(lesson)
student = folder / "student.safetensors"
scores = publish_student(lesson, student)["figures"]
print(f"one step, dB: {scores['psnr']}, energy over the truth's: {scores['high_frequency_energy_over_truth']}")
quick = voxprior.restore(thick, voxel_size=(1.0, 1.0, 2.0), mode="one-step", weights=str(student))
print(f"residual after the projection: {quick.sidecar['residual']:.1e}")
