"""dcm2niix finds derived series in their place, and dciodvfy finds nothing wrong that was not in the source."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import io_orientation, ornt_transform
from pydicom import dcmread
from scipy.spatial.transform import Rotation

import scans
from dicoms import thick
from phantoms import HEAD
from voxprior.cli.app import main
from voxprior.io.dicom import read_dicom
from voxprior.volume import Volume

pytestmark = pytest.mark.external

OBLIQUE = {"row": (0.96, 0.28, 0.0), "column": (-0.168, 0.576, 0.8)}
CASES = [(m, kind, turn) for m in ("MR", "CT") for kind in ("classic", "enhanced") for turn in ({}, OBLIQUE)]


@pytest.fixture(params=CASES, ids=lambda c: f"{c[0]}-{c[1]}-{'oblique' if c[2] else 'straight'}")
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A thick series, and the one that is derived from it."""
    modality, kind, turn = request.param
    series = thick(modality, shape=(6, 24, 20), **turn)
    if kind == "classic":
        series.write(tmp_path / "in", [3, 0, 5, 1, 4, 2])
    else:
        series.write_enhanced(tmp_path / "in")
    words = ["sr", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--dicom", "--method", "cubic", "-q"]
    assert main(words) == 0
    return tmp_path / "in", tmp_path / "out"


def _converted(folder: Path, to: Path, ask: Callable[..., str]) -> nibabel.Nifti1Image:
    to.mkdir()
    ask("dcm2niix", "-b", "n", "-d", "0", "-m", "y", "-f", "x", "-o", to, folder)
    (found,) = to.glob("*.nii")
    return nibabel.load(found)


def _as(image: nibabel.Nifti1Image, volume: Volume) -> nibabel.Nifti1Image:
    """``image`` with its axes flipped to those of ``volume``; nothing is resampled."""
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), io_orientation(volume.affine)))


def test_place_and_values_by_dcm2niix(pair: tuple[Path, Path], ask: Callable[..., str], tmp_path: Path) -> None:
    """The affine to 1e-4, of source and derived series; voxels to the step of the stored integers."""
    for folder in pair:
        volume = read_dicom(folder)
        image = _as(_converted(folder, tmp_path / f"{folder.name}.nii", ask), volume)
        assert image.shape == volume.data.shape
        np.testing.assert_allclose(image.affine, volume.affine, atol=1e-4)
        np.testing.assert_allclose(image.get_fdata(), volume.data, atol=1e-3 + 1e-6 * np.abs(volume.data).max())


def _errors(path: Path) -> set[str]:
    found = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=60, check=False)
    lines = (found.stdout + found.stderr).splitlines()
    return {re.sub(r'"[\d.]+"|<[\d.]+>', "VALUE", line) for line in lines if line.startswith("Error")}


def test_no_error_by_dciodvfy_that_the_source_does_not_have(pair: tuple[Path, Path]) -> None:
    """Errors are compared without their UIDs, over all files of the source and every fifth of the derived series."""
    source, derived = pair
    known = set().union(*(_errors(path) for path in source.iterdir()))
    found = set().union(*(_errors(path) for path in sorted(derived.rglob("*.dcm"))[::5]))
    assert found <= known
    assert not any("Referenced" in line or "Equipment" in line for line in found)


@pytest.fixture(params=["recon", "ct", "generate"])
def unsourced(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """An image that no series was given for, as NIfTI and as DICOM; of k-space and views in a left-handed place."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -10, 35], degrees=True).as_matrix() * [1, 1, -4]
    affine[:3, 3] = [12, -30, 44]
    source = tmp_path / "in.npz"
    words = [request.param, "-i", str(source), "-q"]
    if request.param == "recon":
        made = [scans.scan(shift=shift, noise=1e-3) for shift in (0.0, 0.6, 1.2)]
        np.savez(source, kspace=np.stack([one.kspace for one in made]), maps=made[0].maps, affine=affine)
        words += ["--method", "zero-filled"]
    elif request.param == "ct":
        angles = np.arange(20) * 9.0
        data = HEAD.views(angles, (np.arange(45) - 22) * 1.0, [0.0, 4.0, 8.0], 1.0) * 0.0193 / 140
        np.savez(source, sinogram=data, angles_deg=angles, pixel_mm=1.0, affine=affine)
        words += ["--method", "fbp"]
    else:
        words = ["generate", "--shape", "12", "16", "8", "--steps", "3", "--spacing", "1.5", "-q"]
    assert main([*words, "-o", str(tmp_path / "out.nii.gz")]) == 0
    assert main([*words, "-o", str(tmp_path / "out"), "--dicom"]) == 0
    return tmp_path / "out.nii.gz", tmp_path / "out"


def test_a_series_without_a_source_is_where_the_nifti_is(
    unsourced: tuple[Path, Path], ask: Callable[..., str], tmp_path: Path
) -> None:
    """By dcm2niix: the affine to 1e-4, and voxels to the step of the stored integers."""
    expected, folder = nibabel.load(unsourced[0]), unsourced[1]
    image = _converted(folder, tmp_path / "nifti", ask)
    image = image.as_reoriented(ornt_transform(io_orientation(image.affine), io_orientation(expected.affine)))
    assert image.shape == expected.shape
    np.testing.assert_allclose(image.affine, expected.affine, atol=1e-4)
    step = float(dcmread(folder / "0001.dcm").RescaleSlope)
    np.testing.assert_allclose(image.get_fdata(), expected.get_fdata(), atol=0.51 * step, rtol=1e-6)


def test_no_error_by_dciodvfy_without_a_source(unsourced: tuple[Path, Path]) -> None:
    """There is no source whose errors would excuse ours, of the image and of every map."""
    files = sorted(unsourced[1].rglob("*.dcm"))
    assert len(files) >= 3
    assert set().union(*(_errors(path) for path in files)) == set()


def test_dciodvfy_sees_errors(tmp_path: Path) -> None:
    """The judge is awake: an image without its rows is an error."""
    path = thick(change=lambda ds, k: ds.__delitem__("FrameOfReferenceUID")).write(tmp_path)[0]
    assert _errors(path)
