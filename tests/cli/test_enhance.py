"""``voxprior enhance`` from files to files: outputs, sidecar, simulation, cascades, DICOM, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dicoms import thick
from voxprior.io.dicom import read_dicom

PNG = b"\x89PNG\r\n\x1a\n"
METHOD = ("--method", "cubic-projected")


@pytest.fixture
def fine(tmp_path: Path, head) -> Path:
    """The head on voxels of 2 mm, with noise, oblique."""
    x = (np.arange(20) - 9.5) * 2.0
    data = head.at(x[:, None, None], x[None, :, None], x[None, None, :])
    data = data + np.random.default_rng(0).normal(5, 0.5, data.shape)
    turn = np.eye(4)
    turn[:2, :2] = [[0.96, -0.28], [0.28, 0.96]]
    nib.save(nib.Nifti1Image(data.astype(np.float32), turn @ np.diag([-2.0, 2.0, 2.0, 1.0])), tmp_path / "fine.nii.gz")
    return tmp_path / "fine.nii.gz"


def _values(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize("degradation", ["box", "kspace"])
def test_a_scan_becomes_an_image_its_maps_and_a_proof(voxprior, fine: Path, degradation: str) -> None:
    """Guards the promised files, the spacing, every number of both axes, and that the files alone verify."""
    folder = fine.parent
    words = ("-i", fine, "-o", folder / "out.nii.gz", "--axes", "ik", "--factor", "1.6", "--degradation", degradation)
    ran = voxprior("enhance", *words, *METHOD)
    assert ran.code == 0, ran.err
    assert {path.name for path in folder.iterdir()} == {
        "fine.nii.gz",
        "out.nii.gz",
        "out.json",
        "out_invented.nii.gz",
        "out_preview.png",
    }
    values = _values(folder / "out.json")
    assert values["job"] == "enhance" and "voxels" in values["notice"] and values["residual"] < 1e-5
    operator = values["certificate"]["operator"]
    assert operator["kind"] == "axes"
    assert [(g["axis"], g["count"], g["fine_count"], g["profile"]) for g in operator["axes"]] == [
        (0, 20, 32, degradation),
        (2, 20, 32, degradation),
    ]
    assert len(values["certificate"]["residual_per_slice"]) == 20
    assert str(folder) not in (folder / "out.json").read_text()
    np.testing.assert_allclose(nib.load(folder / "out.nii.gz").header.get_zooms(), (1.25, 2, 1.25), rtol=1e-5)
    ran = voxprior("verify", folder / "out.nii.gz")
    assert ran.code == 0 and "residual" in ran.out


def test_simulate_compares_with_the_truth_in_its_place(voxprior, fine: Path) -> None:
    """Guards --simulate: printed figures, an input that verifies, the truth's grid, a report."""
    folder = fine.parent
    page = folder / "page.html"
    words = ("-i", fine, "-o", folder / "o.nii", "--simulate", "--factor", "3", "--report", page)
    ran = voxprior("enhance", *words, *METHOD)
    assert ran.code == 0, ran.err
    assert "cubic: PSNR" in ran.out and "cubic-projected: PSNR" in ran.out
    assert nib.load(folder / "o_input.nii").shape == (6, 6, 20) and nib.load(folder / "o.nii").shape == (18, 18, 20)
    assert voxprior("verify", folder / "o.nii").code == 0
    index = np.linalg.inv(nib.load(fine).affine) @ nib.load(folder / "o.nii").affine
    np.testing.assert_allclose(index[:3, 3], [1, 1, 0], atol=1e-4)
    text = page.read_text()
    assert "voxels as steps" in text and str(folder) not in text


def test_a_field_change_has_no_proof_and_says_why(voxprior, fine: Path) -> None:
    """Guards --degradation 1.5t: no residual, the reason in the sidecar, and verify ends with 2."""
    folder = fine.parent
    words = ("-i", fine, "-o", folder / "o.nii.gz", "--simulate", "--degradation", "1.5t", "--method", "cubic")
    ran = voxprior("enhance", *words, "--report", folder / "p.html")
    assert ran.code == 0, ran.err
    assert "without a residual" in ran.out
    values = _values(folder / "o.json")
    assert values["certificate"] is None and "contrast" in values["certificate_reason"] and values["residual"] is None
    assert values["stages"][0]["axes"] == "ij"
    ran = voxprior("verify", folder / "o.nii.gz")
    assert ran.code == 2 and "no certificate to verify" in ran.err


def test_a_cascade_times_its_stages_and_verifies_as_a_whole(voxprior, fine: Path) -> None:
    """Guards --config: stages in the sidecar with seconds, calls and residual; the proof is against the input."""
    folder = fine.parent
    config = folder / "c.yaml"
    config.write_text("stages:\n- {name: plane, axes: ij}\n- {axes: ik, factor: 1.5, degradation: kspace}\n")
    words = ("-i", fine, "-o", folder / "o.nii.gz", "--config", config)
    ran = voxprior("enhance", *words, "--simulate", *METHOD)
    assert ran.code == 0, ran.err
    assert "stage plane: " in ran.out and "cascade: PSNR" in ran.out
    values = _values(folder / "o.json")
    assert [stage["name"] for stage in values["stages"]] == ["plane", "2 cubic-projected"]
    assert all(set(stage) >= {"seconds", "network_calls", "residual", "weights"} for stage in values["stages"])
    assert [g["axis"] for g in values["certificate"]["operator"]["axes"]] == [0, 1, 0, 2]
    assert voxprior("verify", folder / "o.nii.gz").code == 0
    config.write_text("stages:\n- {}\n- {axes: ik}\n")
    ran = voxprior("enhance", *words, "--simulate", "--force", *METHOD)
    assert ran.code == 2 and "axes of every stage" in ran.err
    ran = voxprior("enhance", "-i", fine, "-o", config, "--config", config, "--force", *METHOD)
    assert ran.code == 2


