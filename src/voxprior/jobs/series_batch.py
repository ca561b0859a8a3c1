"""A folder of DICOM series, one after the other, each to a derived series in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.dicom.studies import Found, find_series
from voxprior.io.names import shown
from voxprior.io.outputs import Transaction
from voxprior.io.scans import ANONYMOUS
from voxprior.jobs.batch import Member, Task, Watch, go_through
from voxprior.jobs.files import Files
from voxprior.jobs.folder import make_folder
from voxprior.jobs.options import require_method
from voxprior.jobs.request import Request, require_report_name


def run_series(request: Request, watch: Watch, files: Files) -> Iterator[Member]:
    """Restore every DICOM series in the folder ``request.source`` into a folder of its own in ``request.target``.

    A bad one is told of, and the others are restored. Raises :class:`InputError` when there is none or the output
    folder cannot be used.
    """
    found = find_series(request.source) if request.source.is_dir() else []
    if not found:
        raise InputError(f"{shown(request.source)}: no DICOM series in this folder; --dicom derives a series from one")
    if request.target.exists() and not request.target.is_dir():
        raise InputError(f"{shown(request.target)}: not a folder; several series need a folder for their outputs")
    if Path(os.path.realpath(request.target)).is_relative_to(os.path.realpath(request.source)):
        raise InputError(f"{shown(request.target)}: is the input, or in it; give the output another place")
    require_method(files.job, request.options)
    require_report_name(request.report)
    if request.report is not None:
        Transaction(request.force).check([request.report])
    make_folder(request.target)
    yield from go_through(request, [_task(one, k, len(found)) for k, one in enumerate(found, 1)], watch, files, _asked)


def _task(found: Found, number: int, count: int) -> Task:
    """Pages and summaries number the series: folders may be named after patients."""
    own = "" if found.number is None else f", series {found.number}"
    return Task(found.name, found.place, f"{ANONYMOUS} {number} of {count}{own}", found.uid, found.error)


def _asked(request: Request, task: Task, files: Files) -> Request:
    dicom = request.dicom.model_copy(update={"series": task.series})
    return replace(request, source=task.source, target=request.target / task.name, report=None, dicom=dicom)
