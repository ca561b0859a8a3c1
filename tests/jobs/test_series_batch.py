"""A folder of DICOM series becomes a folder of derived series; a bad one does not stop the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom import dcmread

from dicoms import SECRETS, thick
from voxprior.cli.app import main
from voxprior.io.dicom import read_dicom
from voxprior.io.dicom.studies import find_series

UID = "1.2.826.0.1.3680043.8.498.7"


def _sr(*words: object) -> int:
    return main(["sr", "--method", "linear", "--dicom", *map(str, words)])


def test_folders_of_series(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two patients' folders, and one with a slice missing: two results, one clear failure, and code 1."""
    study = tmp_path / "study"
    for k, name in enumerate(("Zzyzx_a", "Zzyzx_b", "Zzyzx_bad"), 1):
        order = [0, 1, 3, 4, 5] if name == "Zzyzx_bad" else None
        thick(shape=(6, 16, 16), uid=f"{UID}.{k}", study=f"{UID}.10{k}").write(study / name, order)
    (study / "notes").mkdir()
    (study / "notes" / "readme.txt").write_text("no series")
    out, page = tmp_path / "out", tmp_path / "page.html"
    assert _sr("-i", study, "-o", out, "--report", page) == 1
    said = capfd.readouterr()
    assert "missing between slices" in said.err and "1 of 3 scans failed" in said.err
    assert sorted(p.name for p in out.iterdir()) == ["Zzyzx_a", "Zzyzx_b"]
    for k, name in enumerate(("Zzyzx_a", "Zzyzx_b"), 1):
        assert read_dicom(out / name).data.shape[2] == 23
        assert str(dcmread(out / name / "0001.dcm").StudyInstanceUID) == f"{UID}.10{k}"
        assert main(["verify", str(out / name), "--input", str(study / name)]) == 0
    told = page.read_text() + "".join((p / "voxprior.json").read_text() for p in out.iterdir())
    assert "missing between slices" in told
    assert not [secret for secret in SECRETS if secret in told]


def test_series_of_one_folder_and_their_names(tmp_path: Path) -> None:
    """Series that lie together are told apart by number, and by UID where numbers are equal; --series takes one."""
    study = tmp_path / "study"
    for k, number in enumerate((3, 8, 8), 1):
        made = thick(shape=(4, 16, 16), uid=f"{UID}.{k}", number=number).write(tmp_path / f"{k}")
        study.mkdir(exist_ok=True)
        for path in made:
            path.rename(study / f"{k}-{path.name}")
    assert [found.name for found in find_series(study)] == ["series-0003", "series-0008-2", "series-0008-3"]
    assert _sr("-i", study, "-o", study / "out") == 2, "an output in the input would be an input of the next run"
    assert _sr("-i", study, "-o", tmp_path / "out", "--uids", "content") == 0
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["series-0003", "series-0008-2", "series-0008-3"]
    assert json.loads((tmp_path / "out" / names[0] / "voxprior.json").read_text())["residual"] < 1
    assert _sr("-i", study, "-o", tmp_path / "out") == 1, "nothing is replaced unasked"
    assert _sr("-i", study, "-o", tmp_path / "one", "--series", "3") == 0
    assert read_dicom(tmp_path / "one").data.shape[2] > 4


def test_a_file_that_is_no_dicom_and_a_damaged_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder whose headers cannot be read costs itself alone."""
    thick(shape=(4, 16, 16), uid=f"{UID}.1").write(tmp_path / "in" / "good")
    (tmp_path / "in" / "broken").mkdir()
    (tmp_path / "in" / "broken" / "1.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 300)
    assert _sr("-i", tmp_path / "in", "-o", tmp_path / "out") == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good"]
    assert "error:" in capfd.readouterr().err
