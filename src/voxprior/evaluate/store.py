"""Results as JSON lines: one a case and method, appended whole, found again by a key of what they depend on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def key_of(parts: Mapping[str, Any]) -> str:
    """A short digest of ``parts`` (JSON values): equal keys mean that a result need not be made again."""
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Store:
    """The file of results at ``path``; several processes may append to it.

    A line that a killed run left unfinished is passed over, so that its case is made again. A line is durable
    before :meth:`append` returns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> list[dict[str, Any]]:
        """All finished results, oldest first."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return found

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one result in a single write."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(record, sort_keys=True, allow_nan=False) + "\n"
        torn = self.path.exists() and self.path.stat().st_size > 0 and self._last_byte() != b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, (("\n" if torn else "") + line).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _last_byte(self) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1)
