"""A folder of k-space is opened once, and remembered outside of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.kspace import index_folder, open_kspace
from voxprior.io.kspace.index import cache_folder

Write = Callable[..., Path]


@pytest.fixture
def folder(write: Write, kspace: NDArray[np.complex64]) -> Path:
    """Four files of 3, 1, 3 and 2 slices, one that is none, and things that are no k-space."""
    write("fastmri", name="b", kspace=kspace)
    write("npy", name="c", kspace=kspace[0])
    write("cfl", name="d", kspace=kspace)
    path = write("npz", name="e", kspace=kspace[:2])
    write("npz", name="broken", data=kspace)
    (path.parent / "notes.txt").write_text("no k-space")
    (path.parent / ".hidden.npz").write_bytes(b"")
    (path.parent / "sub.h5").mkdir()
    return path.parent


def _state(folder: Path) -> list[tuple[str, int, int]]:
    return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))]


def test_every_slice_is_found_in_order(folder: Path, tmp_path: Path, kspace: NDArray[np.complex64]) -> None:
    """Slices of all files in the order of names; a pair of BART counts once, a bad file is listed and skipped."""
    index = index_folder(folder, tmp_path / "cache")
    expected = [("b.h5", i) for i in range(3)] + [("c.npy", 0)] + [("d.cfl", i) for i in range(3)]
    expected += [("e.npz", 0), ("e.npz", 1)]
    assert [(path.name, i) for path, i in index] == expected and len(index) == 9
    assert [(index.locate(n)[0].name, index.locate(n)[1]) for n in range(9)] == expected
    for position in (-1, 9):
        with pytest.raises(IndexError):
            index.locate(position)
    (fault,) = index.faults
    assert "broken.npz" in fault and "no variable kspace" in fault
    entry = next(e for e in index.entries if e.name == "e.npz")
    assert (entry.kind, entry.slices, entry.coils, entry.shape) == ("npz", 2, 4, (12, 10))
    path, number = index.locate(5)
    with open_kspace(path) as file:
        np.testing.assert_array_equal(file.read(number), kspace[1])


def test_files_are_opened_once_and_the_folder_is_left_alone(folder: Path, tmp_path: Path) -> None:
    """Hundreds of headers take minutes on a network; the second look takes none, and only changed files are opened."""
    before = _state(folder)
    assert index_folder(folder, tmp_path / "cache").read == 5
    again = index_folder(folder, tmp_path / "cache")
    assert again.read == 0 and len(again) == 9 and len(again.faults) == 1
    assert _state(folder) == before
    np.save(folder / "c.npy", np.ones((2, 4, 12, 10), np.complex64))
    header = folder / "d.hdr"
    os.utime(header, ns=(1, header.stat().st_mtime_ns + 5_000_000_000))
    (folder / "e.npz").unlink()
    index = index_folder(folder, tmp_path / "cache")
    assert index.read == 2 and len(index) == 8
    assert index_folder(folder, tmp_path / "cache").read == 0


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 1}', '{"version": 1, "files": 3}', '{"version": 99, "files": []}',
     '{"version": 1, "files": [{"stamp": [1], "entry": {}}]}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_cache_is_made_anew(content: str, folder: Path, tmp_path: Path) -> None:
    """A cache that was cut short must never be an error of the user."""
    index_folder(folder, tmp_path / "cache")
    (store,) = (tmp_path / "cache").iterdir()
    store.write_text(content)
    assert index_folder(folder, tmp_path / "cache").read == 5
    assert index_folder(folder, tmp_path / "cache").read == 0


@pytest.mark.parametrize("field", ["slices", "shape", "kind", "name"])
def test_a_cache_of_other_types_is_made_anew(field: str, folder: Path, tmp_path: Path) -> None:
    """What is read back is checked before it is believed."""
    index_folder(folder, tmp_path / "cache")
    (store,) = (tmp_path / "cache").iterdir()
    values = json.loads(store.read_text())
    values["files"][1]["entry"][field] = {"a": 1} if field == "shape" else [-1]
    store.write_text(json.dumps(values))
    assert index_folder(folder, tmp_path / "cache").read == 5


def test_a_cache_that_cannot_be_written_is_done_without(folder: Path, tmp_path: Path) -> None:
    """A read-only home makes the next run slower, nothing else; nothing is left half written."""
    (tmp_path / "cache").write_text("a file where a folder should be")
    for _ in range(2):
        assert index_folder(folder, tmp_path / "cache").read == 5
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("cache")] == ["cache"]


def test_the_cache_lies_where_the_system_keeps_such_things(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not in the folder of the data, and where users can tell it to be."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "voxprior" / "kspace"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "voxprior" / "kspace"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "voxprior" / "kspace"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache_folder() == tmp_path / "voxprior" / "kspace"


def test_folders_without_k_space(tmp_path: Path) -> None:
    """An empty folder and one that is not there are told apart."""
    with pytest.raises(InputError, match="no such folder"):
        index_folder(tmp_path / "none")
    with pytest.raises(InputError, match="no k-space file in it; give one of .cfl, .h5"):
        index_folder(tmp_path)
