"""Images as they arrive over the network, gathered by series until a series is complete."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LINGER = 10.0
"""A sender may keep its association open: after so many quiet times a series counts as complete all the same."""
MOST_BYTES = 1 << 32
"""Of one series."""


@dataclass
class _Arriving:
    folder: Path
    last: float
    bytes: int = 0
    open: set[int] = field(default_factory=set)


class Inbox:
    """Folders of arriving series in ``folder``, named by a digest of the UID; safe to use from several threads.

    A series is complete when ``quiet`` seconds have passed without a new image, and the associations that sent it
    have ended. ``clock``: seconds that only grow.
    """

    def __init__(self, folder: Path, quiet: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.quiet, self._clock = folder, quiet, clock
        self._lock = threading.Lock()
        self._arriving: dict[str, _Arriving] = {}
        self._taken = 0

    def store(self, association: int, series: str, instance: str, content: bytes) -> bool:
        """Keep one image, a DICOM file, under the digest of its UID; False when the series has grown too large."""
        with self._lock:
            name = f"series-{_short(series)}"
            entry = self._arriving.setdefault(series, _Arriving(self.folder / name, 0.0))
            if entry.bytes + len(content) > MOST_BYTES:
                return False
            entry.folder.mkdir(parents=True, exist_ok=True)
            (entry.folder / f"{_short(instance)}.dcm").write_bytes(content)
            entry.bytes += len(content)
            entry.last = self._clock()
            entry.open.add(association)
            return True

    def ended(self, association: int) -> None:
        """The association is over, however it ended."""
        with self._lock:
            for entry in self._arriving.values():
                entry.open.discard(association)

    def take(self) -> Path | None:
        """The folder of the oldest complete series, which the caller now owns; None while there is none."""
        with self._lock:
            now = self._clock()
            complete = [
                (entry.last, series)
                for series, entry in self._arriving.items()
                if now - entry.last >= self.quiet * (LINGER if entry.open else 1.0)
            ]
            if not complete:
                return None
            entry = self._arriving.pop(min(complete)[1])
            self._taken += 1
            owned = self.folder / f"{self._taken:06d}" / entry.folder.name
            owned.parent.mkdir()
            entry.folder.rename(owned)
            return owned

    @property
    def waiting(self) -> int:
        """Series that are here and not complete, or not taken."""
        with self._lock:
            return len(self._arriving)


def _short(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:16]
