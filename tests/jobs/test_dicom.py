"""DICOM in and out of the jobs, as the command line has it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from dicoms import SECRETS, thick
from voxprior.cli.app import main
from voxprior.io.dicom import read_dicom
from voxprior.volume import fine_affine, slice_geometry


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """A thick MR series, 4 mm every 4.8 mm, in a folder named after its patient."""
    thick(shape=(6, 32, 32)).write(tmp_path / "Zzyzx_Patience", [4, 2, 0, 1, 3, 5])
    return tmp_path / "Zzyzx_Patience"


def _sr(*words: object) -> int:
    return main(["sr", "--method", "cubic-projected", *map(str, words)])


def test_series_to_series(series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From thick series to derived one: thickness from the header, and a proof that notices a changed image."""
    out = tmp_path / "out"
    assert _sr("-i", series, "-o", out, "--dicom") == 0
    source, image = read_dicom(series), read_dicom(out)
    geometry = slice_geometry(source, thickness=4.0)
    assert image.data.shape[2] == geometry.fine_count == 23  # (5 x 4.8 + 4) / 1.25
    np.testing.assert_allclose(image.affine, fine_affine(source.affine, geometry), atol=1e-8)
    values = json.loads((out / "voxprior.json").read_text())
    operator = values["certificate"]["operator"]
    assert (operator["thickness"], round(operator["spacing"], 9)) == (4.0, 4.8)
    assert values["residual"] < 1e-4
    assert all((out / name).exists() for name in values["outputs"])
    assert (out / "preview.png").read_bytes().startswith(b"\x89PNG")
    series_of = [dcmread(path).SeriesInstanceUID for path in (out / "0001.dcm", out / "invented" / "0001.dcm")]
    assert series_of[0] != series_of[1]
    assert main(["verify", str(out)]) == 2, "the input is not named"
    assert main(["verify", str(out), "--input", str(series)]) == 0
    paths = sorted(out.glob("0*.dcm"))
    ds = dcmread(paths[3])
    ds.PixelData = bytes(len(ds.PixelData))
    ds.save_as(paths[3])
    assert main(["verify", str(out), "--input", str(series)]) == 1
    assert "Zzyzx" not in capsys.readouterr().out


def test_series_to_nifti_has_the_same_place_and_values(series: Path, tmp_path: Path) -> None:
    """Both kinds of output are one result."""
    assert _sr("-i", series, "-o", tmp_path / "a.nii.gz") == 0
    assert _sr("-i", series, "-o", tmp_path / "b", "--dicom") == 0
    image, derived = nibabel.load(tmp_path / "a.nii.gz"), read_dicom(tmp_path / "b")
    np.testing.assert_allclose(image.affine, derived.affine, atol=1e-4)
    step = float(dcmread(tmp_path / "b" / "0001.dcm").RescaleSlope)
    np.testing.assert_allclose(np.asarray(image.dataobj), derived.data, atol=0.51 * step)
    assert main(["verify", str(tmp_path / "a.nii.gz"), "--input", str(series)]) == 0


