"""Orthanc, an archive: started, asked by REST, and ended."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SECONDS = 90
"""What a loaded machine may need."""


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def listens(port: int) -> None:
    """Wait until somebody does."""
    for _ in range(SECONDS * 4):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.25)
    raise AssertionError("nobody listens")


def end(process: subprocess.Popen[Any]) -> None:
    """End it, in kindness if that is enough."""
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Archive:
    """Orthanc's REST interface, and the ``port`` of its DICOM node ORTHANC."""

    def __init__(self, http: int, port: int) -> None:
        self.base, self.port = f"http://127.0.0.1:{http}", port

    def ask(self, path: str, data: bytes | None = None) -> Any:
        """What it answers: JSON as values, else bytes; ``data`` is posted."""
        request = urllib.request.Request(self.base + path, data)
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if answer.headers.get_content_type() == "application/json" else body

    def wait_for(self, count: int, what: str = "series") -> list[str]:
        """The identifiers of ``what``, once there are ``count``."""
        found: list[str] = []
        for _ in range(SECONDS * 4):
            try:
                found = self.ask(f"/{what}")
            except OSError:
                found = []
            if len(found) >= count:
                return found
            time.sleep(0.25)
        raise AssertionError(f"{len(found)} {what} where {count} were expected")


@contextmanager
def running(folder: Path, modalities: Mapping[str, list[Any]]) -> Iterator[Archive]:
    """Orthanc with its files in ``folder``; it knows the nodes ``modalities`` by name: title, host, port."""
    program = shutil.which("Orthanc")
    if program is None:
        pytest.skip("Orthanc is not installed; .ci/run names the package")
    http, port = free_port(), free_port()
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "archive"),
        "IndexDirectory": str(folder / "archive"),
        "HttpPort": http,
        "DicomPort": port,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomModalities": modalities,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    silent = subprocess.DEVNULL
    process = subprocess.Popen([program, folder / "orthanc.json"], stdout=silent, stderr=silent, cwd=folder)
    try:
        archive = Archive(http, port)
        archive.wait_for(0)
        listens(port)
        yield archive
    finally:
        end(process)
