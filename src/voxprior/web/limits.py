"""What the server takes at most, and a refusal that a browser can show."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """Bytes, counts and hours.

    ``upload``: bytes of one upload as it is sent, be it one scan or several. ``unpacked``: bytes of the members of its
    archives. ``members``: its files. ``scans``: that it may hold. ``stored``: bytes of all uploads together. ``free``:
    bytes that stay free on the disk. ``uploads``: kept at once. ``waiting``: jobs in the queue. ``keep_hours``: until
    finished jobs and unused uploads are removed.
    """

    upload: int = 4 * GIB
    unpacked: int = 8 * GIB
    members: int = 20_000
    scans: int = 256
    stored: int = 32 * GIB
    free: int = GIB
    uploads: int = 512
    waiting: int = 256
    keep_hours: float = 24.0


class Refused(Exception):
    """A request that is not carried out: an HTTP status, and one line that says why and what to do."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
