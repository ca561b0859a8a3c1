"""A real server under attack: its memory stays flat, it goes on answering, and nothing that it took is lost."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from web.stacks import image

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
GROWTH = 48 << 20
"""Bytes by which the server may grow: buffers of the connections, none of the scans."""


class Server(NamedTuple):
    """A process of ``voxprior serve`` with its address and token."""

    pid: int
    url: str
    token: str
    folder: Path

    @property
    def memory(self) -> int:
        """The most resident bytes so far."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024

    @property
    def headers(self) -> dict[str, str]:
        """Of a caller that knows the token."""
        return {"authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes scans of 40 MiB."""
    folder = tmp_path_factory.mktemp("served")
    command = [sys.executable, "-m", "voxprior", "serve", "--port", "0", "--folder", str(folder)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*command, "--max-upload", "0.04"], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    url, token = re.search(r"(http://\S+)/\?token=(\S+)", process.stdout.readline()).groups()
    for _ in range(100):
        try:
            if httpx.get(url).status_code == 401:
                break
        except httpx.TransportError:
            continue
    yield Server(process.pid, url, token, folder)
    process.terminate()
    assert process.wait(20) == 130
    process.stdout.close()


def _upload(server: Server) -> str:
    return str(httpx.post(f"{server.url}/api/uploads", headers=server.headers, timeout=30).json()["id"])


def test_ten_gigabytes_are_refused_at_once_where_they_are_announced(server: Server) -> None:
    """Guards disk and memory against a length that the server could know to be too much."""
    before, id = server.memory, _upload(server)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        lines = [
            f"PUT /api/uploads/{id}/files HTTP/1.1",
            f"Host: {host}:{port}",
            f"Authorization: Bearer {server.token}",
            f"Content-Length: {10 << 30}",
        ]
        line.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert line.recv(1000).startswith(b"HTTP/1.1 413")
    assert server.memory - before < GROWTH


def test_ten_gigabytes_in_pieces_are_refused_at_the_cap(server: Server) -> None:
    """Guards against a length that nobody stated: the flood is cut at 40 MiB, and nothing of it stays."""
    before, id = server.memory, _upload(server)
    sent = 0

    def flood() -> Iterator[bytes]:
        nonlocal sent
        while sent < 10 << 30:
            sent += 1 << 20
            yield bytes(1 << 20)

    try:
        answer = httpx.put(f"{server.url}/api/uploads/{id}/files", content=flood(), headers=server.headers, timeout=60)
        assert answer.status_code == 413
    except httpx.WriteError:  # the server has hung up in the middle of it, as it should
        sent += 0
    assert sent < 200 << 20
    assert server.memory - before < GROWTH
    assert not [path for path in (server.folder / "uploads" / id).rglob("*") if path.is_file()]


def test_two_uploads_at_once(server: Server, tmp_path: Path) -> None:
    """Guards several scans from two pages: pieces that come in turn end up where they belong, and neither waits."""
    axial, coronal, sagittal = (image(tmp_path / f"{axis}.nii.gz", axis).read_bytes() for axis in (2, 1, 0))
    let = asyncio.Event()

    async def halves(content: bytes) -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        await let.wait()
        yield content[len(content) // 2 :]

    async def both(client: httpx.AsyncClient) -> list[str]:
        async def put(id: str, scan: int, content: bytes | AsyncIterator[bytes]) -> None:
            answer = await client.put(f"/api/uploads/{id}/files?scan={scan}", content=content)
            assert answer.status_code == 200, answer.text

        first, second = [str((await client.post("/api/uploads")).json()["id"]) for _ in range(2)]
        coming = [asyncio.create_task(put(second, n, halves(c))) for n, c in ((1, sagittal), (2, axial))]
        for _ in range(1000):
            if len([*(server.folder / "uploads" / second).glob("*/0*")]) == 2:
                break
            await asyncio.sleep(0.01)
        await asyncio.gather(put(first, 1, axial), put(first, 2, coronal))
        told = (await client.post(f"/api/uploads/{first}/finish")).json()
        assert [scan["plane"] for scan in told["scans"]] == ["axial", "coronal"]
        early = await client.post(f"/api/uploads/{second}/finish")
        assert early.status_code == 409 and "still coming" in early.json()["error"]
        let.set()
        await asyncio.gather(*coming)
        told = (await client.post(f"/api/uploads/{second}/finish")).json()
        assert [scan["plane"] for scan in told["scans"]] == ["sagittal", "axial"]
        asked = {"job": "sr", "scans": [2, 1], "options": {"method": "nearest"}}
        return [(await client.post("/api/jobs", json={**asked, "upload": id})).json()["id"] for id in (first, second)]

    async def go() -> list[str]:
        async with httpx.AsyncClient(base_url=server.url, headers=server.headers, timeout=100) as client:
            return await both(client)

    for id, expected in zip(asyncio.run(go()), ((coronal, axial), (axial, sagittal)), strict=True):
        inputs = [server.folder / "jobs" / id / "input" / f"scan-{number}.nii.gz" for number in (2, 1)]
        assert tuple(path.read_bytes() for path in inputs) == expected
        assert httpx.delete(f"{server.url}/api/jobs/{id}", headers=server.headers, timeout=30).status_code == 204


def test_two_hundred_requests_at_once(server: Server, thick_scan: Path) -> None:
    """Guards the queue: two hundred scans and jobs at the same moment are all there afterwards, each with its bytes."""
    before = server.memory
    content = thick_scan.read_bytes()

    async def one(client: httpx.AsyncClient) -> str:
        id = (await client.post("/api/uploads")).json()["id"]
        assert (await client.put(f"/api/uploads/{id}/files", content=content)).json() == {"bytes": len(content)}
        assert (await client.post(f"/api/uploads/{id}/finish")).json()["kind"] == "image"
        body = {"job": "sr", "upload": id, "options": {"method": "nearest"}}
        answer = await client.post("/api/jobs", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def all_at_once() -> list[str]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(
            base_url=server.url, headers=server.headers, limits=limits, timeout=100
        ) as client:
            return await asyncio.gather(*(one(client) for _ in range(200)))

    ids = asyncio.run(all_at_once())
    assert len(set(ids)) == 200
    jobs = httpx.get(f"{server.url}/api/jobs", headers=server.headers, timeout=30).json()
    assert {job["id"] for job in jobs} == set(ids)
    assert all((server.folder / "jobs" / id / "input" / "scan.nii.gz").read_bytes() == content for id in ids)
    assert not [job["message"] for job in jobs if job["state"] not in ("waiting", "running", "done")]
    assert server.memory - before < GROWTH
