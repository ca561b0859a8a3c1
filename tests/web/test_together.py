"""Several scans of one patient through the door: brought at once or one by one, restored together."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from dicoms import SECRETS
from voxprior.web.glance import glance
from voxprior.web.limits import Limits
from voxprior.web.restoring import restore
from voxprior.web.runner import Runner
from voxprior.web.worker import outcome
from web.server import TOKEN, Client, Start, gone, wait
from web.stacks import image, study

pytestmark = pytest.mark.usefixtures("stand_in")


def _send(client: Client, *groups: bytes, id: str | None = None, first: int = 1) -> tuple[str, dict]:
    """Send each of ``groups`` as a scan of its own into one upload; its id, and what it is."""
    id = id or str(client.post("/api/uploads").json()["id"])
    for number, content in enumerate(groups, first):
        answer = client.put(f"/api/uploads/{id}/files?scan={number}", content=content)
        assert answer.status_code == 200, answer.text
    return id, client.post(f"/api/uploads/{id}/finish").json()


def _ask(client: Client, upload: str, scans: list[int], job: str = "sr", **options: object) -> dict:
    body = {"job": job, "upload": upload, "scans": scans, "options": options}
    return client.post("/api/jobs", json=body).json()


def _carry_out(client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Do the job in ``folder`` for which the stand-in stood, in this process, and put it in its place; the job."""
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        for name in ("output", "view"):
            shutil.rmtree(name)
            Path(name).mkdir()
        found = outcome(restore(json.loads(Path("request.json").read_text()), lambda done, total: None))
    client.app.app.state.runner.store.finish(folder.name, "done", "", found)
    return client.get(f"/api/jobs/{folder.name}").json()


@pytest.fixture
def three(tmp_path: Path) -> list[bytes]:
    """Axial, coronal and sagittal images of one head, the second in other units."""
    names = ("ax", "cor", "sag")
    paths = [image(tmp_path / f"{n}.nii.gz", a, s) for n, a, s in zip(names, (2, 1, 0), (1.0, 2.0, 1.0), strict=True)]
    return [path.read_bytes() for path in paths]


