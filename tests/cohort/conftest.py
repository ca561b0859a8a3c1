"""A small BIDS data set of thick scans."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from phantoms import HEAD

Make = Callable[[int], Path]


def write_scan(path: Path, step: float = 5.0, shift: float = 0.0, size: int = 16) -> None:
    """The head in 6 slices, 2 mm in plane."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = HEAD.slices((size, size), (2.0, 2.0), np.arange(6) * step - 2.5 * step + shift, step)
    affine = np.diag([2.0, 2.0, step, 1.0])
    affine[:3, 3] = [-size + 1, -size + 1, -2.5 * step]
    image = nib.Nifti1Image(data.astype(np.float32), affine)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)


@pytest.fixture
def dataset(tmp_path: Path) -> Make:
    """A data set with so many subjects, one T1w each."""

    def make(subjects: int) -> Path:
        root = tmp_path / "raw"
        root.mkdir()
        about = {"Name": "Heads of ellipsoids", "BIDSVersion": "1.9.0", "DatasetType": "raw", "Authors": ["A", "B"]}
        (root / "dataset_description.json").write_text(json.dumps(about))
        (root / "README.md").write_text("Heads of ellipsoids, for a test of software.\n")
        for number in range(1, subjects + 1):
            write_scan(root / f"sub-{number:02d}" / "anat" / f"sub-{number:02d}_T1w.nii.gz", shift=0.1 * number)
        return root

    return make
