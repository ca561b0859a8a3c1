"""The other commands: verify, describe, info, doctor, demo, train."""

from __future__ import annotations

import getpass
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import voxprior as package


@pytest.fixture
def restored(voxprior, thick_scan: Path) -> Path:
    out = thick_scan.with_name("out.nii.gz")
    assert voxprior("sr", "-i", thick_scan, "-o", out, "--method", "cubic-projected").code == 0
    return out


def test_verify_accepts_what_was_written(voxprior, restored: Path) -> None:
    """Guards the round trip from sr to verify."""
    ran = voxprior("verify", restored)
    assert ran.code == 0
    assert ran.out.endswith("verified\n")
    assert "FAIL" not in ran.out


def test_verify_sees_one_changed_voxel(voxprior, restored: Path) -> None:
    """Guards the digest: a change of one voxel by a thousandth of the range ends with 1."""
    image = nib.load(restored)
    data = np.asarray(image.dataobj).copy()
    data[3, 4, 5] += data.max() / 1000
    nib.save(nib.Nifti1Image(data, image.affine, image.header), restored)
    ran = voxprior("verify", restored)
    assert ran.code == 1
    assert "FAIL  output voxels" in ran.out


def test_verify_says_what_is_missing(voxprior, restored: Path, thick_scan: Path) -> None:
    """Guards exit code 2, and that --input finds a scan that was moved."""
    moved = thick_scan.parent / "elsewhere.nii.gz"
    thick_scan.rename(moved)
    ran = voxprior("verify", restored)
    assert ran.code == 2
    assert "--input" in ran.err
    assert voxprior("verify", restored, "--input", moved).code == 0
    restored.with_name("out.json").unlink()
    assert voxprior("verify", restored, "--input", moved).code == 2


def test_verify_works_when_the_folder_moves(voxprior, restored: Path, tmp_path: Path) -> None:
    """Guards that the certificate holds relative paths alone."""
    shutil.copytree(restored.parent, tmp_path / "copy")
    for path in (restored, restored.with_name("thick.nii.gz")):
        path.unlink()
    assert voxprior("verify", tmp_path / "copy" / "out.nii.gz").code == 0


def test_describe_draws_slices_in_millimetres(voxprior, thick_scan: Path) -> None:
    """Guards the first form: directions, thickness, gap, output grid and what a run needs."""
    ran = voxprior("describe", thick_scan, "--thickness", "4")
    assert ran.code == 0, ran.err
    assert "axis i: 20 x 2 mm = 40 mm, towards left" in ran.out
    assert "oblique by" in ran.out
    assert "slices: 7 along k, centres 5 mm apart, 4 mm thick, gap 1 mm, profile box" in ran.out
    assert "restored: 17 x 2 mm" in ran.out
    assert " MB " in ran.out
    drawing = next(line for line in ran.out.splitlines() if line.startswith("slices  #"))
    blocks = drawing.split()[1:5]
    assert len(set(map(len, blocks))) <= 2
    assert 10 < len(blocks[0]) < 15  # 4 mm of 19 on 64 columns


def test_describe_says_what_is_missing_for_a_fine_scan(voxprior, tmp_path: Path) -> None:
    """Guards a scan without a slice axis: described all the same, and told what to give."""
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((8, 9, 10)), np.eye(4)), tmp_path / "fine.nii")
    ran = voxprior("describe", tmp_path / "fine.nii")
    assert ran.code == 0
    assert "cannot be restored as it is: no thick axis" in ran.out
    assert "along the patient axes" in ran.out


def test_describe_warns_of_contradicting_forms(voxprior, thick_scan: Path) -> None:
    """Guards qform against sform: the doubt of the reader reaches the user."""
    image = nib.load(thick_scan)
    image.set_qform(np.diag([-2.0, 2.0, 5.0, 1.0]), 1)
    nib.save(image, thick_scan)
    assert "warning: qform and sform disagree" in voxprior("describe", thick_scan).out


