"""A folder of scans, one after the other: a bad one is listed, and the others are restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.names import result_suffix, shown
from voxprior.io.outputs import Transaction, sidecar_path
from voxprior.jobs.failure import without_folders
from voxprior.jobs.files import Files, Written, write_report
from voxprior.jobs.folder import make_folder
from voxprior.jobs.options import require_method
from voxprior.jobs.request import Request, require_report_name
from voxprior.methods.result import Progress
from voxprior.report.html import Entry


@dataclass(frozen=True)
class Member:
    """What became of one scan: its outputs, or why there are none; ``title``: how it is told of, see :class:`Task`."""

    source: Path
    written: tuple[Written, ...] = ()
    error: str | None = None
    title: str | None = None

    @property
    def name(self) -> str:
        """How a summary calls it."""
        return self.title or self.source.name


@dataclass(frozen=True)
class Task:
    """One scan of a folder: what its output is called, where it is, and what is wrong with it already.

    ``title``: how it is told of, if not by its file name. ``series``: UID, of a DICOM series.
    """

    name: str
    source: Path
    title: str | None = None
    series: str | None = None
    error: str | None = None


Ask = Callable[[Request, Task, Files], Request]
"""Of the request for all, a task and how the job goes through a folder: the request for that one."""
Watch = Callable[[str], AbstractContextManager[Progress | None]]
"""Given the title of a member, shows its progress."""


def run_batch(request: Request, watch: Watch, files: Files) -> Iterator[Member]:
    """Restore every scan in the folder ``request.source`` into the folder ``request.target``, under its own name.

    The method keeps its weights from one scan to the next. Raises :class:`InputError` when the folder holds no scan
    or the output folder cannot be used.
    """
    members = scans_in(request.source, files.suffixes)
    if not members:
        raise InputError(f"{shown(request.source)}: no scan in this folder; names end in {', '.join(files.suffixes)}")
    if request.target.exists() and not request.target.is_dir():
        raise InputError(f"{shown(request.target)}: not a folder; a folder of scans needs a folder for its outputs")
    require_method(files.job, request.options)
    require_report_name(request.report)
    if request.report is not None:
        Transaction(request.force).check([request.report])
    make_folder(request.target)
    yield from go_through(request, [Task(source.name, source) for source in members], watch, files, _named)


def go_through(
    request: Request, tasks: Sequence[Task], watch: Watch, files: Files, asked: Ask
) -> Iterator[Member]:
    """Do each of ``tasks`` as ``asked`` makes a request of it, tell of each, and write the report of all in the end."""
    entries: list[Entry] = []
    failures: dict[str, str] = {}
    seen: set[Path] = set()
    for number, task in enumerate(tasks, 1):
        with watch(f"{number}/{len(tasks)} {shown(Path(task.name))}") as progress:
            member = _attempt(request, task, files, seen, asked, progress)
        entries += [w.entry._replace(name=task.title) if task.title else w.entry for w in member.written]
        if member.error is not None:
            own = replace(request, source=task.source)  # its folder may be named after a patient, too
            failures[task.title or task.name] = without_folders(without_folders(member.error, own), request)
        yield member
    if request.report is not None:
        write_report(request.report, request.force, entries, failures)


def scans_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of ``folder`` itself that end in one of ``suffixes``, hidden files left out, by name."""
    try:
        found = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    except OSError as error:
        raise InputError(f"{shown(folder)}: cannot be read ({error.strerror}); check the folder") from None
    return [p for p in found if p.name.lower().endswith(suffixes)]


def _named(request: Request, task: Task, files: Files) -> Request:
    name = files.name(task.source)
    if request.dicom.dicom:  # a folder for a series is called as the file would be, but for its suffix
        name = name[: -len(result_suffix(Path(name)))]
    return replace(request, source=task.source, target=request.target / name, report=None)


def _attempt(
    request: Request,
    task: Task,
    files: Files,
    seen: set[Path],
    asked: Ask,
    progress: Progress | None,
) -> Member:
    source = task.source
    try:
        if task.error is not None:
            raise InputError(task.error)
        own = asked(request, task, files)
        beside = own.target if own.dicom.dicom else sidecar_path(own.target)
        if beside in seen:
            name = shown(own.target)
            raise InputError(f"{name}: another scan of the folder has this name and another suffix; rename it")
        seen.add(beside)
        written = files.restore(own, progress)
    except InputError as error:
        return Member(source, error=str(error), title=task.title)
    except Exception as error:  # one scan must not take the others with it
        reason = f"failed unexpectedly ({type(error).__name__}: {error})"
        return Member(source, error=f"{task.title or shown(source)}: {reason}", title=task.title)
    return Member(source, tuple(written), title=task.title)
