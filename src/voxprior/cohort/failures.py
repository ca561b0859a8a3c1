"""What is kept of scans that failed, for the page of the group: a file each, so that runs side by side lose nothing."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from voxprior.cohort.member import Outcome
from voxprior.io.outputs import write_json
from voxprior.io.transaction import PREFIX

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
        staged = folder / f"{PREFIX}{secrets.token_hex(8)}.json"
        write_json(staged, {"name": outcome.name, "error": outcome.error})
        os.replace(staged, path)  # whole or not at all, also where another run takes the same note away


def known_failures(out: Path) -> dict[str, str]:
    """Name of every scan in ``out`` that failed when it was last tried, and why; what is no note is passed over."""
    found = {}
    for path in sorted((out / FOLDER).glob("sub-*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(path.read_text(encoding="utf-8"))
            found[str(values["name"])] = str(values["error"])
    return found
