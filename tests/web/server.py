"""The server in this process, with small limits, and a stand-in for the process that restores."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
from starlette.testclient import TestClient

from voxprior.web import runner
from voxprior.web.app import Settings, create_app
from voxprior.web.limits import Limits

TOKEN = "a-token-that-only-the-test-knows"
PORT = 8765
SMALL = Limits(upload=1 << 20, unpacked=2 << 20, members=50, stored=8 << 20, free=0, uploads=20, waiting=5)

# Does what the first word of the seed says, so that a job is quick, or slow, or fails, or dies.
STAND_IN = """
import json, os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
seed = json.loads((folder / "request.json").read_text())["options"].get("seed", 0)
def tell(**values): print(json.dumps(values), flush=True)
(folder / "output").mkdir(); (folder / "view").mkdir()
(folder / "output" / "restored.nii.gz").write_bytes(b"voxels")
(folder / "output" / "report.html").write_bytes(b"<script>alert(1)</script>")
(folder / "ran").write_text(str(os.getpid()))
tell(done=1, total=4)
if seed == 1: tell(error="the scan is no scan"); sys.exit(2)
if seed == 2: os.kill(os.getpid(), signal.SIGKILL)
if seed == 3: time.sleep(60)
if seed == 4: sys.exit(7)
files = ["report.html", "restored.nii.gz"]
tell(outcome={"files": files, "image": files[1], "before": False, "figures": {}, "comparison": {}})
"""

Client = TestClient
Start = Callable[..., TestClient]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run the stand-in instead of the restoration."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setattr(runner, "WORKER", (sys.executable, str(script)))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server on the folder ``server``; a second call is a restart once the first has been closed."""
    open_clients: list[TestClient] = []

    def begin(limits: Limits = SMALL, **headers: str) -> TestClient:
        app: Any = create_app(Settings(tmp_path / "server", TOKEN, PORT, limits))
        client = TestClient(app, base_url=f"http://127.0.0.1:{PORT}", headers=headers)
        client.__enter__()
        open_clients.append(client)
        return client

    yield begin
    for client in open_clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(start: Start) -> TestClient:
    """A server, and a caller that knows the token."""
    return start(authorization=f"Bearer {TOKEN}")


def upload(client: TestClient, *files: bytes) -> str:
    """Send ``files`` as one scan and finish it; its id."""
    id = str(client.post("/api/uploads").json()["id"])
    for content in files:
        assert client.put(f"/api/uploads/{id}/files", content=content).status_code == 200
    answer = client.post(f"/api/uploads/{id}/finish")
    assert answer.status_code == 200, answer.text
    return id


def submit(client: TestClient, seed: int = 0, job: str = "generate", upload: str | None = None) -> str:
    """Queue a job; its id."""
    answer = client.post("/api/jobs", json={"job": job, "options": {"seed": seed}, "upload": upload})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def wait(client: TestClient, id: str, *states: str, seconds: float = 60.0) -> dict[str, Any]:
    """The job once it is in one of ``states``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job: dict[str, Any] = client.get(f"/api/jobs/{id}").json()
        if job["state"] in states:
            return job
        time.sleep(0.05)
    raise AssertionError(f"job {id} is {job['state']}, not {states}: {job['message']}")


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether the process ends within ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not Path(f"/proc/{pid}").exists() and not _alive(pid):
            return True
        time.sleep(0.05)
    return False


def _alive(pid: int) -> bool:
    import os

    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
