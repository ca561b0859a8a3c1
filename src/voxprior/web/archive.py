"""A zip of DICOM files is taken apart under names of our own, and no further than the limits."""

from __future__ import annotations

import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from voxprior.web.limits import Limits, Refused

CHUNK = 1 << 20
MOST_RATIO = 200
"""DICOM files shrink tenfold at most; beyond this, of more than SMALL bytes, it is a bomb."""
SMALL = 1 << 20
_ENCRYPTED = 0x1
_DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, NotImplementedError)


def unpack(path: Path, folder: Path, limits: Limits) -> int:
    """Write the members of the zip ``path`` into ``folder`` as 000001, 000002 ...; return their number.

    What the archive claims is checked before a byte is written, what it gives is counted while it is. Raises
    :class:`Refused` for a damaged or encrypted one, one that is too large, and for a name or link that leads outside.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.filename.endswith("/")]  # a name may be empty
            _require_sense(members, limits)
            _require_space(members, folder, limits)
            left = limits.unpacked
            for number, member in enumerate(members, 1):
                left -= _write(archive, member, folder / f"{number:06d}", left)
    except (*_DAMAGE, RuntimeError, ValueError, OSError):
        raise Refused(400, "the archive is damaged or of a kind that is not read; make a plain zip anew") from None
    return len(members)


def _require_sense(members: list[zipfile.ZipInfo], limits: Limits) -> None:
    if not members:
        raise Refused(400, "the archive is empty; give one with the DICOM files of a series")
    if len(members) > limits.members:
        raise Refused(413, f"the archive holds {len(members)} files; at most {limits.members} are taken")
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in "".join(name.parts[:1]):
            raise Refused(400, "a name in the archive leads outside of it; make a plain zip of the folder anew")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise Refused(400, "the archive holds a link; make a zip of the files themselves")
        if member.flag_bits & _ENCRYPTED:
            raise Refused(400, "the archive is encrypted; make one without a password")
        if member.file_size > max(SMALL, MOST_RATIO * member.compress_size):
            raise _bomb()
    if sum(member.file_size for member in members) > limits.unpacked:
        raise Refused(413, f"the archive unpacks to more than {limits.unpacked >> 20} MiB; give a single series")


def _require_space(members: list[zipfile.ZipInfo], folder: Path, limits: Limits) -> None:
    if shutil.disk_usage(folder).free - sum(member.file_size for member in members) < limits.free:
        raise Refused(507, "the archive does not fit on the disk; remove scans or results, or give a single series")


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    size = 0
    with archive.open(member) as stream, target.open("xb") as out:
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if size > left:
                raise Refused(413, "the archive unpacks to more than it may; give a single series")
            out.write(chunk)
    return size


def _bomb() -> Refused:
    return Refused(413, "the archive expands like no scan does; give the DICOM files themselves")
