"""Small trees with the file layouts of public data sets, made of ellipsoids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

Write = Callable[..., Path]
SHAPE = (24, 28, 26)


def _head(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[:3]), indexing="ij"))
    image = np.zeros(shape[:3])
    for _ in range(8):
        centre, radius = rng.uniform(-0.3, 0.3, 3), rng.uniform(0.3, 0.9, 3)
        inside = (((grid - centre.reshape(3, 1, 1, 1)) / radius.reshape(3, 1, 1, 1)) ** 2).sum(0) < 1
        image[inside] = rng.uniform(100, 900)
    return np.broadcast_to(image.reshape(*image.shape, *[1] * (len(shape) - 3)), shape).astype(np.int16)


@pytest.fixture(scope="session")
def write() -> Write:
    """Write a head, or the array given, to a path with the voxel size or affine given; return the path."""

    def to(path: Path, data: np.ndarray | None = None, voxel: object = 1.0, affine: np.ndarray | None = None,
           shape: tuple[int, ...] = SHAPE) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = _head(sum(map(ord, path.name)), shape) if data is None else data
        place = np.diag([*np.broadcast_to(np.asarray(voxel, dtype=float), 3), 1.0]) if affine is None else affine
        nibabel.Nifti1Image(image, place).to_filename(path)
        return path

    return to


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory, write: Write) -> dict[str, Path]:
    """A folder of each layout, with what else a download holds beside the scans."""
    root = tmp_path_factory.mktemp("downloads")
    for name in ("IXI002-Guys-0828", "IXI012-HH-1211", "IXI035-IOP-0873"):
        for kind, voxel in (("T1", (1.2, 0.9375, 0.9375)), ("T2", (0.9375, 0.9375, 1.25)), ("PD", 1.0), ("MRA", 1.0)):
            write(root / "ixi" / f"IXI-{kind}" / f"{name}-{kind}.nii.gz", voxel=voxel)
        write(root / "ixi" / "IXI-DTI" / f"{name}-DTI-00.nii.gz")
    for name in ("BraTS-GLI-00005-100", "BraTS-GLI-00005-101", "BraTS-GLI-00006-100", "BraTS-MET-00012-000"):
        for kind in ("t1n", "t1c", "t2w", "t2f", "seg"):
            write(root / "brats" / "training_data1_v2" / name / f"{name}-{kind}.nii.gz")
    for name in ("100307", "100408", "101107"):
        for part in ("T1w/T1w_acpc_dc_restore", "T1w/T1w_acpc_dc_restore_brain", "T1w/T2w_acpc_dc_restore",
                     "T1w/aparc+aseg", "T1w/T1w_acpc_dc_restore_1.25", "MNINonLinear/T1w_restore.1.60",
                     "MNINonLinear/T1w_restore"):
            write(root / "hcp" / name / f"{part}.nii.gz", voxel=1.6 if "1.60" in part else 0.7)
    raw = root / "hcp" / "100307" / "unprocessed" / "3T"
    for run in ("T1w_MPR1", "T1w_MPR2"):
        write(raw / run / f"100307_3T_{run}.nii.gz", voxel=0.7)
        write(raw / run / "100307_3T_AFI.nii.gz", voxel=2.0)
    for name in ("sub-01", "sub-02", "sub-CON03"):
        write(root / "bids" / name / "ses-pre" / "anat" / f"{name}_ses-pre_acq-mprage_run-1_T1w.nii.gz")
        write(root / "bids" / name / "ses-post" / "anat" / f"{name}_ses-post_FLAIR.nii", voxel=(1, 1, 4))
        write(root / "bids" / name / "ses-pre" / "func" / f"{name}_ses-pre_task-rest_bold.nii.gz", shape=(*SHAPE, 3))
        write(root / "bids" / "derivatives" / "fmriprep" / name / "anat" / f"{name}_desc-preproc_T1w.nii.gz")
    (root / "bids" / "dataset_description.json").write_text('{"Name": "x", "License": "CC0", "BIDSVersion": "1.9.0"}')
    for i in range(3):
        fine = _head(i, (32, 32, 32)).astype(np.float32)
        coarse = fine.reshape(32, 32, 16, 2).mean(3)
        write(root / "pairs" / "high_res" / f"case {i}.nii.gz", fine, 1.0)
        write(root / "pairs" / "low_res" / f"case {i}.nii", coarse, affine=_thick(2))
    return {p.name: p for p in sorted(root.iterdir())}


def _thick(factor: int) -> np.ndarray:
    affine = np.diag([1.0, 1.0, factor, 1.0])
    affine[2, 3] = (factor - 1) / 2
    return affine
