"""The process that lists DICOM series: ``python -m voxprior.web.look FOLDER`` prints them as one JSON list.

What a file claims of itself is believed here, where little memory may be had, and not in the server.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

MEMORY = 4 << 30
"""Bytes of address space; libraries take most of them."""
PATIENCE = 300.0
"""Seconds for a folder of many thousand files."""
_ALONE = threading.Lock()


def look(folder: Path) -> list[dict[str, Any]]:
    """The series among the DICOM files in ``folder``, by another process; none where they cannot be told.

    ``names`` (of files), ``number`` (of the series, or None), ``images``, and ``plane`` (or None).
    """
    command = [sys.executable, "-m", "voxprior.web.look", str(folder)]
    with _ALONE:  # one at a time, however many ask
        try:
            ended = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
            found: list[dict[str, Any]] = json.loads(ended.stdout)
        except (OSError, ValueError, subprocess.SubprocessError):
            return []
    return found


def listed(folder: Path) -> list[dict[str, Any]]:
    """The same, in this process; raises :class:`InputError` where there is no series."""
    from voxprior.io.dicom import list_series

    return [
        {
            "names": [entry.name for entry in series.members],
            "number": series.number,
            "images": series.images,
            "plane": _plane(series.members[0]),
        }
        for series in list_series(folder)
    ]


def _plane(entry: Any) -> str | None:
    import numpy as np

    from voxprior.io.dicom.datasets import read_tags
    from voxprior.web.glance import facing

    with entry.open() as stream:
        given = read_tags(stream, entry.name, ("ImageOrientationPatient",)).get("ImageOrientationPatient")
    try:
        row, column = np.array(given, dtype=float).reshape(2, 3)
    except (TypeError, ValueError):  # of multi-frame images it stands elsewhere
        return None
    normal = np.cross(row, column)
    return facing(normal) if np.isfinite(normal).all() and normal.any() else None


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    _limit()
    sys.stdout.write(json.dumps(listed(Path(sys.argv[1]))))
