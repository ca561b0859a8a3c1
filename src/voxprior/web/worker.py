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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxprior.errors import InputError

if TYPE_CHECKING:
    from voxprior.jobs.files import Written
    from voxprior.volume import Volume

REQUEST, INPUT, OUTPUT, VIEW = "request.json", "input", "output", "view"
"""Names in the folder of a job."""
TARGET, BEFORE, REPORT, SERIES = "restored.nii.gz", "input.nii.gz", "report.html", "restored-dicom.zip"
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
        written, before = restore(request, _progress(tell))
        tell({"outcome": outcome(written, before)})
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


def restore(request: dict[str, Any], progress: Callable[[int, int], None]) -> tuple[Written, Volume | None]:
    """Run the job that ``request`` names; what was written, and the measured volume where there is one to look at."""
    from voxprior.web.form import parse

    options, asked = parse(request["job"], request["options"])
    source = Path(INPUT) / request["scan"] if request["scan"] else Path()
    return _JOBS[request["job"]](source, options, asked, progress)


def outcome(written: Written, before: Volume | None) -> dict[str, Any]:
    """What the page needs of a finished job: its files, and figures of its sidecar."""
    names = sorted(path.name for path in Path(OUTPUT).iterdir())
    if before is not None:
        from voxprior.io.outputs import write_volume
        from voxprior.volume import Volume

        write_volume(Path(VIEW) / BEFORE, Volume(before.data, before.affine, {}))
    values = written.values
    comparison = values.get("comparison") or {}
    return {
        "files": names,
        "image": written.target.name,
        "before": before is not None,
        "figures": {key: values[key] for key in SHOWN if values.get(key) is not None},
        "comparison": comparison.get("methods", {}),
    }


def _sr(source: Path, options: Any, asked: Any, progress: Any) -> tuple[Written, Volume]:
    from voxprior.jobs.options import DicomOptions
    from voxprior.jobs.sr_request import SrRequest, prepare

    series = source.is_dir()
    target = Path(OUTPUT) / ("series" if series else TARGET)
    dicom = DicomOptions(dicom=series, series=asked.series)
    request = SrRequest(source, target, options, asked.simulate, True, _report(), factor=asked.factor, dicom=dicom)
    prepared = prepare(request)
    (frame,) = prepared.frames
    from voxprior.jobs.sr_files import run

    (written,) = run(prepared, progress)
    return _handed_over(written, target) if series else written, frame.volume


def _enhance(source: Path, options: Any, asked: Any, progress: Any) -> tuple[Written, Volume]:
    from voxprior.jobs.enhance_request import EnhanceRequest, prepare
    from voxprior.jobs.options import DicomOptions

    series = source.is_dir()
    target = Path(OUTPUT) / ("series" if series else TARGET)
    dicom = DicomOptions(dicom=series, series=asked.series)
    prepared = prepare(EnhanceRequest(source, target, options, asked.simulate, True, _report(), dicom=dicom))
    (frame,) = prepared.frames
    from voxprior.jobs.enhance_files import run

    (written,) = run(prepared, progress)
    return _handed_over(written, target) if series else written, frame.volume


def _handed_over(written: Written, series: Path) -> Written:
    """A derived DICOM series as a zip, with a NIfTI for the viewer."""
    from voxprior.web.series import hand_over

    hand_over(series, Path(OUTPUT) / TARGET, Path(OUTPUT) / SERIES)
    return replace(written, target=Path(OUTPUT) / TARGET)


def _recon(source: Path, options: Any, asked: Any, progress: Any) -> tuple[Written, Volume | None]:
    from voxprior.jobs.options import DicomOptions
    from voxprior.jobs.recon_request import ReconRequest, prepare

    dicom = DicomOptions(series=asked.series)
    target = Path(OUTPUT) / TARGET
    prepared = prepare(ReconRequest(source, target, options, asked.simulate, True, _report(), dicom=dicom))
    from voxprior.jobs.recon_files import run

    (written,) = run(prepared, progress)
    return written, None


def _ct(source: Path, options: Any, asked: Any, progress: Any) -> tuple[Written, Volume | None]:
    from voxprior.jobs.ct_request import CtRequest, prepare
    from voxprior.jobs.options import DicomOptions

    dicom = DicomOptions(series=asked.series)
    given = source, Path(OUTPUT) / TARGET, options, asked.simulate, True, _report()
    prepared = prepare(CtRequest(*given, views=asked.views, photons=asked.photons, dicom=dicom))
    from voxprior.jobs.ct_files import run

    (written,) = run(prepared, progress)
    return written, None if prepared.simulation is None else prepared.simulation.truth


def _generate(source: Path, options: Any, asked: Any, progress: Any) -> tuple[Written, None]:
    from voxprior.jobs.generate_request import GenerateRequest, prepare

    prepared = prepare(GenerateRequest(source, Path(OUTPUT) / TARGET, options, force=True))
    from voxprior.jobs.generate import run

    (written,) = run(prepared, progress)
    return written, None


_JOBS: dict[str, Callable[[Path, Any, Any, Any], tuple[Any, Any]]] = {
    "sr": _sr,
    "recon": _recon,
    "ct": _ct,
    "enhance": _enhance,
    "generate": _generate,
}


def _report() -> Path:
    return Path(OUTPUT) / REPORT


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
