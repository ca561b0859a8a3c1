"""``--dicom`` where there is no series to derive from: k-space, views, or nothing at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.orientations import io_orientation, ornt_transform
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

import scans
from dicoms import thick
from phantoms import HEAD
from voxprior.cli.app import main
from voxprior.io.dicom import read_dicom

SMALL = ("--shape", "12", "16", "8", "--steps", "4")


def _affine(left: bool) -> NDArray[np.float64]:
    """Oblique, of 2 x 1.5 x 5 mm."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -10, 35], degrees=True).as_matrix() * [2, 1.5, 5]
    affine[:3, 2] *= -1 if left else 1
    affine[:3, 3] = [12, -30, 44]
    return affine


@pytest.fixture(params=[False, True], ids=["right-handed", "left-handed"])
def affine(request: pytest.FixtureRequest) -> NDArray[np.float64]:
    """Of either hand: DICOM has one, so slices of the other are stored in their other order."""
    return _affine(request.param)


def _kspace(path: Path, affine: NDArray[np.float64] | None = None) -> Path:
    """Three different slices, or a single one without a place."""
    made = [scans.scan(shift=shift, noise=1e-3) for shift in (0.0, 0.6, 1.2)]
    data = np.stack([one.kspace for one in made]) * scans.lines(48, 3, 20)
    held = {"kspace": data[0]} if affine is None else {"kspace": data, "affine": affine}
    np.savez(path, **held, maps=made[0].maps)
    return path


def _views(path: Path, affine: NDArray[np.float64]) -> Path:
    angles = np.arange(20) * 9.0
    data = HEAD.views(angles, (np.arange(45) - 22) * 1.0, [0.0, 4.0], 1.0) * 0.0193 / 140
    np.savez(path, sinogram=data, angles_deg=angles, pixel_mm=1.0, photons=1e5, affine=affine)
    return path


def _sidecar(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "voxprior.json").read_text())
    assert all((folder / name).exists() for name in values["outputs"])
    return values


def _first(folder: Path) -> Dataset:
    return dcmread(folder / "0001.dcm")


def _is_the_same_image(nifti: Path, folder: Path) -> None:
    """Place to 1e-4, values to half a step, whichever way the slices are numbered."""
    image, series = nibabel.load(nifti), read_dicom(folder)
    turned = image.as_reoriented(ornt_transform(io_orientation(image.affine), io_orientation(series.affine)))
    np.testing.assert_allclose(turned.affine, series.affine, atol=1e-4)
    np.testing.assert_allclose(turned.get_fdata(), series.data, atol=0.51 * float(_first(folder).RescaleSlope))


def test_kspace_to_series(affine: NDArray[np.float64], tmp_path: Path) -> None:
    """The magnitude of what the complex file holds, in the place of the NIfTI, with a proof that sees a change."""
    source, out = _kspace(tmp_path / "k.npz", affine), tmp_path / "out"
    words = ["recon", "-i", str(source), "--method", "sense", "-q"]
    assert main([*words, "-o", str(tmp_path / "a.nii.gz"), "--phase"]) == 0
    assert main([*words, "-o", str(out), "--dicom", "--phase"]) == 0
    _is_the_same_image(tmp_path / "a.nii.gz", out)
    for name in ("invented", "phase"):
        _is_the_same_image(tmp_path / f"a_{name}.nii.gz", out / name)
    first = _first(out)
    assert first.Modality == "MR" and first.MRAcquisitionType == "2D" and first.PatientName == ""
    assert "Magnitude of the complex image of 3 slices" in first.DerivationDescription
    assert _first(out / "phase").StudyInstanceUID == first.StudyInstanceUID
    assert _first(out / "phase").FrameOfReferenceUID == first.FrameOfReferenceUID
    certificate = _sidecar(out)["certificate"]
    assert certificate["input"] == "../k.npz" and certificate["operator"]["arrays"] == "certificate.npz"
    assert main(["verify", str(out)]) == 0
    first.PixelData = bytes(len(first.PixelData))
    first.save_as(out / "0001.dcm")
    assert main(["verify", str(out)]) == 1
    (out / "certificate.npz").unlink()
    assert main(["verify", str(out)]) == 2