def test_frames_and_folders(voxprior, fine: Path) -> None:
    """Guards 4-D images, and batches, which go on after a bad member."""
    folder = fine.parent
    scan = nib.load(fine)
    data = np.asarray(scan.dataobj)
    (folder / "in").mkdir()
    nib.save(nib.Nifti1Image(np.stack([data, 2 * data], -1), scan.affine), folder / "in" / "two.nii.gz")
    nib.save(scan, folder / "in" / "one.nii.gz")
    words = ("enhance", "-i", folder / "in" / "two.nii.gz", "-o", folder / "o.nii", "--method", "linear")
    ran = voxprior(*words)
    assert ran.code == 2 and "--frames" in ran.err
    assert voxprior(*words, "--frames", "all").code == 0
    first, second = (nib.load(folder / f"o_frame-0{t}.nii").get_fdata() for t in (0, 1))
    np.testing.assert_allclose(second, 2 * first, rtol=1e-4)
    assert voxprior("verify", folder / "o_frame-01.nii").code == 0
    ran = voxprior("enhance", "-i", folder / "in", "-o", folder / "out", "--method", "linear")
    assert ran.code == 1 and "1 of 2 scans failed: two.nii.gz" in ran.err
    assert (folder / "out" / "one.nii.gz").exists()


def test_a_series_becomes_a_derived_series(voxprior, tmp_path: Path) -> None:
    """Guards --dicom: finer pixels, the slices' thickness as it was, and a proof against the series."""
    thick(shape=(6, 32, 32)).write(tmp_path / "in", [4, 2, 0, 1, 3, 5])
    ran = voxprior("enhance", "-i", tmp_path / "in", "-o", tmp_path / "out", "--dicom", *METHOD)
    assert ran.code == 0, ran.err
    source, image = read_dicom(tmp_path / "in"), read_dicom(tmp_path / "out")
    assert image.data.shape == (64, 64, 6)
    np.testing.assert_allclose(image.spacing, np.array(source.spacing) / (2, 2, 1), rtol=1e-6)
    assert image.header["thickness"] == source.header["thickness"] == 4.0
    assert voxprior("verify", tmp_path / "out", "--input", tmp_path / "in").code == 0
    simulated = ("--simulate", "-o", tmp_path / "sim", "--dicom")
    assert voxprior("enhance", "-i", tmp_path / "in", *simulated, *METHOD).code == 0
    assert voxprior("verify", tmp_path / "sim").code == 0


def test_existing_outputs_are_kept_until_force(voxprior, fine: Path) -> None:
    """Guards against overwriting: a map is enough to refuse, before the input is read."""
    folder = fine.parent
    words = ("enhance", "-i", fine, "-o", folder / "o.nii", "--method", "linear")
    (folder / "o_std.nii").write_bytes(b"precious")
    ran = voxprior(*words)
    assert ran.code == 2 and "o_std.nii: exists already" in ran.err
    assert voxprior(*words, "--force").code == 0
    assert voxprior(*words).code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--axes", "il"), "--axes il is unknown"),
        (("--axes", "iji"), "names an axis twice"),
        (("--factor", "1"), "--factor 1 leaves nothing to restore"),
        (("--factor", "0.5"), "--factor"),
        (("--factor", "nan"), "--factor"),
        (("--degradation", "7t"), "degradation"),
        (("--degradation", "1.5t"), "needs a linear degradation"),
        (("--report", "page.txt"), "must end in .html"),
        (("--simulate", "--factor", "15"), "--simulate leaves 1 of 20 voxels"),
        (("--config", "missing.yaml"), "cannot be read"),
        (("--series", "1"), "not DICOM"),
    ],
)
def test_mistakes_in_options_are_told_in_one_line(voxprior, fine: Path, options, message: str) -> None:
    """Guards exit code 2, the message, and that nothing is left behind."""
    ran = voxprior("enhance", "-i", fine, "-o", fine.with_name("o.nii"), *METHOD, *options)
    assert ran.code == 2 and message in ran.err and len(ran.err.splitlines()) == 1
    assert {path.name for path in fine.parent.iterdir()} == {"fine.nii.gz"}


@pytest.mark.parametrize("kind", ["flat", "nan", "labels", "constant"])
def test_images_that_make_no_sense_are_refused(voxprior, fine: Path, kind: str) -> None:
    """Guards 2-D images, NaN, label maps and empty volumes; --force-input lets a label map through."""
    scan = nib.load(fine)
    data = np.asarray(scan.dataobj).copy()
    made = {
        "flat": data[:, :, :1],
        "nan": np.where(data > 60, np.nan, data),
        "labels": (data > 40).astype(np.float32) + (data > 80),
        "constant": np.ones_like(data),
    }[kind]
    nib.save(nib.Nifti1Image(made, scan.affine), fine.with_name("bad.nii"))
    words = ("enhance", "-i", fine.with_name("bad.nii"), "-o", fine.with_name("o.nii"), "--method", "linear")
    ran = voxprior(*words)
    assert ran.code == 2 and "bad.nii" in ran.err
    assert not fine.with_name("o.nii").exists()
    if kind == "labels":
        assert voxprior(*words, "--force-input").code == 0
