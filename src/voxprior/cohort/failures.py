"""What is kept of scans that failed, for the page of the group: a file each, so that runs side by side lose nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from voxprior.cohort.member import Outcome
from voxprior.io.outputs import Transaction, write_json

FOLDER = Path("logs/failures")


def note_failures(out: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the failures among ``outcomes`` into ``out``, and forget those of scans that have a result now.

    Scans of other runs are not touched, whether those are over or work at the same time; of two runs of one scan the
    last one counts.
    """
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for outcome in outcomes:
        path = folder / f"{outcome.name}.json"
        if outcome.error is None:
            path.unlink(missing_ok=True)
            continue
        with Transaction(True) as transaction:
            write_json(transaction.path(path), {"name": outcome.name, "error": outcome.error})


def known_failures(out: Path) -> dict[str, str]:
    """Name of every scan in ``out`` that failed when it was last tried, and why; what is no note is passed over."""
    found = {}
    for path in sorted((out / FOLDER).glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(path.read_text(encoding="utf-8"))
            found[str(values["name"])] = str(values["error"])
    return found
