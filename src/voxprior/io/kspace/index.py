"""Folders of hundreds of k-space files: what each holds is remembered, so that it is opened only once."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxprior.errors import InputError
from voxprior.io.kspace.file import KspaceFile
from voxprior.io.kspace.reading import READERS, kspace_suffix, open_kspace
from voxprior.io.names import shown

VERSION = 1
"""Of the cache's layout and of the readers: raise it when either changes what an entry says."""


@dataclass(frozen=True)
class Entry:
    """A file of the folder: its name, what :class:`KspaceFile` says of it, or the ``fault`` for which it is refused."""

    name: str
    kind: str = ""
    slices: int = 0
    coils: int = 0
    shape: tuple[int, ...] = ()
    fault: str | None = None


@dataclass(frozen=True)
class SliceIndex:
    """The k-space files of ``folder`` in the order of their names; ``read`` counts those that had to be opened."""

    folder: Path
    entries: tuple[Entry, ...]
    read: int

    @property
    def faults(self) -> tuple[str, ...]:
        """One line for each file that cannot be used."""
        return tuple(entry.fault for entry in self.entries if entry.fault is not None)

    def __len__(self) -> int:
        return sum(entry.slices for entry in self.entries)

    def __iter__(self) -> Iterator[tuple[Path, int]]:
        """Every slice: the file, and the number of the slice in it."""
        for entry in self.entries:
            for index in range(entry.slices):
                yield self.folder / entry.name, index

    def locate(self, position: int) -> tuple[Path, int]:
        """File and slice at ``position`` of the whole folder; IndexError beyond the last."""
        if position >= 0:
            for entry in self.entries:
                if position < entry.slices:
                    return self.folder / entry.name, position
                position -= entry.slices
        raise IndexError("no such slice in the folder")


def index_folder(folder: Path, cache: Path | None = None) -> SliceIndex:
    """The slices of all k-space files in ``folder``, without its folders; nothing is written into it.

    What is known of a file of the same name, size and time of change is taken from ``cache`` (a folder; default
    :func:`cache_folder`), whose file is made anew when it is damaged, and left out when it cannot be written. Raises
    :class:`InputError` when there is no such folder or no k-space in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{shown(folder)}: no such folder; check the name")
    paths = sorted(p for p in folder.iterdir() if _is_candidate(p))
    if not paths:
        raise InputError(f"{shown(folder)}: no k-space file in it; give one of {', '.join(sorted(READERS))}")
    store = (cache or cache_folder()) / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]}.json"
    known = _load(store)
    entries, kept, read = [], {}, 0
    for path in paths:
        stamp = _stamp(path)
        entry = known.get((path.name, stamp))
        if entry is None:
            entry, read = _inspect(path), read + 1
        entries.append(entry)
        kept[path.name, stamp] = entry
    if kept != known:
        _save(store, kept)
    return SliceIndex(folder, tuple(entries), read)


def cache_folder() -> Path:
    """Where the user's system keeps what can be made anew, in a folder of this package."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "voxprior" / "kspace"


Stamp = tuple[int, int]
Known = dict[tuple[str, Stamp], Entry]


def _is_candidate(path: Path) -> bool:
    """The header of a pair stands for both."""
    suffix = kspace_suffix(path)
    alone = suffix != ".hdr" or not path.with_suffix(".cfl").exists()
    return suffix is not None and alone and not path.name.startswith(".") and path.is_file()


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    pair = path.with_suffix(".hdr")
    if path.suffix.lower() == ".cfl" and pair.exists():
        other = pair.stat()
        return status.st_size + other.st_size, max(status.st_mtime_ns, other.st_mtime_ns)
    return status.st_size, status.st_mtime_ns


def _inspect(path: Path) -> Entry:
    try:
        with open_kspace(path) as file:
            return _entry(path.name, file)
    except InputError as error:
        return Entry(path.name, fault=str(error))


def _entry(name: str, file: KspaceFile) -> Entry:
    return Entry(name, file.kind, file.slices, file.coils, file.shape)


def _load(store: Path) -> Known:
    """Entries of the cache by name and stamp; none at all when anything about it is not as written."""
    try:
        values = json.loads(store.read_bytes())
        if values["version"] != VERSION:
            return {}
        return {(e["entry"]["name"], (e["stamp"][0], e["stamp"][1])): _checked(e["entry"]) for e in values["files"]}
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return {}


def _checked(values: Mapping[str, Any]) -> Entry:
    shape = tuple(values["shape"])
    numbers = (values["slices"], values["coils"], *shape)
    texts = (values["name"], values["kind"], values["fault"] or "")
    if not all(isinstance(n, int) and n >= 0 for n in numbers) or not all(isinstance(t, str) for t in texts):
        raise TypeError("not an entry")
    return Entry(values["name"], values["kind"], values["slices"], values["coils"], shape, values["fault"])


def _save(store: Path, entries: Known) -> None:
    """Write the cache whole or not at all; a disk that is full or read-only only makes the next run slower."""
    files = [{"stamp": list(stamp), "entry": asdict(entry)} for (_, stamp), entry in entries.items()]
    partial = store.with_name(f"{store.name}.{os.getpid()}")
    with suppress(OSError):
        store.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(json.dumps({"version": VERSION, "files": files}), encoding="utf-8")
            partial.replace(store)
        finally:
            partial.unlink(missing_ok=True)