def test_info_lists_jobs_methods_and_weights(voxprior) -> None:
    """Guards both forms; the JSON one is for programs."""
    values = json.loads(voxprior("info", "--json").out)
    assert values["version"] == package.__version__
    assert "cubic" in values["methods"]["sr"]
    text = voxprior("info").out
    for name in (*values["jobs"], *values["methods"]["sr"], *values["weights"]):
        assert name in text
    assert all(card["sha256"] in text for card in values["weights"].values())


def test_doctor_tells_versions_and_no_places(voxprior) -> None:
    """Guards a report that people paste in public: versions and processor, but no home folder and no user."""
    ran = voxprior("doctor")
    assert ran.code == 0
    for part in ("python: ", "torch: ", "processor: ", "memory: ", "temporary files: writable"):
        assert part in ran.out
    assert str(Path.home()) not in ran.out
    assert f"/{getpass.getuser()}" not in ran.out
    assert str(Path.cwd()) not in ran.out


def test_demo_thickens_a_fine_scan_and_restores_it(voxprior, tmp_path: Path, head, monkeypatch) -> None:
    """Guards the demo's path without the network: files, comparison, and where the preview is."""
    monkeypatch.chdir(tmp_path)
    x = (np.arange(20) - 9.5) * 2.0
    data = head.at(x[:, None, None], x[None, :, None], x[None, None, :]).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.diag([-2.0, 2.0, 2.0, 1.0])), "fine.nii.gz")
    ran = voxprior("demo", "fine.nii.gz", "--method", "linear")
    assert ran.code == 0, ran.err
    assert "cubic: PSNR" in ran.out
    preview = tmp_path / ran.out.splitlines()[-1].removeprefix("preview: ")
    assert preview.is_file()
    operator = json.loads((tmp_path / "voxprior-demo" / "scan.json").read_text())["certificate"]["operator"]
    assert (operator["axis"], operator["count"]) == (1, 4)  # front to back, five times thicker
    assert voxprior("demo", "fine.nii.gz", "--method", "linear").code == 2
    assert voxprior("demo", "-i", "fine.nii.gz", "-o", "voxprior-demo", "--method", "linear", "--force").code == 0


def test_demo_restores_a_thick_scan_as_it_is(voxprior, thick_scan: Path) -> None:
    """Guards `make demo SCAN=...`: a clinical scan is not made worse first."""
    out = thick_scan.parent / "demo"
    ran = voxprior("demo", "-i", thick_scan, "-o", out, "--method", "cubic")
    assert ran.code == 0, ran.err
    assert "comparison" not in json.loads((out / "scan.json").read_text())


def test_the_head_of_the_demo_is_there() -> None:
    """Guards the package data: a fine real head that can be thickened from front to back."""
    from voxprior.cli.demo import HEAD
    from voxprior.io.nifti import read_volume

    volume = read_volume(HEAD)
    axis = next(a for a, code in enumerate(volume.axcodes) if code in "AP")
    assert volume.spacing[axis] <= 1.01
    assert min(volume.data.shape) >= 64


def test_train_wants_a_config_that_is_there(voxprior, tmp_path: Path) -> None:
    """Guards the mistakes of `train` that need no training: missing file, and --resume of nothing."""
    assert voxprior("train", tmp_path / "no.yaml").code == 2
    config = tmp_path / "c.yaml"
    config.write_text(f"data: {tmp_path}\noutput: {tmp_path / 'run'}\n")
    ran = voxprior("train", config, "--resume")
    assert ran.code == 2
    assert "no checkpoint to resume from" in ran.err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.safetensors").touch()
    ran = voxprior("train", config)
    assert ran.code == 2
    assert "give --resume" in ran.err


def test_evaluate_wants_data(voxprior, tmp_path: Path) -> None:
    """Guards that a folder without a manifest is a mistake of one line."""
    ran = voxprior("evaluate", "sr", "--data", tmp_path, "--out", tmp_path / "out", "--page", tmp_path / "p.md")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