def test_one_slice_without_a_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Voxels of 1 mm at the origin, as the NIfTI has them, and the image says that this is not known."""
    out = tmp_path / "out"
    assert main(["recon", "-i", str(_kspace(tmp_path / "k.npz")), "-o", str(out), "--dicom", "--method", "sense"]) == 0
    assert capsys.readouterr().out.startswith("out: acceleration 1.66 (data), restored in ")
    image = _first(out)
    assert list(image.ImagePositionPatient) == [0, 0, 0] and list(image.PixelSpacing) == [1, 1]
    assert list(image.ImageOrientationPatient) == [-1, 0, 0, 0, -1, 0]
    assert "place are not known" in image.DerivationDescription
    assert main(["verify", str(out)]) == 0


def test_samples_of_a_learned_method_are_series(tmp_path: Path) -> None:
    """Bounds and samples as the other jobs write them."""
    out = tmp_path / "out"
    words = ["--samples", "2", "--steps", "3", "--dicom", "-q"]
    assert main(["recon", "-i", str(_kspace(tmp_path / "k.npz")), "-o", str(out), *words]) == 0
    assert {"std", "lower", "upper", "invented", "sample-01", "sample-02"} <= set(_sidecar(out)["outputs"])
    assert _first(out / "sample-02").SeriesNumber == 9000 + 110_000
    assert main(["verify", str(out)]) == 0


def test_kspace_that_is_simulated_from_a_series_stays_in_its_study(tmp_path: Path) -> None:
    """As of the other jobs: patient, study, space and references are the source's, and the slices keep their 4 mm."""
    thick(shape=(6, 32, 32)).write(tmp_path / "in")
    out = tmp_path / "out"
    words = ["recon", "-i", str(tmp_path / "in"), "-o", str(out), "--simulate", "--method", "zero-filled", "-q"]
    assert main([*words, "--dicom"]) == 0
    source, image = dcmread(tmp_path / "in" / "IM0000"), _first(out)
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "EchoTime"):
        assert image[keyword].value == source[keyword].value
    assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert (image.SliceThickness, image.SpacingBetweenSlices) == (4, 4.8)
    assert image.SeriesDescription == "AI-restored, not for diagnosis: t1 thick"
    np.testing.assert_allclose(read_dicom(out).affine, read_dicom(tmp_path / "in").affine, atol=1e-8)
    assert main(["verify", str(out)]) == 0, "the simulated k-space lies in the output"


def test_views_to_series(affine: NDArray[np.float64], tmp_path: Path) -> None:
    """HU in the place that the file says, in a study of its own, with a proof."""
    square = affine @ np.diag([1 / 2, 1 / 1.5, 1, 1])  # pixels of 1 mm, as the views say
    source, out = _views(tmp_path / "v.npz", square), tmp_path / "out"
    words = ["ct", "-i", str(source), "--method", "fbp", "-q"]
    assert main([*words, "-o", str(tmp_path / "a.nii.gz")]) == 0
    assert main([*words, "-o", str(out), "--dicom"]) == 0
    _is_the_same_image(tmp_path / "a.nii.gz", out)
    image = _first(out)
    assert (image.Modality, image.RescaleType, image.PatientName) == ("CT", "HU", "")
    assert "from 20 X-ray views" in image.DerivationDescription and "SourceImageSequence" not in image
    assert _sidecar(out)["certificate"]["input"] == "../v.npz"
    assert main(["verify", str(out)]) == 0


