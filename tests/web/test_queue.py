"""The queue: one job at a time, in order, through cancels, failures and restarts."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from voxprior.errors import InputError
from voxprior.web import runner
from voxprior.web.limits import Limits
from voxprior.web.store import MOST_STARTS, RUNNING, Store
from web.server import SMALL, TOKEN, Client, Start, gone, submit, upload, wait

QUICK, SLOW = 0, 3
pytestmark = pytest.mark.usefixtures("stand_in")


def _pid(tmp_path: Path, id: str) -> int:
    path = tmp_path / "server" / "jobs" / id / "ran"
    end = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return int(path.read_text())


def test_jobs_run_one_after_the_other_and_tell_their_progress(client: Client, tmp_path: Path) -> None:
    """Guards memory: the second waits while the first runs, and starts when it has ended."""
    first, second = submit(client, SLOW), submit(client, QUICK)
    pid = _pid(tmp_path, first)
    assert wait(client, first, "running")["state"] == "running"
    end = time.monotonic() + 10
    while client.get(f"/api/jobs/{first}").json()["progress"] != [1, 4]:
        assert time.monotonic() < end
    assert wait(client, second, "waiting")["state"] == "waiting"
    assert client.post(f"/api/jobs/{first}/cancel").json()["state"] in ("running", "cancelled")
    assert gone(pid)
    assert wait(client, first, "cancelled")["outcome"] == {}
    assert wait(client, second, "done")["outcome"]["image"] == "restored.nii.gz"
    assert not (tmp_path / "server" / "jobs" / first / "output").exists()


def test_a_waiting_job_is_cancelled_without_being_started(client: Client, tmp_path: Path) -> None:
    """Guards the order of things: a cancelled job must not come up later."""
    first, second, third = submit(client, SLOW), submit(client), submit(client)
    client.post(f"/api/jobs/{second}/cancel")
    client.delete(f"/api/jobs/{first}")
    wait(client, third, "done")
    assert not (tmp_path / "server" / "jobs" / second / "ran").exists()
    assert [job["id"] for job in client.get("/api/jobs").json()] == [third, second]
    assert not (tmp_path / "server" / "jobs" / first).exists()


@pytest.mark.parametrize(("seed", "says"), [(1, "no scan"), (2, "memory ran out"), (4, "without a word")])
def test_a_failure_says_why_and_the_next_job_runs(seed: int, says: str, client: Client) -> None:
    """Guards the queue: a scan that cannot be restored, or kills its process, must not stop the others."""
    failed, after = submit(client, seed), submit(client)
    assert says in wait(client, failed, "failed")["message"]
    assert wait(client, after, "done")["state"] == "done"


def test_a_worker_that_ends_within_a_line_stops_nobody(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the queue: half a line, a line without end and a program that is not there end the job, not the queue."""
    good = runner.WORKER
    for words in (
        (sys.executable, "-c", "print('{\"outcome\": {\"fil', end='')"),
        (sys.executable, "-c", "print('x' * (1 << 22))"),
        ("/no/such/program",),
    ):
        monkeypatch.setattr(runner, "WORKER", words)
        job = wait(client, submit(client), "failed", "done", seconds=20)
        assert job["state"] == "failed" and "cut short" in job["message"]
    monkeypatch.setattr(runner, "WORKER", good)
    assert wait(client, submit(client), "done")["state"] == "done"


def test_a_restart_takes_up_what_ran_and_what_waited(start: Start, tmp_path: Path) -> None:
    """Guards the queue across restarts: nothing is lost, nothing runs twice at once, results stay."""
    before = start(authorization=f"Bearer {TOKEN}")
    done = submit(before)
    wait(before, done, "done")
    running, waiting = submit(before, SLOW), submit(before)
    pid = _pid(tmp_path, running)
    before.__exit__(None, None, None)
    assert gone(pid)
    request = tmp_path / "server" / "jobs" / running / "request.json"
    request.write_text(json.dumps({**json.loads(request.read_text()), "options": {"seed": QUICK}}))
    after = start(authorization=f"Bearer {TOKEN}")
    assert wait(after, running, "done")["state"] == wait(after, waiting, "done")["state"] == "done"
    assert after.get(f"/api/jobs/{done}/files/restored.nii.gz").content == b"voxels"


