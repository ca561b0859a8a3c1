"""A data folder with the layout of the real one, made of ellipsoids."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest

COLUMNS = ("file", "split", "role", "subject", "modality", "fine_axes", "licence")


def _head(seed: int, shape: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    image = np.zeros(shape)
    for _ in range(12):
        centre, radius = rng.uniform(-0.4, 0.4, 3), rng.uniform(0.15, 0.8, 3)
        inside = (((grid - centre.reshape(3, 1, 1, 1)) / radius.reshape(3, 1, 1, 1)) ** 2).sum(0) < 1
        image[inside] = rng.uniform(60, 250)
    return image.astype(np.uint8)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fit subjects, one each of tune, calibrate and test, and one label map."""
    folder = tmp_path_factory.mktemp("data")
    rows = [
        ("train/a.nii.gz", "train", "fit", "a", "T1w", "L-R A-P I-S", "CC0"),
        ("train/b.nii.gz", "train", "fit", "b", "T2w", "A-P I-S (soft)", "MIT"),
        ("train/c.nii.gz", "train", "tune", "c", "T1w", "A-P", "CC0"),
        ("train/d.nii.gz", "train", "calibrate", "d", "T1w", "A-P", "CC0"),
        ("test/e.nii.gz", "test", "", "e", "T1w", "A-P", "secret"),
        ("labels/f.nii.gz", "train", "fit", "f", "labels", "", ""),
    ]
    for sub in ("train", "test", "labels"):
        (folder / sub).mkdir()
    for i, row in enumerate(rows):
        data = _head(i, (44, 48, 46)) // (40 if row[0].startswith("labels") else 1)
        nibabel.Nifti1Image(data, np.diag([-1.0, 1.0, 1.0, 1.0])).to_filename(folder / row[0])
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return folder
