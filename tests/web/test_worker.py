"""The process that restores, run as the server runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from dicoms import SECRETS, thick

pytest.importorskip("fastapi")
EVIL = b"<img src=x onerror=alert(1)> Jane Doe"


def _run(folder: Path, scan: str | None, job: str = "sr", **options: Any) -> list[dict[str, Any]]:
    scans = [] if scan is None else [scan]
    (folder / "request.json").write_text(json.dumps({"job": job, "options": options, "scans": scans, "numbers": []}))
    command = [sys.executable, "-m", "voxprior.web.worker", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        return [json.loads(line) for line in process.stdout]


def test_a_scan_becomes_files_that_tell_nothing_of_the_patient(tmp_path: Path, thick_scan: Path) -> None:
    """Guards the whole chain, and privacy: texts of the header reach neither outputs nor page, and no folder's name."""
    (tmp_path / "input").mkdir()
    image = nibabel.load(thick_scan)
    image.header["descrip"] = EVIL
    image.to_filename(tmp_path / "input" / "scan.nii.gz")
    last = _run(tmp_path, "scan.nii.gz", method="linear", spacing=2.5)[-1]
    found = last["outcome"]
    assert {"restored.nii.gz", "restored.json", "report.html", "restored_preview.png"} <= set(found["files"])
    assert found["figures"]["residual"] < 0.1
    restored = nibabel.load(tmp_path / "output" / found["image"])
    assert np.allclose(restored.header.get_zooms(), (2, 2, 2.5))
    before = nibabel.load(tmp_path / "view" / "input.nii.gz")
    assert np.array_equal(before.get_fdata(), image.get_fdata())
    for path in (*(tmp_path / "output").iterdir(), tmp_path / "view" / "input.nii.gz"):
        content = path.read_bytes() if path.suffix != ".gz" else nibabel.load(path).header.binaryblock
        assert b"Jane Doe" not in content and str(tmp_path).encode() not in content, path.name


def test_voxels_are_refined_within_the_slices(tmp_path: Path, thick_scan: Path) -> None:
    """Guards the job enhance from upload to files: the plane twice as fine, and what was measured beside it."""
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "scan.nii.gz").write_bytes(thick_scan.read_bytes())
    last = _run(tmp_path, "scan.nii.gz", job="enhance", method="cubic-projected", axes="ij")[-1]
    assert {"restored.nii.gz", "restored.json", "report.html"} <= set(last["outcome"]["files"])
    before, after = (nibabel.load(tmp_path / f) for f in ("view/input.nii.gz", "output/restored.nii.gz"))
    assert np.allclose(np.divide(before.header.get_zooms(), after.header.get_zooms()), (2, 2, 1), atol=1e-4)


def test_a_dicom_series_becomes_a_derived_one_and_nifti(tmp_path: Path) -> None:
    """Guards DICOM to DICOM, and privacy: who the patient is stands in the series alone."""
    thick().write(tmp_path / "input" / "dicom")
    last = _run(tmp_path, "dicom", method="linear")[-1]
    found = last["outcome"]
    assert {"restored-dicom.zip", "restored.nii.gz", "restored.json", "report.html"} <= set(found["files"])
    with zipfile.ZipFile(tmp_path / "output" / "restored-dicom.zip") as archive:
        names = archive.namelist()
        assert archive.testzip() is None and "voxprior.json" in names
        assert sum(name.endswith(".dcm") for name in names) > 6
    told = json.dumps(last).encode()
    texts = [p.read_bytes() for p in (tmp_path / "output").iterdir() if p.suffix in (".json", ".html")]
    for secret in SECRETS:
        assert not [text for text in (told, *texts) if secret.encode() in text]


def test_what_the_user_can_mend_is_told_in_one_line(tmp_path: Path) -> None:
    """Guards the message on the page: the same as the command's, with our name of the file."""
    (tmp_path / "input").mkdir()
    nibabel.Nifti1Image(np.arange(512, dtype=np.float32).reshape(8, 8, 8), np.eye(4)).to_filename(
        tmp_path / "input" / "scan.nii.gz"
    )
    last = _run(tmp_path, "scan.nii.gz")[-1]
    assert "axis" in last["error"] and str(tmp_path) not in last["error"]


def test_the_process_ends_with_the_server(tmp_path: Path) -> None:
    """Guards the machine: a server that was killed leaves nothing running."""
    code = "import threading, time; from voxprior.web import worker; worker._end_with_server()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    time.sleep(0.5)
    assert process.poll() is None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 130
