"""``voxprior.simulate_views`` and ``voxprior.reconstruct_sinogram``: the job for views in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

import voxprior
from phantoms import HEAD
from voxprior.errors import InputError

AFFINE = np.array([[-2.0, 0, 0, 40], [0, 0, 3.0, -40], [0, 2.0, 0, 3], [0, 0, 0, 1]])
"""Array axis 1 is the patient's."""


@pytest.fixture(scope="module")
def scan() -> nib.Nifti1Image:
    """The head in HU, 22 x 5 x 16 voxels of 2 x 2 x 3 mm, coronal slices second."""
    x, y, z = (np.arange(22) - 10.5) * 2, (np.arange(16) - 7.5) * 3, (np.arange(5) - 2) * 2.0
    hu = HEAD.at(x[:, None, None], y, z[:, None]) * 7 - 1000
    return nib.Nifti1Image(hu.astype(np.float32), AFFINE)


@pytest.fixture(scope="module")
def views(scan: nib.Nifti1Image) -> dict[str, Any]:
    return voxprior.simulate_views(scan, views=24, range_deg=360, photons=1e4, beam="fan-flat", source_mm=300, seed=2)


def test_it_is_what_the_command_makes(scan: nib.Nifti1Image, views: dict[str, Any], tmp_path: Path) -> None:
    """Guards the promise that Python and the command do the same, views and volume, voxel by voxel."""
    from voxprior.cli.app import main

    nib.save(scan, tmp_path / "scan.nii")
    scanner = ["--views", "24", "--photons", "1e4", "--beam", "fan-flat", "--source-mm", "300", "--seed", "2"]
    words = ["ct", "-q", "-i", str(tmp_path / "scan.nii"), "-o", str(tmp_path / "out.nii"), "--simulate", *scanner]
    assert main([*words, "--method", "cgls"]) == 0
    with np.load(tmp_path / "out_input.npz") as written:
        assert set(written) == set(views)
        for key in written:
            np.testing.assert_array_equal(written[key], views[key])
    found = voxprior.reconstruct_sinogram(**views, method="cgls")
    image = nib.load(tmp_path / "out.nii")
    np.testing.assert_array_equal(found.image, np.asarray(image.dataobj))
    np.testing.assert_allclose(found.affine, image.affine)
    certificate = found.sidecar["certificate"]
    assert certificate["residual"] == found.sidecar["residual"] and 0 < certificate["residual"] < 0.1
    assert certificate["output_sha256"] is None and certificate["noise_source"] == "given"
    assert found.sidecar["settings"]["mu_water"] == 0.0193


def test_arrays_tensors_and_lists_give_one_result_in_their_own_kind(views: dict[str, Any]) -> None:
    """Guards the doors: equal voxels; a tensor comes back as one; three keys are enough; nothing is shared."""
    plain = {"angles_deg": list(np.arange(24) * 7.5), "pixel_mm": 1.0, "method": "fbp"}
    data = views["sinogram"].copy()
    array = voxprior.reconstruct_sinogram(data, **plain)
    tensor = voxprior.reconstruct_sinogram(torch.from_numpy(data), **plain)
    assert isinstance(array.image, np.ndarray) and isinstance(tensor.image, torch.Tensor)
    np.testing.assert_array_equal(array.image, tensor.image.numpy())
    assert array.image.shape[2] == len(data) and array.std is None and array.samples == ()
    assert "no place in a patient" in array.sidecar["warnings"][0]
    assert voxprior.reconstruct_sinogram(data[0], **plain).image.shape[2] == 1
    array.image[:] = 0
    np.testing.assert_array_equal(data, views["sinogram"])


def test_water_sets_the_scale(views: dict[str, Any]) -> None:
    """Guards mu_water, a key of the file and an option of the command: HU + 1000 goes with its inverse."""
    first, second = (
        voxprior.reconstruct_sinogram(**{**views, "mu_water": water}, method="fbp").image for water in (0.02, 0.01)
    )
    np.testing.assert_allclose(second + 1000, 2 * (first + 1000), atol=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"angles_deg": [0.0]}, "1 angles for 24 views"),
        ({"pixel_mm": -1.0}, "pixel_mm"),
        ({"beam": "cone"}, "beam 'cone' is unknown"),
        ({"method": "nope"}, "--method nope is unknown"),
        ({"iteratons": 3}, "option iteratons"),
        ({"iterations": 0}, "option iterations"),
    ],
)
def test_slips_are_told(change: dict[str, Any], message: str, views: dict[str, Any]) -> None:
    """Guards one line for what a user can mend, the misspelt option among it."""
    with pytest.raises(InputError, match=message) as caught:
        voxprior.reconstruct_sinogram(**{**views, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scanner", "message"),
    [
        ({"viws": 3}, "viws is nothing of a scanner"),
        ({"views": 0}, "--views 0 must be above 0"),
        ({"beam": "fan-arc", "source_mm": 3.0}, "must be outside"),
        ({"axis": "z"}, "--axis z"),
    ],
)
def test_slips_of_a_scanner_are_told(scanner: dict[str, Any], message: str, scan: nib.Nifti1Image) -> None:
    """The same for the simulation, and for an array without a place."""
    with pytest.raises(InputError, match=message):
        voxprior.simulate_views(scan, **scanner)
    with pytest.raises(InputError, match="affine="):
        voxprior.simulate_views(np.zeros((4, 4, 4)))
