"""A zip from a stranger."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from voxprior.web.archive import unpack
from voxprior.web.limits import Limits, Refused

LIMITS = Limits(unpacked=4 << 20, members=10)


def _zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def _refused(path: Path, folder: Path) -> Refused:
    folder.mkdir()
    before = {p for p in folder.parent.rglob("*") if p != folder}
    with pytest.raises(Refused) as caught:
        unpack(path, folder, LIMITS)
    after = {p for p in folder.parent.rglob("*") if p != folder and folder not in p.parents}
    assert after == before, "something was written outside of the folder"
    return caught.value


def test_members_get_names_of_our_own(tmp_path: Path) -> None:
    """Guards what is shown and stored: a patient's name in a file name goes no further than the archive."""
    path = _zip(tmp_path / "a.zip", ("DOE^JANE/IM1", b"one"), ("DOE^JANE/IM2", b"two"))
    inner = tmp_path / "inner"
    inner.mkdir()
    assert unpack(path, inner, LIMITS) == 2
    assert {p.name: p.read_bytes() for p in inner.iterdir()} == {"000001": b"one", "000002": b"two"}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "..\\x", "C:\\x", "C:/x", "a\\..\\..\\x"])
def test_a_name_that_leads_outside_is_refused(name: str, tmp_path: Path) -> None:
    """Guards against zip slip: nothing is written, inside or outside."""
    info = zipfile.ZipInfo("x")
    info.filename = name
    error = _refused(_zip(tmp_path / "a.zip", (info, b"evil")), tmp_path / "inner")
    assert error.status == 400
    assert not list((tmp_path / "inner").iterdir())


def test_a_link_is_refused(tmp_path: Path) -> None:
    """Guards against a symbolic link through which the next member would be written or read."""
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    assert "link" in _refused(_zip(tmp_path / "a.zip", (info, b"/etc/passwd")), tmp_path / "inner").reason


def test_a_bomb_is_refused_by_what_it_claims(tmp_path: Path) -> None:
    """Guards disk and memory: zeros that shrink a thousandfold are no scan, and nothing of them is unpacked."""
    error = _refused(_zip(tmp_path / "a.zip", ("zeros", bytes(3 << 20))), tmp_path / "inner")
    assert error.status == 413
    assert not list((tmp_path / "inner").iterdir())


def test_many_members_that_are_too_much_together_are_refused(tmp_path: Path) -> None:
    """Guards the sum: each member alone is small enough."""
    members = [(f"{n}", bytes(1 << 20)) for n in range(5)]
    assert _refused(_zip(tmp_path / "a.zip", *members), tmp_path / "inner").status == 413


def test_a_bomb_that_lies_about_its_size_does_not_get_further(tmp_path: Path) -> None:
    """Guards the count while unpacking: the directory says 10 bytes, the data are 3 MiB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(3 << 20))
    data = bytearray(stream.getvalue())
    size = struct.pack("<I", 3 << 20)
    while (at := data.find(size)) >= 0:
        data[at : at + 4] = struct.pack("<I", 10)
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    _refused(path, tmp_path / "inner")
    assert sum(p.stat().st_size for p in (tmp_path / "inner").iterdir()) <= 10


def test_too_many_members_an_empty_and_a_damaged_archive_are_refused(tmp_path: Path) -> None:
    """Guards against a million empty files, and says what is wrong with the others."""
    many = _zip(tmp_path / "many.zip", *((f"{n}", b"x") for n in range(11)))
    assert _refused(many, tmp_path / "a").status == 413
    assert "empty" in _refused(_zip(tmp_path / "none.zip"), tmp_path / "b").reason
    cut = tmp_path / "cut.zip"
    cut.write_bytes(many.read_bytes()[:200])
    assert "damaged" in _refused(cut, tmp_path / "c").reason


@pytest.mark.parametrize("name", ["", ".", "./", "a/"])
def test_a_name_that_is_none_is_no_crash(name: str, tmp_path: Path) -> None:
    """Guards the server: a name without a last part is a file like any other, or a folder, and gets our own name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("X", b"one")
        archive.writestr("Y", b"two")
    path = tmp_path / "a.zip"
    path.write_bytes(_renamed(stream.getvalue(), b"X", name.encode()))
    inner = tmp_path / "inner"
    inner.mkdir()
    assert unpack(path, inner, LIMITS) == (1 if name.endswith("/") else 2)
    assert {p.name for p in inner.iterdir()} <= {"000001", "000002"}


def _renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """A zip whose first member is called otherwise, in both places."""
    shift = len(new) - len(old)
    at = 30  # where the name begins; the bytes before hold the time, which may look like any name
    assert data[at : at + len(old)] == old
    data = data[:26] + struct.pack("<H", len(new)) + data[28:at] + new + data[at + len(old) :]
    start = data.index(b"PK\x01\x02")
    name = start + 46
    data = data[: start + 28] + struct.pack("<H", len(new)) + data[start + 30 : name] + new + data[name + len(old) :]
    second = data.index(b"PK\x01\x02", start + 4)
    (offset,) = struct.unpack_from("<I", data, second + 42)
    data = data[: second + 42] + struct.pack("<I", offset + shift) + data[second + 46 :]
    end = data.index(b"PK\x05\x06")
    size, begin = struct.unpack_from("<II", data, end + 12)
    return data[: end + 12] + struct.pack("<II", size + shift, begin + shift) + data[end + 20 :]


def test_what_does_not_fit_on_the_disk_is_not_unpacked(tmp_path: Path) -> None:
    """Guards the disk: what an archive grows to counts, not what it was sent as."""
    folder = tmp_path / "inner"
    folder.mkdir()
    with pytest.raises(Refused) as caught:
        unpack(_zip(tmp_path / "a.zip", ("x", b"content")), folder, Limits(free=1 << 62))
    assert caught.value.status == 507 and not list(folder.iterdir())


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    """Guards the message: nobody asks for the password, so say so."""
    path = _zip(tmp_path / "a.zip", ("x", b"content"))
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in _refused(path, tmp_path / "inner").reason
