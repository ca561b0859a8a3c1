"""Scans on their way in: streamed to the disk under names of our own, counted, and removed when nobody needs them."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from voxprior.web.limits import Limits, Refused
from voxprior.web.settling import Scan, settle

ID = re.compile("[0-9a-f]{16}")


@dataclass
class _Held:
    """An upload: bytes of each group of files as they were sent and as they are stored, and the scans they are.

    ``files``: given numbers so far. ``busy``: requests that are at it. ``settled``: groups that became ``scans``.
    """

    touched: float
    sent: dict[int, int] = field(default_factory=dict)
    stored: dict[int, int] = field(default_factory=dict)
    files: int = 0
    busy: int = 0
    settled: set[int] = field(default_factory=set)
    scans: list[Scan] = field(default_factory=list)


class Uploads:
    """The folder ``root`` of uploads; one has a folder of numbered parts for each group of files that came together."""

    def __init__(self, root: Path, limits: Limits) -> None:
        shutil.rmtree(root, ignore_errors=True)  # of an earlier server: jobs have links of their own
        root.mkdir(parents=True, mode=0o700)
        self.root, self.limits = root, limits
        self._held: dict[str, _Held] = {}

    def open(self) -> str:
        """A new upload; its id. Raises :class:`Refused` when there are too many, or the disk is full."""
        if len(self._held) >= self.limits.uploads:
            raise Refused(429, "too many scans are kept already; remove some, or wait")
        self._require_space(0)
        id = secrets.token_hex(8)
        (self.root / id).mkdir(mode=0o700)
        self._held[id] = _Held(time.monotonic())
        return id

    async def take(self, id: str, group: int, claimed: int | None, chunks: AsyncIterator[bytes]) -> int:
        """Write a file of the upload as it comes in; return its bytes. The files of a ``group`` belong together.

        Raises :class:`Refused` as soon as it is, or claims to be, larger than allowed; nothing of it is kept then.
        """
        held = self._find(id)
        if group in held.settled:
            raise Refused(409, "the scan is complete already; give the next another number, or start another upload")
        self._require_space(claimed or 0)
        self._require_room(id, claimed or 0)
        held.files += 1
        if held.files > self.limits.members:
            raise Refused(413, f"more than {self.limits.members} files at once are not taken; give fewer series")
        target = self.root / id / str(group) / f"{held.files:06d}"
        target.parent.mkdir(exist_ok=True)
        size = 0
        held.sent.setdefault(group, 0)
        held.stored.setdefault(group, 0)
        held.busy += 1
        try:
            with target.open("xb") as out:
                async for chunk in chunks:
                    self._require_room(id, len(chunk))
                    out.write(chunk)
                    size += len(chunk)
                    held.sent[group] += len(chunk)
                    held.stored[group] += len(chunk)
        except BaseException as error:  # also when the browser has gone in the middle
            target.unlink(missing_ok=True)
            held.sent[group] -= size
            held.stored[group] -= size
            if isinstance(error, OSError):
                raise Refused(507, f"the scan cannot be stored ({error.strerror}); free some space") from None
            raise
        finally:
            held.busy -= 1
            held.touched = time.monotonic()
        return size

    def settle(self, id: str) -> list[Scan]:
        """The files so far are complete: say which scans they are; raises :class:`Refused` for what is no scan.

        What was refused is removed, and so is the upload if nothing else is in it. More may follow in other groups.
        """
        held = self._find(id)
        if held.busy:
            raise Refused(409, "the scan is still coming in")
        fresh = sorted(group for group in held.sent if group not in held.settled)
        if not fresh and not held.scans:
            self.remove(id)
            raise Refused(400, "nothing was sent; give a scan")
        held.busy += 1  # so that nobody else settles or sweeps it meanwhile
        try:
            for group in fresh:
                self._settle(id, held, group)
        finally:
            held.busy -= 1
        self._find(id)  # it may have been removed meanwhile
        held.touched = time.monotonic()
        return held.scans

    def choose(self, id: str, numbers: Sequence[int]) -> list[tuple[int, Scan]]:
        """The settled scans of these ``numbers``, from 1; without numbers the only one."""
        held = self._find(id)
        if not held.scans:
            raise Refused(409, "the scan is not complete; finish its upload first")
        if not numbers and len(held.scans) > 1:
            raise Refused(400, f"the upload holds {len(held.scans)} scans; say which to use")
        if len(set(numbers)) < len(numbers) or not all(1 <= n <= len(held.scans) for n in numbers):
            raise Refused(400, f"scans have numbers from 1 to {len(held.scans)}; name each once")
        return [(n, held.scans[n - 1]) for n in numbers or [1]]

    def link(self, id: str, numbers: Sequence[int], folder: Path) -> list[str]:
        """Put these scans into the new ``folder`` of a job, without a copy where the disk allows it; their names."""
        chosen = self.choose(id, numbers)
        self._held[id].touched = time.monotonic()
        folder.mkdir(mode=0o700)
        names = []
        for number, scan in chosen:
            end = "" if len(chosen) == 1 else f"-{number}"
            names.append(f"scan{end}{scan.suffix}" if scan.suffix else f"dicom{end}")
            target = folder / names[-1]
            if scan.suffix:
                _link(scan.paths[0], target)
                continue
            target.mkdir()
            for path in scan.paths:
                _link(path, target / path.name)
        return names

    def remove(self, id: str) -> None:
        """Forget the upload and its files."""
        self._held.pop(id, None)
        if ID.fullmatch(id):
            shutil.rmtree(self.root / id, ignore_errors=True)

    def sweep(self) -> None:
        """Remove uploads that nobody has touched for as long as they are kept."""
        oldest = time.monotonic() - self.limits.keep_hours * 3600
        # scans are settled in other threads, which may forget one meanwhile
        for id in [id for id, held in list(self._held.items()) if held.touched < oldest and not held.busy]:
            self.remove(id)

    def _settle(self, id: str, held: _Held, group: int) -> None:
        folder = self.root / id / str(group)
        before = sum(held.stored[other] for other in held.settled)
        files = sum(len(scan.paths) for scan in held.scans)
        limits = self.limits
        left = replace(
            limits,
            unpacked=limits.unpacked - before,
            members=limits.members - files,
            scans=limits.scans - len(held.scans),
        )
        try:
            scans = settle(folder, left)
        except BaseException as error:
            if isinstance(error, FileNotFoundError):
                self._find(id)  # it may have been removed meanwhile
            shutil.rmtree(folder, ignore_errors=True)
            del held.sent[group], held.stored[group]
            if not held.sent:
                self.remove(id)
            raise
        held.stored[group] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        held.settled.add(group)
        held.scans += scans

    def _find(self, id: str) -> _Held:
        held = self._held.get(id)
        if held is None:
            raise Refused(404, "there is no such upload (any more); give the scan again")
        return held

    def _require_room(self, id: str, more: int) -> None:
        if sum(self._find(id).sent.values()) + more > self.limits.upload:
            most = f"{self.limits.upload >> 20} MiB"
            raise Refused(413, f"scans of more than {most} together are not taken; crop them, or use the command")
        if sum(sum(held.stored.values()) for held in list(self._held.values())) + more > self.limits.stored:
            raise Refused(507, "too much is stored already; remove scans or results, or wait")

    def _require_space(self, more: int) -> None:
        if shutil.disk_usage(self.root).free - more < self.limits.free:
            raise Refused(507, "the disk is nearly full; remove scans or results")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
