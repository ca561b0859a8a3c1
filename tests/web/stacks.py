"""Thick scans of one head in different directions, as images and as DICOM."""

from __future__ import annotations

import zipfile
from pathlib import Path

import nibabel
import numpy as np

from dicoms import Series
from phantoms import HEAD

SIZE, THICK, FINE = 40.0, 5.0, 2.0
DIRECTIONS = {
    "axial": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    "sagittal": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
}
"""Rows and columns of DICOM, LPS."""


def image(path: Path, axis: int, scale: float = 1.0) -> Path:
    """8 slices of 5 mm along world ``axis``, with 2 mm in plane, about the origin."""
    steps = np.where(np.arange(3) == axis, THICK, FINE)
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -(SIZE - steps) / 2
    counts = np.round(SIZE / steps).astype(int)
    data = _averages(affine, tuple(counts), axis) * scale
    found = nibabel.Nifti1Image(data.astype(np.float32), affine)
    found.set_qform(affine, 1)
    found.header["descrip"] = b"Zzyzx^Patience"
    nibabel.save(found, path)
    return path


def series(folder: Path, direction: str, number: int) -> list[Path]:
    """The same head as 8 DICOM slices of 5 mm, one a file."""
    row, column = DIRECTIONS[direction]
    made = Series(
        np.zeros((8, 20, 20), np.uint16), spacing=THICK, thickness=THICK, pixel=(FINE, FINE), row=row, column=column,
        number=number, uid=f"1.2.826.0.1.3680043.8.498.7.{number}",
    )
    made.origin = tuple(-np.array(row) * 19 - np.array(column) * 19 - made.normal * 17.5)
    made.voxels = (100 * _averages(made.affine(), (20, 20, 8), 2)).transpose(2, 1, 0).astype(np.uint16)
    return made.write(folder)


def study(path: Path, *directions: str) -> Path:
    """A zip with a series in each direction, numbers 3, 4 ..., named after the patient."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, direction in enumerate(directions, 3):
            for file in series(path.parent / f"Zzyzx_{direction}", direction, number):
                archive.write(file, f"Zzyzx^Patience/{direction}/{file.name}")
    return path


def _averages(affine: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Means of the head over five parts of every voxel along ``axis``."""
    places = np.stack([*np.meshgrid(*map(np.arange, shape), indexing="ij"), np.ones(shape)])
    world = np.einsum("wc,cijk->wijk", affine, places)[:3]
    step = affine[:3, axis][:, None, None, None]
    return np.mean([HEAD.at(*(world + part * step)) for part in (-0.4, -0.2, 0, 0.2, 0.4)], axis=0)
