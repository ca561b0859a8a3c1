"""The files of a DICOM series, in a folder or a zip archive, which is never unpacked; without pydicom."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from voxprior.errors import InputError
from voxprior.io.names import IMAGE_SUFFIXES, shown

SUFFIXES = (".dcm", ".ima", ".dicom")
MOST_FILES = 50_000
MOST_BYTES = 1 << 30
"""Of one file: 4096 frames of 512 x 256 with 16 bits."""
MOST_ZIPPED = 1 << 32
"""Of all members of an archive, unpacked; they are read one by one and never lie on the disk."""
MAGIC_OFFSET, MAGIC = 128, b"DICM"


@dataclass(frozen=True)
class Entry:
    """A file that may be DICOM: its name for messages, its size, and how to open it for reading."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]

    def is_dicom(self) -> bool:
        """Whether the file has DICOM's mark after its preamble."""
        if self.size < MAGIC_OFFSET + len(MAGIC):
            return False
        with self.open() as stream:
            return stream.read(MAGIC_OFFSET + len(MAGIC))[MAGIC_OFFSET:] == MAGIC

    def content(self) -> bytes:
        """All bytes; :class:`InputError` when there are too many, or they are damaged."""
        if self.size > MOST_BYTES:
            raise InputError(f"{self.name}: {self.size} bytes, more than {MOST_BYTES} are not read; crop the series")
        with reading(self.name), self.open() as stream:
            return stream.read(MOST_BYTES + 1)


def is_dicom(path: Path) -> bool:
    """Whether ``path`` is DICOM by its bytes: a file, a zip archive, or a folder with more DICOM than other images.

    Converters leave an image or two among the slices; a folder of images is one even with a slice in it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            others = sum(p.name.lower().endswith(IMAGE_SUFFIXES) for p in path.iterdir())
            if others:
                return sum(_entry(p).is_dicom() for p in path.iterdir() if p.is_file()) > others
            with entries(path) as found:
                return any(entry.is_dicom() for entry in found)
        name = path.name.lower()
        if not path.is_file() or name.endswith(IMAGE_SUFFIXES):
            return False
        return name.endswith((".zip", *SUFFIXES)) or _entry(path).is_dicom()
    except (InputError, OSError):
        return False


@contextmanager
def entries(path: Path) -> Iterator[list[Entry]]:
    """The files of the folder or zip archive ``path``, or itself, by name; hidden ones are left out.

    Of a folder the files in it, or those below it where it holds no files of its own that are DICOM. Raises
    :class:`InputError` for an archive that is damaged, encrypted, too large, or names places outside itself.
    """
    path = Path(path)
    with reading(shown(path)):
        if path.is_dir():
            yield _folder(path)
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _members(archive, shown(path))
        elif path.name.lower().endswith(".zip"):
            raise InputError(f"{shown(path)}: not a zip archive, or one that is cut short; copy or export it again")
        else:
            yield [_entry(path)]


@contextmanager
def reading(name: str) -> Iterator[None]:
    """What goes wrong with the file ``name`` while it is read, as one line."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, UnicodeDecodeError):
        raise InputError(f"{name}: the archive is damaged, or packed in a way not known here; pack it again") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error}); check the file and the disk") from None


def _folder(folder: Path) -> list[Entry]:
    own = [_entry(p) for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    if any(entry.is_dicom() for entry in own):
        return own
    found: list[Path] = []
    for p in folder.rglob("*"):
        if p.is_file() and not p.name.startswith("."):
            found.append(p)
        if len(found) > MOST_FILES:
            raise InputError(f"{shown(folder)}: more than {MOST_FILES} files; name the folder of one series")
    return [_entry(p) for p in sorted(found)]


def _entry(path: Path) -> Entry:
    """``path`` under its name alone: folders are named after patients."""
    return Entry(shown(Path(path.name)), path.stat().st_size, lambda: path.open("rb"))


def _members(archive: zipfile.ZipFile, name: str) -> list[Entry]:
    members = [info for info in archive.infolist() if not info.filename.endswith("/")]  # a name may be empty
    if len(members) > MOST_FILES:
        raise InputError(f"{name}: holds more than {MOST_FILES} files; pack one series")
    for info in archive.infolist():
        _require_inside(info.filename, name)
        if info.flag_bits & 1:
            raise InputError(f"{name}: is encrypted; unpack it yourself and give the folder")
    total = sum(info.file_size for info in members)
    if total > MOST_ZIPPED:
        raise InputError(f"{name}: unpacks to {total} bytes, more than {MOST_ZIPPED} are not read; pack one series")
    wanted = [info for info in members if not PurePosixPath(info.filename).name.startswith(".")]
    return [
        Entry(shown(Path(PurePosixPath(info.filename).name)), info.file_size, partial(archive.open, info))
        for info in sorted(wanted, key=lambda info: info.filename)
    ]


def _require_inside(member: str, name: str) -> None:
    parts = PurePosixPath(member.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in member or "\0" in member:
        raise InputError(f"{name}: names a file outside the archive; do not trust it, pack the series again")
