"""Every job as the page asks for it, carried out in this process: which files come, and what is looked at."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from dicoms import thick
from web.stacks import image

pytest.importorskip("fastapi")

from voxprior.web.restoring import restore
from voxprior.web.worker import outcome

Go = Callable[..., dict[str, Any]]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Carry out a job in the folder of a worker, on what lies in its input."""
    monkeypatch.chdir(tmp_path)
    for name in ("input", "output", "view"):
        Path(name).mkdir()

    def run(job: str, *scans: str, **options: Any) -> dict[str, Any]:
        return outcome(restore({"job": job, "options": options, "scans": scans}, lambda done, total: None))

    return run


def _block(*more: int) -> str:
    """A bright block in air, 5 mm slices; ``more``: frames."""
    data = np.zeros((24, 24, 6, *more), np.float32)
    data[6:18, 6:18, 2:4] = 1000.0
    data += np.random.default_rng(0).random(data.shape, np.float32)
    nibabel.Nifti1Image(data, np.diag([2.0, 2.0, 5.0, 1.0])).to_filename("input/scan.nii.gz")
    return "scan.nii.gz"


@pytest.mark.parametrize(
    ("job", "options"),
    [
        ("recon", {"simulate": True, "method": "zero-filled", "mask": "uniform:2:8"}),
        ("ct", {"simulate": True, "method": "fbp", "views": 12, "beam": "fan-arc"}),
    ],
)
def test_dicom_comes_where_it_is_asked_for_or_given(go: Go, job: str, options: dict[str, Any]) -> None:
    """Guards k-space and X-ray views: a series in a new study of an image, a derived one of a series, with a report."""
    found = go(job, _block(), dicom=True, uids="content", **options)
    assert {"restored-dicom.zip", "restored.nii.gz", "report.html"} <= set(found["files"])
    with zipfile.ZipFile("output/restored-dicom.zip") as archive:
        assert sum(name.endswith(".dcm") and "/" not in name for name in archive.namelist()) == 6
    for path in (*Path("output").iterdir(), *Path("view").iterdir()):
        path.unlink()
    thick("CT" if job == "ct" else "MR").write(Path("input/dicom"))
    assert {"restored-dicom.zip", "restored.nii.gz", "report.html"} <= set(go(job, "dicom", **options)["files"])


def test_of_a_series_of_the_other_kind_an_image_comes(go: Go) -> None:
    """Guards a CT that is taken for MR: the page has no switch to leave DICOM out, so the job has to."""
    thick("CT", shape=(3, 20, 20)).write(Path("input/series"))
    found = go("recon", "series", simulate=True, method="zero-filled", mask="uniform:2:8")
    assert "restored.nii.gz" in found["files"] and "restored-dicom.zip" not in found["files"]


def test_new_volumes_have_a_report_and_dicom(go: Go) -> None:
    """Guards generate: what is asked for beside the image comes, and there is nothing to compare with."""
    found = go("generate", shape=[16, 16, 16], steps=3, dicom=True)
    assert {"restored-dicom.zip", "restored.nii.gz", "report.html"} <= set(found["files"])
    assert found["before"] == 0


def test_the_phase_comes_where_it_is_asked_for(go: Go) -> None:
    """Guards recon: its map lies beside the magnitude."""
    found = go("recon", _block(), simulate=True, method="zero-filled", mask="uniform:2:8", phase=True)
    assert "restored_phase.nii.gz" in found["files"]


def test_a_scan_that_moved_is_shown_where_it_was_found(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the option: the others are aligned to the first, and looked at there, not where their headers say."""
    pytest.importorskip("SimpleITK")
    move = np.eye(4)
    move[:3, 3] = [4.0, -1.0, 2.0]
    monkeypatch.setattr("voxprior.jobs.several.rigid", lambda fixed, moving: move)
    paths = [image(Path("input/scan-1.nii.gz"), 2), image(Path("input/scan-2.nii.gz"), 1)]
    before = [nibabel.load(path).affine for path in paths]
    found = go("sr", *(path.name for path in paths), method="linear", registration=True)
    assert found["before"] == 2
    assert np.array_equal(nibabel.load("view/input.nii.gz").affine, before[0])
    assert np.allclose(nibabel.load("view/input-2.nii.gz").affine, move @ before[1], atol=1e-5)


@pytest.mark.parametrize(("job", "method"), [("sr", "linear"), ("enhance", "cubic-projected")])
def test_frames_are_restored_each_beside_its_own_input(go: Go, job: str, method: str) -> None:
    """Guards 4-D images: one result a frame, in order, and as many measured volumes."""
    found = go(job, _block(3), frames="0,2", method=method)
    assert found["images"] == ["restored_frame-00.nii.gz", "restored_frame-02.nii.gz"]
    assert found["before"] == 2
    for name, frame in (("input.nii.gz", 0), ("input-2.nii.gz", 2)):
        shown, given = nibabel.load(f"view/{name}"), nibabel.load("input/scan.nii.gz")
        assert np.array_equal(shown.get_fdata(), given.get_fdata()[..., frame])
