"""A report of a restoration that failed: what was asked for, and why there is no result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.dicom import is_dicom
from voxprior.io.names import shown
from voxprior.io.scans import ANONYMOUS
from voxprior.jobs.request import Request


@contextmanager
def reported(job: str, request: Request) -> Iterator[None]:
    """Write ``request.report``, if one is asked for, when what is done inside fails; the error goes on its way.

    An older page that may not be replaced stays. The page names files without their folders, which may be named after
    patients.
    """
    try:
        yield
    except Exception as error:
        if request.report is not None and request.report.suffix.lower() == ".html":
            with suppress(InputError, OSError):
                _write(job, request, request.report, _told(error, request))
        raise


def _write(job: str, request: Request, report: Path, error: str) -> None:
    from voxprior.io.transaction import Transaction
    from voxprior.jobs.sidecar import settings, versions
    from voxprior.report.html import failure_page

    name = request.target.name or request.source.name
    text = failure_page(name, job, error, settings(request.options), versions())
    with Transaction(request.force, request.sources) as out:
        out.path(report).write_text(text, encoding="utf-8")


def _told(error: Exception, request: Request) -> str:
    """One line of why."""
    line = " ".join(str(error).split())
    return without_folders(line if isinstance(error, InputError) else f"{type(error).__name__}: {line}", request)


def without_folders(line: str, request: Request) -> str:
    """``line`` with the files of ``request`` named without their folders, and DICOM not named at all."""
    for source in filter(is_dicom, request.sources):
        for path in (source, source.name):
            line = line.replace(shown(Path(path)), ANONYMOUS)
    for path in (*request.sources, request.target):
        for folder in {path, path.parent, path.parent.absolute(), path.parent.resolve()}:
            line = line.replace(f"{shown(folder)}/", "") if folder.name else line
    return line
