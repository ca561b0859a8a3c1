"""Scans on their way in: streamed to the disk under names of our own, counted, and removed when nobody needs them."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from voxprior.web.archive import unpack
from voxprior.web.kinds import ARCHIVE, DICOM, kind_of, suffix_of
from voxprior.web.limits import Limits, Refused

ID = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class Scan:
    """A scan that is complete: its kind, the name of its file (or ``dicom``, a folder) and how many files it has."""

    kind: str
    name: str
    files: int


class Uploads:
    """The folder ``root`` of uploads; one is a folder of numbered parts until it is settled."""

    def __init__(self, root: Path, limits: Limits) -> None:
        shutil.rmtree(root, ignore_errors=True)  # of an earlier server: jobs have links of their own
        root.mkdir(parents=True, mode=0o700)
        self.root, self.limits = root, limits
        self._sizes: dict[str, int] = {}
        self._parts: dict[str, int] = {}
        self._scans: dict[str, Scan] = {}
        self._busy: dict[str, int] = {}
        self._touched: dict[str, float] = {}

    def open(self) -> str:
        """A new upload; its id. Raises :class:`Refused` when there are too many, or the disk is full."""
        if len(self._sizes) >= self.limits.uploads:
            raise Refused(429, "too many scans are kept already; remove some, or wait")
        self._require_space(0)
        id = secrets.token_hex(8)
        (self.root / id).mkdir(mode=0o700)
        self._sizes[id], self._parts[id], self._busy[id] = 0, 0, 0
        self._touched[id] = time.monotonic()
        return id

    async def take(self, id: str, claimed: int | None, chunks: AsyncIterator[bytes]) -> int:
        """Write a file of the upload as it comes in; return its bytes.

        Raises :class:`Refused` as soon as it is, or claims to be, larger than allowed; nothing of it is kept then.
        """
        self._require(id)
        if id in self._scans:
            raise Refused(409, "the scan is complete already; start another upload")
        self._require_space(claimed or 0)
        self._require_room(id, claimed or 0)
        self._parts[id] += 1
        if self._parts[id] > self.limits.members:
            raise Refused(413, f"a scan of more than {self.limits.members} files is not taken; give a single series")
        target = self.root / id / f"{self._parts[id]:06d}"
        size = 0
        self._busy[id] += 1
        try:
            with target.open("xb") as out:
                async for chunk in chunks:
                    self._require_room(id, len(chunk))
                    out.write(chunk)
                    size += len(chunk)
                    self._sizes[id] += len(chunk)
        except BaseException as error:  # also when the browser has gone in the middle
            target.unlink(missing_ok=True)
            if id in self._sizes:
                self._sizes[id] -= size
            if isinstance(error, OSError):
                raise Refused(507, f"the scan cannot be stored ({error.strerror}); free some space") from None
            raise
        finally:
            if id in self._busy:
                self._busy[id] -= 1
                self._touched[id] = time.monotonic()
        return size

    def settle(self, id: str) -> Scan:
        """The upload is complete: say what it is, and take an archive apart; raises :class:`Refused` for no scan."""
        self._require(id)
        if id in self._scans:
            return self._scans[id]
        if self._busy[id]:
            raise Refused(409, "the scan is still coming in")
        folder = self.root / id
        self._busy[id] += 1  # so that nobody else settles or sweeps it meanwhile
        try:
            scan = _settled(folder, self.limits)
        except BaseException:
            self.remove(id)
            raise
        finally:
            if id in self._busy:
                self._busy[id] -= 1
        self._require(id)  # it may have been removed meanwhile
        self._sizes[id] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        self._scans[id] = scan
        self._touched[id] = time.monotonic()
        return scan

    def link(self, id: str, folder: Path) -> Scan:
        """Put the settled scan ``id`` into the new ``folder`` of a job, without a copy where the disk allows it."""
        self.kind(id)
        self._touched[id] = time.monotonic()
        shutil.copytree(self.root / id, folder, copy_function=_link)
        return self._scans[id]

    def kind(self, id: str) -> str:
        """Of the settled scan ``id``."""
        self._require(id)
        if id not in self._scans:
            raise Refused(409, "the scan is not complete; finish its upload first")
        return self._scans[id].kind

    def remove(self, id: str) -> None:
        """Forget the upload and its files."""
        for table in (self._sizes, self._parts, self._scans, self._busy, self._touched):
            table.pop(id, None)
        if ID.fullmatch(id):
            shutil.rmtree(self.root / id, ignore_errors=True)

    def sweep(self) -> None:
        """Remove uploads that nobody has touched for as long as they are kept."""
        oldest = time.monotonic() - self.limits.keep_hours * 3600
        # scans are settled in other threads, which may forget one meanwhile
        for id in [id for id, when in list(self._touched.items()) if when < oldest and not self._busy.get(id)]:
            self.remove(id)

    def _require(self, id: str) -> None:
        if id not in self._sizes:
            raise Refused(404, "there is no such upload (any more); give the scan again")

    def _require_room(self, id: str, more: int) -> None:
        self._require(id)
        if self._sizes[id] + more > self.limits.upload:
            raise Refused(413, f"the scan is larger than {self.limits.upload >> 20} MiB; crop it, or use the command")
        if sum(self._sizes.values()) + more > self.limits.stored:
            raise Refused(507, "too much is stored already; remove scans or results, or wait")

    def _require_space(self, more: int) -> None:
        if shutil.disk_usage(self.root).free - more < self.limits.free:
            raise Refused(507, "the disk is nearly full; remove scans or results")


def _settled(folder: Path, limits: Limits) -> Scan:
    parts = sorted(folder.iterdir())
    if not parts:
        raise Refused(400, "nothing was sent; give a scan")
    suffix = suffix_of(parts[0])
    if len(parts) > 1:
        return _series(folder, parts)
    if suffix is None:
        raise Refused(415, "not a scan: give NIfTI, MGZ, DICOM (files, folder or zip), or k-space (h5, npz, mat)")
    kind = kind_of(suffix)
    if kind == ARCHIVE:
        inner = folder / "unpacked"
        inner.mkdir()
        unpack(parts[0], inner, limits)
        parts[0].unlink()
        scan = _series(folder, sorted(inner.iterdir()))
        shutil.rmtree(inner)
        return scan
    if kind == DICOM:
        return _series(folder, parts)
    parts[0].rename(folder / f"scan{suffix}")
    return Scan(kind, f"scan{suffix}", 1)


def _series(folder: Path, parts: list[Path]) -> Scan:
    """DICOM files among ``parts`` go into ``folder/dicom``; a lone other scan is taken for what it is."""
    found = {path: suffix_of(path) for path in parts}
    slices = [path for path, suffix in found.items() if suffix == ".dcm"]
    others = [path for path, suffix in found.items() if suffix is not None and kind_of(suffix) not in (DICOM, ARCHIVE)]
    if not slices and len(others) == 1:
        name = f"scan{found[others[0]]}"
        others[0].rename(folder / name)
        kept = Scan(kind_of(found[others[0]] or ""), name, 1)
    elif slices:
        (folder / "dicom").mkdir()
        for number, path in enumerate(slices, 1):
            path.rename(folder / "dicom" / f"{number:06d}.dcm")
        kept = Scan(DICOM, "dicom", len(slices))
    else:
        raise Refused(415, "no DICOM series and no single scan among the files; give one scan at a time")
    for path in parts:
        path.unlink(missing_ok=True)
    return kept


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