def test_a_job_that_was_running_when_the_server_died_twice_is_given_up(tmp_path: Path) -> None:
    """Guards against a scan that takes the whole machine down at every start."""
    store = Store(tmp_path / "queue.sqlite")
    store.add("a", {"job": "sr"})
    for count in range(MOST_STARTS):
        job = store.start_next()
        assert job is not None and job.state == RUNNING and job.starts == count + 1
        store.recover()  # as after a death
    job = store.find("a")
    assert job is not None and job.state == "failed" and "more than once" in job.message


def test_two_servers_do_not_share_a_folder(client: Client, tmp_path: Path) -> None:
    """Guards the queue: two would restore every scan twice and remove each other's files."""
    with pytest.raises(InputError, match="another voxprior serve"):
        Store(tmp_path / "server" / "queue.sqlite")
    (tmp_path / "none.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 99)
    with pytest.raises(InputError, match="not a queue"):
        Store(tmp_path / "none.sqlite")


def test_a_full_queue_refuses_and_loses_nothing(client: Client) -> None:
    """Guards disk and patience: what is refused is told so, what was accepted stays."""
    ids = [submit(client, SLOW)]
    wait(client, ids[0], "running")
    ids += [submit(client) for _ in range(SMALL.waiting)]
    assert client.post("/api/jobs", json={"job": "generate"}).status_code == 429
    assert {job["id"] for job in client.get("/api/jobs").json()} == set(ids)


def test_results_are_removed_after_their_time(start: Start, tmp_path: Path) -> None:
    """Guards retention: files and row go together, and a waiting job is none of them."""
    client = start(Limits(keep_hours=0.0, free=0), authorization=f"Bearer {TOKEN}")
    done = submit(client)
    wait(client, done, "done")
    client.app.app.state.runner.sweep()
    assert client.get(f"/api/jobs/{done}").status_code == 404
    assert not list((tmp_path / "server" / "jobs").iterdir())


def test_a_job_takes_only_what_it_can_start_from(client: Client, thick_scan: Path) -> None:
    """Guards the queue against requests that can only fail, and against files named in a text."""
    scan = upload(client, thick_scan.read_bytes())
    for body in (
        {"job": "sr"},
        {"job": "generate", "upload": scan},
        {"job": "sr", "upload": "0123456789abcdef"},
        {"job": "sr", "upload": scan, "options": {"weights": "/etc/x.safetensors"}},
        {"job": "sr", "upload": scan, "options": {"steps": 0}},
        {"job": "sr", "upload": scan, "target": "/tmp/x"},
        {"job": "rm", "upload": scan},
    ):
        answer = client.post("/api/jobs", json=body)
        assert answer.status_code in (400, 404, 422) and answer.json()["error"]
    assert client.get("/api/jobs").json() == []
    assert submit(client, job="sr", upload=scan) != submit(client, job="sr", upload=scan), "a scan may be used again"


def test_only_outputs_are_served_and_none_as_a_page(client: Client) -> None:
    """Guards the disk and the token: no other file, and a script inside a report has no rights here."""
    id = submit(client)
    wait(client, id, "done")
    report = client.get(f"/api/jobs/{id}/files/report.html")
    assert report.content == b"<script>alert(1)</script>"
    assert report.headers["content-disposition"].startswith("attachment")
    assert report.headers["content-security-policy"].startswith("sandbox")
    assert "html" not in report.headers["content-type"]
    for name in ("request.json", "ran", "log.txt", "..%2frequest.json", "%2e%2e/request.json", "input.nii.gz", ""):
        assert client.get(f"/api/jobs/{id}/files/{name}").status_code in (404, 405, 422)
    assert client.get(f"/api/jobs/{id}/input.nii.gz").status_code == 404


def test_everything_comes_in_one_zip(client: Client) -> None:
    """Guards the download: the streamed archive is whole."""
    import io
    import zipfile

    id = submit(client)
    wait(client, id, "done")
    with zipfile.ZipFile(io.BytesIO(client.get(f"/api/jobs/{id}/all.zip").content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["report.html", "restored.nii.gz"]
        assert archive.read("restored.nii.gz") == b"voxels"
