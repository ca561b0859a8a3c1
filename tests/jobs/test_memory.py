"""``voxprior.restore``: the job for images in memory."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import voxprior
from voxprior.errors import InputError


@pytest.fixture
def slices() -> np.ndarray:
    """Eight slices of a smooth object, (12, 14, 8)."""
    i, j, k = np.indices((12, 14, 8))
    return np.exp(-((i - 5) ** 2 + (j - 7) ** 2) / 9 - (k - 4) ** 2 / 4).astype(np.float32)


def test_arrays_tensors_and_nibabel_images_give_one_result_in_their_own_kind(slices: np.ndarray) -> None:
    """Guards the three doors: equal voxels, each of the type that came in, the same affine."""
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    options = {"method": "cubic-projected", "spacing": 1.5}
    array = voxprior.restore(slices, affine=affine, **options)
    tensor = voxprior.restore(torch.from_numpy(slices), voxel_size=(2, 2, 5), **options)
    image = voxprior.restore(nib.Nifti1Image(slices, affine), **options)
    assert isinstance(array.image, np.ndarray)
    assert isinstance(tensor.image, torch.Tensor)
    assert isinstance(image.image, nib.Nifti1Image)
    np.testing.assert_array_equal(array.image, tensor.image.numpy())
    np.testing.assert_array_equal(array.image, np.asarray(image.image.dataobj))
    np.testing.assert_allclose(image.image.affine, array.affine)
    assert array.image.shape == (12, 14, 27)  # 8 slices of 5 mm on voxels of 1.5 mm
    assert array.std is None
    assert array.sidecar["residual"] < 1e-6
    assert array.sidecar["certificate"]["output_sha256"] is None


def test_the_input_is_left_alone(slices: np.ndarray) -> None:
    """Guards the caller's array: neither changed nor shared."""
    before = slices.copy()
    result = voxprior.restore(slices, voxel_size=(1, 1, 4), method="nearest")
    result.image[:] = 7
    np.testing.assert_array_equal(slices, before)


def test_it_is_what_the_command_writes(thick_scan: Path, tmp_path: Path) -> None:
    """Guards the promise that Python and the command do the same."""
    from voxprior.cli.app import main

    out = thick_scan.with_name("o.nii.gz")
    assert main(["sr", "-q", "-i", str(thick_scan), "-o", str(out), "--method", "cubic", "--gap", "1"]) == 0
    result = voxprior.restore(nib.load(thick_scan), method="cubic", gap=1)
    written = nib.load(out)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(result.image.dataobj))
    np.testing.assert_allclose(written.affine, result.image.affine, atol=1e-4)
    for name in ("qform_code", "sform_code", "xyzt_units"):
        assert written.header[name] == result.image.header[name], name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voxel_size": None}, "give affine="),
        ({"job": "paint"}, "job paint is unknown"),
        ({"job": "ct"}, "job ct does not start from an image"),
        ({"thicknes": 3}, "option thicknes"),
        ({"steps": 0}, "option steps"),
        ({"method": "cubic", "mode": "mean"}, "--mode belongs to"),
        ({"voxel_size": (1, 1, 1)}, "no thick axis"),
    ],
)
def test_mistakes_are_input_errors(slices: np.ndarray, change: dict[str, object], message: str) -> None:
    """Guards the library door: the same one-line errors as the command's."""
    with pytest.raises(InputError, match=message):
        voxprior.restore(slices, **{"voxel_size": (1, 1, 4), "method": "linear", **change})


@pytest.mark.parametrize("bad", ["nan", "constant", "complex", "flat"])
def test_images_without_content_are_refused(slices: np.ndarray, bad: str) -> None:
    """Guards what files are refused for, in memory."""
    images = {
        "nan": np.where(slices > 0.9, np.nan, slices),
        "constant": np.ones_like(slices),
        "complex": slices.astype(np.complex64),
        "flat": slices[..., 0],
    }
    with pytest.raises(InputError):
        voxprior.restore(images[bad], voxel_size=(1, 1, 4), method="linear")


def test_progress_is_told(slices: np.ndarray) -> None:
    """Guards the callback that bars and web pages hang on."""
    seen: list[tuple[int, int]] = []
    voxprior.restore(slices, voxel_size=(1, 1, 4), method="linear", progress=lambda *done: seen.append(done))
    assert seen[-1][0] == seen[-1][1] > 0