def test_volumes_from_nothing(tmp_path: Path) -> None:
    """A synthetic series says so, shares its study with the other samples, and is the same again when asked."""
    words = ["generate", *SMALL, "--samples", "2", "--snapshots", "2", "--spacing", "1.5", "-q"]
    assert main([*words, "-o", str(tmp_path / "x.nii.gz")]) == 0
    for name in ("a", "b"):
        assert main([*words, "-o", str(tmp_path / name), "--dicom", "--uids", "content"]) == 0
    out = tmp_path / "a"
    _is_the_same_image(tmp_path / "x.nii.gz", out)
    _is_the_same_image(tmp_path / "x_sample-02.nii.gz", out / "sample-02")
    image, other = _first(out), _first(out / "sample-02")
    assert image.SeriesDescription == "synthetic, no patient, not for diagnosis"
    assert other.SeriesDescription == "synthetic, no patient, not for diagnosis: sample-02"
    assert image.StudyInstanceUID == other.StudyInstanceUID and image.SeriesInstanceUID != other.SeriesInstanceUID
    values = _sidecar(out)
    assert values["certificate"] is None and {"step-00002.png", "preview.png"} <= set(values["outputs"])
    for path in out.rglob("*.dcm"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(out)).read_bytes()


def test_a_folder_of_kspace_becomes_a_folder_of_series(tmp_path: Path) -> None:
    """Each in a folder called as its file; a bad one is told of and does not stop the rest."""
    (tmp_path / "in").mkdir()
    _kspace(tmp_path / "in" / "one.npz", _affine(False))
    sheared = _affine(False)
    sheared[:3, 2] += sheared[:3, 0]
    _kspace(tmp_path / "in" / "bad.npz", sheared)
    words = ["recon", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--method", "zero-filled", "--dicom"]
    assert main(words) == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["one"]
    assert main(["verify", str(tmp_path / "out" / "one")]) == 0


def test_wishes_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is refused in a line that says what to do, before any work, and nothing is written."""
    kspace, views = _kspace(tmp_path / "k.npz"), _views(tmp_path / "v.npz", np.eye(4))
    thick("CT", shape=(3, 20, 20)).write(tmp_path / "ct")
    thick("MR", shape=(3, 20, 20)).write(tmp_path / "mr")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("x")
    there = {p.name for p in tmp_path.iterdir()}
    cases: list[tuple[list[object], str]] = [
        (["recon", "-i", kspace, "-o", tmp_path / "o.npz"], "leave --dicom out"),
        (["recon", "-i", kspace, "-o", tmp_path / "o.nii.gz"], "leave --dicom out"),
        (["recon", "-i", kspace, "-o", tmp_path / "full"], "other files"),
        (["recon", "-i", kspace, "-o", tmp_path / "no" / "o"], "does not exist"),
        (["recon", "-i", kspace, "-o", tmp_path / "o", "--series", "3"], "--series belongs to --simulate"),
        (["recon", "-i", tmp_path / "ct", "-o", tmp_path / "o", "--simulate"], "a series of CT"),
        (["ct", "-i", tmp_path / "mr", "-o", tmp_path / "o", "--simulate"], "a series of MR"),
        (["ct", "-i", views, "-o", tmp_path / "o.nii"], "leave --dicom out"),
        (["generate", "-o", tmp_path / "o.mgz", *SMALL], "leave --dicom out"),
        (["generate", "-o", tmp_path / "full", *SMALL], "other files"),
    ]
    for words, said in cases:
        assert main([*map(str, words), "--dicom"]) == 2, words
        told = capsys.readouterr().err
        assert said in told and told.count("\n") == 1, told
    assert {p.name for p in tmp_path.iterdir()} == there


def test_an_older_series_is_replaced_only_when_asked(tmp_path: Path) -> None:
    """The guard of the other jobs holds here, too."""
    words = ["recon", "-i", str(_kspace(tmp_path / "k.npz")), "-o", str(tmp_path / "o"), "--method", "zero-filled"]
    assert [main([*words, "--dicom", *more]) for more in ([], [], ["--force"])] == [0, 2, 0]
