"""Scans on their way in."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from voxprior.web.limits import Limits
from web.server import SMALL, TOKEN, Client, Start, upload


def _zip(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _finish(client: Client, content: bytes) -> dict[str, object]:
    id = client.post("/api/uploads").json()["id"]
    client.put(f"/api/uploads/{id}/files", content=content)
    found: dict[str, object] = client.post(f"/api/uploads/{id}/finish").json()
    found.pop("scans", None)  # looked at in test_together.py
    return found


DICOM = bytes(128) + b"DICM" + b"some elements"


def test_a_scan_is_known_by_its_bytes(client: Client, thick_scan: Path) -> None:
    """Guards the choice of job: what a browser calls a file does not matter, and is not even sent."""
    plain = gzip.decompress(thick_scan.read_bytes())
    for content in (thick_scan.read_bytes(), plain):
        assert _finish(client, content) == {"kind": "image", "files": 1}
    assert _finish(client, _zip(**{"kspace.npy": b"\x93NUMPY"})) == {"kind": "kspace", "files": 1}
    assert _finish(client, b"\x89HDF\r\n\x1a\nmore") == {"kind": "kspace", "files": 1}
    series = _zip(**{"DOE/1": DICOM, "DOE/2": DICOM, "DICOMDIR": b"index", "notes.txt": b"Jane Doe"})
    assert _finish(client, series) == {"kind": "dicom", "files": 2}
    assert _finish(client, _zip(**{"a/scan.nii": plain, "readme": b"text"})) == {"kind": "image", "files": 1}
    for nothing in (b"<html>", b"", gzip.compress(b"text"), _zip(**{"a.txt": b"text"}), b"PK\x03\x04 cut short"):
        assert "error" in _finish(client, nothing)


def test_a_folder_is_one_scan(client: Client, tmp_path: Path) -> None:
    """Guards DICOM folders: files come one by one and become one series; what is no DICOM is dropped."""
    id = upload(client, DICOM, b"a text", DICOM, DICOM)
    told = {"kind": "dicom", "files": 3}
    assert client.post(f"/api/uploads/{id}/finish").json() == {**told, "scans": [told]}
    kept = sorted(p.name for p in (tmp_path / "server" / "uploads" / id / "1").rglob("*"))
    assert kept == ["000001.dcm", "000002.dcm", "000003.dcm", "dicom"]


def test_an_upload_ends_at_the_cap_whatever_it_claims(client: Client, tmp_path: Path) -> None:
    """Guards the disk: a stated length is refused before a byte is read, an unstated one when it goes over."""
    id = client.post("/api/uploads").json()["id"]
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1 << 8):
            read += 1 << 16
            yield bytes(1 << 16)

    where = f"/api/uploads/{id}/files"
    assert client.put(where, content=b"x", headers={"content-length": str(10 << 30)}).status_code == 413
    assert client.put(where, content=endless()).status_code == 413
    assert client.put(where, content=bytes(SMALL.upload // 2)).status_code == 200
    assert client.put(where, content=bytes(SMALL.upload // 2 + 1)).status_code == 413, "the sum of the files counts"
    kept = (tmp_path / "server" / "uploads" / id).rglob("0*")
    assert sum(p.stat().st_size for p in kept) == SMALL.upload // 2


def test_all_uploads_together_are_capped(start: Start) -> None:
    """Guards the disk against many scans of an allowed size, in bytes and in number."""
    limits = Limits(upload=1 << 20, stored=3 << 20, uploads=5, free=0)
    client = start(limits, authorization=f"Bearer {TOKEN}")
    ids = [client.post("/api/uploads").json()["id"] for _ in range(5)]
    assert client.post("/api/uploads").status_code == 429
    states = [client.put(f"/api/uploads/{id}/files", content=bytes(1 << 20)).status_code for id in ids]
    assert states == [200, 200, 200, 507, 507]
    assert client.delete(f"/api/uploads/{ids[0]}").status_code == 204
    assert client.put(f"/api/uploads/{ids[3]}/files", content=bytes(1 << 20)).status_code == 200


@pytest.mark.parametrize("id", ["0123456789abcdef", "..", "%2e%2e", "0123456789abcdeg", "a" * 300, "..%2f..%2fetc"])
def test_an_id_that_was_not_given_out_is_refused(id: str, client: Client, tmp_path: Path) -> None:
    """Guards the folder: ids are looked up, never joined to a path."""
    for answer in (
        client.put(f"/api/uploads/{id}/files", content=b"x"),
        client.post(f"/api/uploads/{id}/finish"),
        client.get(f"/api/jobs/{id}"),
        client.get(f"/api/jobs/{id}/files/restored.nii.gz"),
    ):
        assert answer.status_code in (404, 405, 422)
    client.delete(f"/api/uploads/{id}")
    assert (tmp_path / "server" / "queue.sqlite").exists()


def test_uploads_that_nobody_uses_are_removed(start: Start, tmp_path: Path) -> None:
    """Guards retention: what is kept, is kept for the promised time and no longer; a restart removes them too."""
    client = start(Limits(keep_hours=0.0, free=0), authorization=f"Bearer {TOKEN}")
    id = client.post("/api/uploads").json()["id"]
    runner = client.app.app.state.runner
    runner.sweep()
    assert client.put(f"/api/uploads/{id}/files", content=b"x").status_code == 404
    assert not list((tmp_path / "server" / "uploads").iterdir())