def test_patient_reaches_only_the_images(series: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Guards privacy: no name, number, date or place in sidecar, page, picture, file name or on the terminal."""
    page = tmp_path / "page.html"
    assert _sr("-i", series, "-o", tmp_path / "b", "--dicom", "--report", page) == 0
    assert _sr("-i", series, "-o", tmp_path / "a.nii.gz") == 0
    assert main(["describe", str(series)]) == 0
    said = capfd.readouterr()
    made = [p for p in tmp_path.rglob("*") if p.is_file() and series not in p.parents]
    texts = [p.read_bytes().decode("latin-1") for p in made if p.suffix != ".dcm"]
    names = [str(p.relative_to(tmp_path)) for p in made]
    assert len(texts) >= 6
    for secret in SECRETS:
        assert not any(secret in text for text in (*texts, *names, said.out, said.err)), secret
    assert all(dcmread(p).PatientID == "PID-4711" for p in made if p.suffix == ".dcm")


def test_failure_page_does_not_name_the_patient(series: Path, tmp_path: Path) -> None:
    """A folder named after a patient is not named in the page of a failure."""
    next(series.iterdir()).unlink()
    page = tmp_path / "page.html"
    assert _sr("-i", series, "-o", tmp_path / "b", "--dicom", "--report", page) == 2
    assert page.exists() and "Zzyzx" not in page.read_text()
    assert not (tmp_path / "b").exists()


def test_uids_are_repeatable_when_asked(series: Path, tmp_path: Path) -> None:
    """A repeated run gives equal files, so that an archive keeps one."""
    for name in ("a", "b"):
        assert _sr("-i", series, "-o", tmp_path / name, "--dicom", "--uids", "content") == 0
    for path in (tmp_path / "a").rglob("*.dcm"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_wishes_that_do_not_go_together(series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is refused in a line, and nothing is written."""
    nifti = tmp_path / "x.nii.gz"
    data = np.random.default_rng(0).random((8, 8, 4), np.float32)
    nibabel.Nifti1Image(data, np.diag([1, 1, 4, 1])).to_filename(nifti)
    cases = [
        (["-i", nifti, "-o", tmp_path / "o", "--dicom"], "not DICOM"),
        (["-i", nifti, "-o", tmp_path / "o.nii.gz", "--series", "3"], "no --series"),
        (["-i", series, "-o", tmp_path / "o"], "give --dicom"),
        (["-i", series, "-o", series, "--dicom"], "is the input"),
        (["-i", series, "-o", tmp_path / "o", "--dicom", "--series", "77"], "has no series 77"),
    ]
    for words, said in cases:
        assert _sr(*words) == 2
        assert said in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Zzyzx_Patience", "x.nii.gz"]


def test_simulation_from_a_series(tmp_path: Path) -> None:
    """A fine series is measured, restored and compared, and its proof holds by itself."""
    thick(shape=(40, 24, 24), spacing=1.25, thickness=1.25, pixel=(1.25, 1.25)).write(tmp_path / "in")
    out = tmp_path / "out"
    assert _sr("-i", tmp_path / "in", "-o", out, "--dicom", "--simulate", "--factor", 4) == 0
    values = json.loads((out / "voxprior.json").read_text())
    assert values["comparison"]["methods"]["cubic"]["psnr"] > 20
    assert values["certificate"]["input"] == "input"
    assert read_dicom(out / "input").data.shape[2] == 10
    assert main(["verify", str(out)]) == 0, "here the input lies in the output"


def test_ct_is_simulated_from_a_series_in_hu(tmp_path: Path) -> None:
    """HU and place go through the simulated scanner and come back."""
    thick("CT", shape=(3, 40, 40), spacing=2.0, thickness=2.0, pixel=(2.0, 2.0)).write(tmp_path / "in")
    words = ["ct", "-i", str(tmp_path / "in"), "--simulate", "--views", "24", "--method", "fbp"]
    assert main([*words, "-o", str(tmp_path / "a.nii.gz")]) == 0
    assert main([*words, "-o", str(tmp_path / "b"), "--dicom"]) == 0
    source, image = read_dicom(tmp_path / "in"), read_dicom(tmp_path / "b")
    np.testing.assert_allclose(image.affine, source.affine, atol=1e-8)
    np.testing.assert_allclose(nibabel.load(tmp_path / "a.nii.gz").affine, source.affine, atol=1e-4)
    assert np.corrcoef(image.data.ravel(), source.data.ravel())[0, 1] > 0.9
    assert dcmread(tmp_path / "b" / "0001.dcm").RescaleType == "HU"
    assert main(["verify", str(tmp_path / "b")]) == 0


def test_kspace_is_simulated_from_a_series(series: Path, tmp_path: Path) -> None:
    """The third job takes DICOM where it takes an image."""
    words = ["recon", "-i", str(series), "-o", str(tmp_path / "a.nii.gz"), "--simulate", "--method", "zero-filled"]
    assert main(words) == 0
    affine = nibabel.load(tmp_path / "a.nii.gz").affine
    assert abs(np.linalg.det(affine)) == pytest.approx(1.5 * 1.25 * 4.8, rel=1e-4)


def test_describe_says_where_the_thickness_is_from(series: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """4 mm every 4.8 mm is understood as such."""
    assert main(["describe", str(series)]) == 0
    text = capsys.readouterr().out
    assert "centres 4.8 mm apart, 4 mm thick, gap 0.8 mm (as the header says)" in text
