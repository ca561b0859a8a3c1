"""What a door asks for; what holds for the requests of every job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.names import shown
from voxprior.io.outputs import Transaction
from voxprior.jobs.options import SharedOptions


@dataclass(frozen=True)
class Request:
    """One restoration: ``source`` to ``target``.

    ``simulate``: the source is complete, and is to be degraded first. ``report``: HTML page to write.
    """

    source: Path
    target: Path
    options: SharedOptions
    simulate: bool = False
    force: bool = False
    report: Path | None = None


def is_batch(source: Path, simulate: bool) -> bool:
    """Whether ``source`` is a folder of scans; with --simulate a folder with .npy slices is one volume."""
    return source.is_dir() and not (simulate and any(p.suffix == ".npy" for p in source.iterdir()))


def require_report_name(report: Path | None) -> None:
    """Raise :class:`InputError` unless ``report`` is the name of a page."""
    if report is not None and report.suffix.lower() != ".html":
        raise InputError(f"--report {shown(report)}: must end in .html")


def require_source(source: Path) -> None:
    """Raise :class:`InputError` unless there is something at ``source``."""
    if not source.exists():
        raise InputError(f"{shown(source)}: no such file or folder; check the name")


def require_outputs(request: Request, inputs: Sequence[Path], wanted: Sequence[Path]) -> None:
    """Raise :class:`InputError` unless every file ``wanted``, and the report, can be written at the end."""
    report = [] if request.report is None else [request.report]
    Transaction(request.force, inputs).check([*wanted, *report])
