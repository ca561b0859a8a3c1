"""The process of one job: ``python -m voxprior.web.worker FOLDER`` reads its request there and tells its progress.

Every line of stdout is one JSON object: ``{"done", "total"}`` on the way, ``{"outcome"}`` or ``{"error"}`` at the end.
The process ends when its stdin does, so that it never outlives the server.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxprior.errors import InputError

if TYPE_CHECKING:
    from voxprior.web.restoring import Done

REQUEST, INPUT, OUTPUT, VIEW = "request.json", "input", "output", "view"
"""Names in the folder of a job."""
BEFORE = "input.nii.gz"
SHOWN = ("seconds", "residual", "network_calls", "peak_memory_bytes", "warnings", "notice")
"""Values of the sidecar that the page shows."""
BETWEEN = 0.2
"""Seconds between two tellings of the progress."""


def main(folder: Path) -> int:
    """Do the job in ``folder`` and return the exit code: 0, 2 for what the user can mend, 1 otherwise."""
    tell = _teller()
    try:
        request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
        os.chdir(folder)  # so that no output holds the name of a folder
        Path(OUTPUT).mkdir()
        Path(VIEW).mkdir()
        from voxprior.web.restoring import restore

        tell({"outcome": outcome(restore(request, _progress(tell)))})
    except InputError as error:
        tell({"error": str(error)})
        return 2
    except MemoryError:
        tell({"error": "memory ran out; give a coarser spacing, or crop the scan"})
        return 1
    except Exception as error:
        tell({"error": f"failed unexpectedly ({type(error).__name__}); the command with -v shows where"})
        raise
    return 0


def outcome(done: Done) -> dict[str, Any]:
    """What the page needs of a finished job: its files, and figures of its sidecar.

    ``images``: one, or one a frame. ``before``: how many measured volumes there are to look at beside them.
    """
    names = sorted(path.name for path in Path(OUTPUT).iterdir())
    if done.before:
        from voxprior.io.outputs import write_volume
        from voxprior.volume import Volume

        for number, volume in enumerate(done.before, 1):
            write_volume(Path(VIEW) / before_name(number), Volume(volume.data, volume.affine, {}))
    values = done.written[0].values
    comparison = values.get("comparison") or {}
    certificate = values.get("certificate") or {}
    images = [one.target.name for one in done.written]
    return {
        "files": names,
        "image": images[0],
        "images": images,
        "before": len(done.before),
        "figures": {key: values[key] for key in SHOWN if values.get(key) is not None},
        "residuals": [one["residual"] for one in certificate.get("scans", ())],
        "comparison": comparison.get("methods", {}),
    }


def before_name(number: int) -> str:
    """Of a measured volume to look at, from 1."""
    return BEFORE if number == 1 else f"input-{number}.nii.gz"


def _teller() -> Callable[[dict[str, Any]], None]:
    """Write objects to what was stdout; whatever else is printed goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(values: dict[str, Any]) -> None:
        out.write(json.dumps(values) + "\n")
        out.flush()

    return tell


def _progress(tell: Callable[[dict[str, Any]], None]) -> Callable[[int, int], None]:
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= BETWEEN or done == total:
            last = now
            tell({"done": done, "total": total})

    return progress


def _end_with_server() -> None:
    while os.read(0, 1):  # not through sys.stdin, whose lock would be missed when the interpreter ends
        pass
    os._exit(130)


def _give_way() -> None:
    """Where memory runs out, the system shall end this process and not the server."""
    try:
        Path("/proc/self/oom_score_adj").write_text("900", encoding="ascii")
    except OSError:
        return


if __name__ == "__main__":
    threading.Thread(target=_end_with_server, daemon=True).start()
    _give_way()
    raise SystemExit(main(Path(sys.argv[1])))