def test_three_images_become_one_volume(
    client: Client, three: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the way from three uploads to one result: what is told of each, which is first, and what comes out."""
    id, told = _send(client, *three)
    assert [scan["plane"] for scan in told["scans"]] == ["axial", "coronal", "sagittal"]
    assert told["scans"][0]["size"] == [20, 20, 8] and told["scans"][0]["voxel"] == [2, 2, 5]
    made = _ask(client, id, [2, 1, 3], method="cubic-projected")
    assert made["scans"] == [2, 1, 3]
    wait(client, made["id"], "done")
    folder = tmp_path / "server" / "jobs" / made["id"]
    found = _carry_out(client, folder, monkeypatch)["outcome"]
    assert {"restored.nii.gz", "restored.json", "report.html", "restored_preview.png"} <= set(found["files"])
    assert found["before"] == 3 and len(found["residuals"]) == 3 and max(found["residuals"]) < 0.1
    told = json.loads((folder / "output" / "restored.json").read_text())
    assert told["inputs"] == ["scan-2.nii.gz", "scan-1.nii.gz", "scan-3.nii.gz"]
    restored = nibabel.load(folder / "output" / "restored.nii.gz")
    assert np.allclose(restored.header.get_zooms(), 2.0) and restored.shape == (20, 20, 20)
    views = []
    for number in (1, 2, 3):
        answer = client.get(f"/api/jobs/{made['id']}/inputs/{number}")
        (tmp_path / "view.nii.gz").write_bytes(answer.content)
        views.append(nibabel.load(tmp_path / "view.nii.gz"))
        assert b"Zzyzx" not in views[-1].header.binaryblock
    assert [int(np.argmax(view.header.get_zooms())) for view in views] == [1, 2, 0]
    sums = [view.get_fdata().mean() for view in views]
    assert np.allclose(sums, sums[0], rtol=0.05), "shown in the intensities of the first"
    assert client.get(f"/api/jobs/{made['id']}/inputs/4").status_code == 404


def test_the_series_of_a_study_are_told_apart(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards DICOM, and privacy: a zip of three series, two of them together, come back as a derived series."""
    packed = study(tmp_path / "study.zip", "axial", "coronal", "sagittal").read_bytes()
    id, told = _send(client, packed)
    assert [(s["kind"], s["files"], s["number"], s["plane"]) for s in told["scans"]] == [
        ("dicom", 8, 3, "axial"),
        ("dicom", 8, 4, "coronal"),
        ("dicom", 8, 5, "sagittal"),
    ]
    assert not [word for word in SECRETS if word in json.dumps(told)]
    job = wait(client, _ask(client, id, [1, 3], method="linear")["id"], "done")
    folder = tmp_path / "server" / "jobs" / job["id"]
    job = _carry_out(client, folder, monkeypatch)
    assert sorted(p.name for p in (folder / "input").iterdir()) == ["dicom-1", "dicom-3"]
    assert sum(1 for _ in (folder / "input" / "dicom-3").iterdir()) == 8
    with zipfile.ZipFile(folder / "output" / "restored-dicom.zip") as archive:
        assert sum(name.endswith(".dcm") and "/" not in name for name in archive.namelist()) == 20
    told = json.dumps(job) + (folder / "output" / "report.html").read_text()
    assert not [word for word in SECRETS if word in told]
    alone = wait(client, _ask(client, id, [2], method="linear")["id"], "done")
    folder = tmp_path / "server" / "jobs" / alone["id"]
    assert sum(1 for _ in (folder / "input" / "dicom").iterdir()) == 8, "one series of several, by its number"
    assert _carry_out(client, folder, monkeypatch)["outcome"]["before"] == 1


def test_scans_may_come_one_after_the_other(client: Client, three: list[bytes], tmp_path: Path) -> None:
    """Guards adding: what is complete stays, a scan that is none is dropped alone, and a number is given once."""
    id, _ = _send(client, three[0])
    _, told = _send(client, b"no scan at all", id=id, first=2)
    assert "not a scan" in told["error"]
    _, told = _send(client, study(tmp_path / "s.zip", "coronal").read_bytes(), three[2], id=id, first=3)
    assert [scan["kind"] for scan in told["scans"]] == ["image", "dicom", "image"] and told["files"] == 10
    assert client.put(f"/api/uploads/{id}/files?scan=3", content=b"x").status_code == 409
    for bad in (0, -1, 10_001, "x"):
        assert client.put(f"/api/uploads/{id}/files?scan={bad}", content=b"x").status_code == 422
    assert not (tmp_path / "server" / "uploads" / id / "2").exists()
    assert client.delete(f"/api/uploads/{id}").status_code == 204
    assert not (tmp_path / "server" / "uploads" / id).exists()


def test_a_zip_of_images_holds_several_scans(client: Client, three: list[bytes], tmp_path: Path) -> None:
    """Guards archives: every image in one is a scan, what is none is left out."""
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in zip(("c/DOE", "a/DOE", "b/DOE"), three, strict=True):
            archive.writestr(name, content)
        archive.writestr("a/DOE.json", "{}")
    _, told = _send(client, path.read_bytes())
    assert [scan["plane"] for scan in told["scans"]] == ["axial", "coronal", "sagittal"]


def test_limits_hold_for_all_scans_of_an_upload(start: Start, three: list[bytes], tmp_path: Path) -> None:
    """Guards the disk: bytes, unpacked bytes, files and scans are counted over the groups, not for each anew."""
    size = len(three[0])
    client = start(Limits(upload=2 * size, free=0), authorization=f"Bearer {TOKEN}")
    id, _ = _send(client, three[0])
    answer = client.put(f"/api/uploads/{id}/files?scan=2", content=bytes(size + 1))
    assert answer.status_code == 413 and "together" in answer.json()["error"]
    client.__exit__(None, None, None)
    packed = study(tmp_path / "s.zip", "axial").read_bytes()
    whole = sum(path.stat().st_size for path in (tmp_path / "Zzyzx_axial").iterdir())
    for limits in (Limits(members=15, free=0), Limits(unpacked=2 * whole - 1, free=0), Limits(scans=1, free=0)):
        client = start(limits, authorization=f"Bearer {TOKEN}")
        id, told = _send(client, packed)
        assert len(told["scans"]) == 1
        _, told = _send(client, packed, id=id, first=2)
        assert "error" in told
        assert [one["files"] for one in client.post(f"/api/uploads/{id}/finish").json()["scans"]] == [8]
        client.__exit__(None, None, None)


def test_what_does_not_go_together_is_refused_before_it_waits(client: Client, three: list[bytes]) -> None:
    """Guards the queue against requests that can only fail, each with a line that says why."""
    id, _ = _send(client, *three)
    for body, why in (
        ({"scans": []}, "say which"),
        ({"scans": [1, 1]}, "once"),
        ({"scans": [1, 4]}, "from 1 to 3"),
        ({"scans": [0]}, "from 1 to 3"),
        ({"scans": [1, 2], "job": "enhance"}, "takes one scan"),
        ({"scans": [1, 2], "options": {"simulate": True}}, "do not go with"),
        ({"scans": [1, 2], "options": {"frames": "0"}}, "do not go with"),
        ({"scans": [1], "options": {"registration": True}}, "needs several"),
        ({"scans": list(range(1, 18))}, "not understood"),
    ):
        answer = client.post("/api/jobs", json={"job": "sr", "upload": id, **body})
        assert answer.status_code in (400, 422) and why in answer.json()["error"], answer.json()
    assert client.post("/api/jobs", json={"job": "generate", "scans": [1]}).status_code == 400
    assert client.get("/api/jobs").json() == []
    kspace, _ = _send(client, b"\x89HDF\r\n\x1a\nmore", three[0])
    assert "does not start" in _ask(client, kspace, [1, 2])["error"]


def test_a_job_of_several_outlives_its_upload_and_a_restart(start: Start, three: list[bytes], tmp_path: Path) -> None:
    """Guards the queue: the job has links of its own, runs after a restart, and is removed with its files."""
    before = start(authorization=f"Bearer {TOKEN}")
    id, _ = _send(before, *three)
    slow = _ask(before, id, [1, 2, 3], seed=3)
    waiting = _ask(before, id, [3, 1])
    assert before.delete(f"/api/uploads/{id}").status_code == 204
    wait(before, slow["id"], "running")
    before.post(f"/api/jobs/{slow['id']}/cancel")
    wait(before, slow["id"], "cancelled")
    before.__exit__(None, None, None)
    after = start(authorization=f"Bearer {TOKEN}")
    assert wait(after, waiting["id"], "done")["scans"] == [3, 1]
    folder = tmp_path / "server" / "jobs" / waiting["id"]
    request = json.loads((folder / "request.json").read_text())
    assert request["scans"] == ["scan-3.nii.gz", "scan-1.nii.gz"]
    assert [(folder / "input" / name).read_bytes() for name in request["scans"]] == [three[2], three[0]]
    after.delete(f"/api/jobs/{waiting['id']}")
    assert not folder.exists()


def test_a_cancelled_job_of_several_leaves_the_scans_to_the_others(
    client: Client, three: list[bytes], tmp_path: Path
) -> None:
    """Guards cancelling: its process and its files go, and neither the upload nor jobs on the same scans notice."""
    jobs = tmp_path / "server" / "jobs"
    id, _ = _send(client, *three)
    asked = (([1, 2, 3], 3), ([2, 1], 0), ([3, 2], 0))  # the first is slow
    slow, never, after = (_ask(client, id, scans, seed=seed)["id"] for scans, seed in asked)
    wait(client, slow, "running")
    while client.get(f"/api/jobs/{slow}").json()["progress"] is None:  # it has written something by then
        assert client.get(f"/api/jobs/{slow}").json()["state"] == "running"
    pid = int((jobs / slow / "ran").read_text())
    for job in (never, slow):
        client.post(f"/api/jobs/{job}/cancel")
        assert wait(client, job, "cancelled")["outcome"] == {}
    assert gone(pid)
    assert wait(client, after, "done")["scans"] == [3, 2]
    assert not (jobs / never / "ran").exists()
    assert not (jobs / slow / "output").exists() and not (jobs / slow / "view").exists()
    for path in ("files/restored.nii.gz", "inputs/1", "inputs/3"):
        assert client.get(f"/api/jobs/{slow}/{path}").status_code == 404
    assert client.delete(f"/api/jobs/{slow}").status_code == 204 and not (jobs / slow).exists()
    kept = [(jobs / after / "input" / f"scan-{number}.nii.gz").read_bytes() for number in (3, 2)]
    assert kept == [three[2], three[1]]
    again = _ask(client, id, [1, 2, 3])["id"]
    assert wait(client, again, "done")["scans"] == [1, 2, 3]


def test_results_of_an_earlier_version_are_still_looked_at(client: Client, tmp_path: Path) -> None:
    """Guards a server that was updated: its one measured volume was marked by a truth value."""
    runner: Runner = client.app.app.state.runner
    runner.store.add("0123456789abcdef", {"job": "sr", "options": {}, "numbers": []})
    runner.store.finish("0123456789abcdef", "done", "", {"before": True, "files": []})
    view = tmp_path / "server" / "jobs" / "0123456789abcdef" / "view"
    view.mkdir(parents=True)
    (view / "input.nii.gz").write_bytes(b"voxels")
    assert client.get("/api/jobs/0123456789abcdef/inputs/1").content == b"voxels"
    assert client.get("/api/jobs/0123456789abcdef/inputs/2").status_code == 404


@pytest.mark.parametrize("code", ["sform", "qform", "none"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_an_image_is_told_apart_by_its_header(tmp_path: Path, code: str, suffix: str) -> None:
    """Guards size, voxels and plane, however a file says where it lies."""
    affine = np.array([[0, 0, 4.8, 1], [1.0, 0, 0, 2], [0, 1.0, 0, 3], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.float32), affine)
    image.set_sform(affine if code == "sform" else None, int(code == "sform"))
    image.set_qform(affine if code == "qform" else None, int(code == "qform"))
    image.header.set_zooms((1.0, 1.0, 4.8))
    image.to_filename(tmp_path / f"scan{suffix}")
    found = glance(tmp_path / f"scan{suffix}", suffix)
    plane = "axial" if code == "none" else "sagittal"  # without a place the third axis is the foot-head one
    assert found == {"size": [4, 5, 6], "voxel": [1.0, 1.0, 4.8], "plane": plane}


def test_of_a_header_that_makes_no_sense_nothing_breaks(tmp_path: Path) -> None:
    """Guards the server: whatever 348 bytes say, an answer or nothing comes back, and no error."""
    rng = np.random.default_rng(0)
    for number in range(200):
        head = rng.integers(0, 256, 344, dtype=np.uint8).tobytes() + b"n+1\0"
        (tmp_path / "scan.nii").write_bytes((348).to_bytes(4, "little") + head[4:] if number % 2 else head)
        assert set(glance(tmp_path / "scan.nii", ".nii")) in (set(), {"size", "voxel", "plane"})
