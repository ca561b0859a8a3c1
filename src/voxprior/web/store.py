"""The queue: one SQLite file, which a restart of the server finds as it was."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voxprior.errors import InputError

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
"""States of a job."""
ENDED = (DONE, FAILED, CANCELLED)
MOST_STARTS = 2
"""A job that was running when the server died twice is what kills it."""

_TABLE = """
create table if not exists jobs (
    number integer primary key autoincrement,
    id text unique not null,
    state text not null,
    request text not null,
    message text not null default '',
    outcome text not null default '{}',
    starts integer not null default 0,
    created real not null,
    changed real not null
)
"""


@dataclass(frozen=True)
class Job:
    """A row of the queue. ``request``: what was asked; ``outcome``: files and figures of what is done."""

    number: int
    id: str
    state: str
    request: Mapping[str, Any]
    message: str
    outcome: Mapping[str, Any] = field(default_factory=dict)
    starts: int = 0
    created: float = 0.0
    changed: float = 0.0


class Store:
    """Jobs in the file ``path``, which one server has for itself; raises :class:`InputError` if another has it."""

    def __init__(self, path: Path) -> None:
        try:
            # Opened by whoever makes the server, used by its event loop alone.
            self._file = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
            self._file.execute("pragma locking_mode = exclusive")
            self._file.execute("begin exclusive")
            self._file.execute(_TABLE)
            self._file.execute("commit")
        except sqlite3.OperationalError as error:
            raise InputError(
                f"{path.name}: cannot be opened ({error}); another voxprior serve may be using this folder: "
                "end it, or give another --folder"
            ) from None
        except sqlite3.DatabaseError:
            raise InputError(f"{path.name}: not a queue of voxprior serve; give another --folder") from None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def recover(self) -> None:
        """Put back what was running when the last server ended; give up what was running too often."""
        now = time.time()
        reason = "the server ended while this ran, more than once; memory may be too small for it"
        self._file.execute(
            "update jobs set state = ?, message = ?, changed = ? where state = ? and starts >= ?",
            (FAILED, reason, now, RUNNING, MOST_STARTS),
        )
        self._file.execute("update jobs set state = ?, changed = ? where state = ?", (WAITING, now, RUNNING))

    def add(self, id: str, request: Mapping[str, Any]) -> Job:
        """A new job at the end of the queue."""
        now = time.time()
        self._file.execute(
            "insert into jobs (id, state, request, created, changed) values (?, ?, ?, ?, ?)",
            (id, WAITING, json.dumps(request), now, now),
        )
        found = self.find(id)
        assert found is not None
        return found

    def find(self, id: str) -> Job | None:
        """The job ``id``, or None."""
        return next(self._rows("where id = ?", id), None)

    def all(self) -> list[Job]:
        """Every job, the newest first."""
        return list(self._rows("order by number desc"))

    def waiting(self) -> int:
        """How many jobs wait."""
        (count,) = self._file.execute("select count(*) from jobs where state = ?", (WAITING,)).fetchone()
        return int(count)

    def start_next(self) -> Job | None:
        """Mark the oldest waiting job as running and return it; None when there is none."""
        job = next(self._rows("where state = ? order by number limit 1", WAITING), None)
        if job is None:
            return None
        self._file.execute(
            "update jobs set state = ?, starts = starts + 1, message = '', changed = ? where id = ?",
            (RUNNING, time.time(), job.id),
        )
        return self.find(job.id)

    def finish(self, id: str, state: str, message: str = "", outcome: Mapping[str, Any] | None = None) -> None:
        """The job ``id`` has ended, or goes back to the queue."""
        self._file.execute(
            "update jobs set state = ?, message = ?, outcome = ?, changed = ? where id = ?",
            (state, message, json.dumps(outcome or {}), time.time(), id),
        )

    def remove(self, id: str) -> None:
        """Forget the job ``id``."""
        self._file.execute("delete from jobs where id = ?", (id,))

    def _rows(self, clause: str, *values: Any) -> Iterator[Job]:
        columns = "number, id, state, request, message, outcome, starts, created, changed"
        # Every clause is a constant of this file; what users send are values.
        for row in self._file.execute(f"select {columns} from jobs {clause}", values).fetchall():
            number, id, state, request, message, outcome, *rest = row
            yield Job(number, id, state, json.loads(request), message, json.loads(outcome), *rest)
