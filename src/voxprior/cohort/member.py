"""One scan of a cohort, wherever it is restored: in this process or in a worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from voxprior.cohort.dataset import Member, thickness_of
from voxprior.cohort.derivatives import is_finished, rename, settings_digest
from voxprior.errors import InputError
from voxprior.jobs.failure import reported, without_folders
from voxprior.jobs.options import SrOptions
from voxprior.jobs.sr_request import SrRequest, prepare

State = Literal["restored", "finished earlier", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a scan: the values of its sidecar, or why there are none."""

    name: str
    state: State
    values: Mapping[str, Any] | None = None
    error: str | None = None


def restore_member(member: Member, out: Path, options: SrOptions) -> Outcome:
    """Restore one scan to its derivatives in ``out``, unless that is done; what a user can mend is an outcome.

    Anything else is raised, for the caller to try again. The method keeps its weights from one scan to the next.
    """
    digest = settings_digest(member, options)
    if is_finished(member, out, digest):
        return Outcome(member.name, "finished earlier")
    target = member.target(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    page = out / member.folder.parts[0] / "figures" / f"{member.name}.html"
    page.parent.mkdir(exist_ok=True)
    own = options
    thickness = thickness_of(member)
    if thickness is not None and options.thickness is None and options.gap is None:
        own = options.model_copy(update={"thickness": thickness})
    request = SrRequest(member.source, target, own, force=True, report=page)
    try:
        with reported("sr", request):
            prepared = prepare(request)
            from voxprior.jobs.sr_files import run

            (written,) = run(prepared)
    except InputError as error:
        return Outcome(member.name, "failed", error=without_folders(str(error), request))
    return Outcome(member.name, "restored", rename(member, out, written.values, digest))


def forget(folders: Iterable[Path]) -> None:
    """Remove what an interrupted run left half-done in ``folders`` of subjects; others may be worked on elsewhere."""
    for path in [path for folder in folders for path in folder.rglob(".voxprior-*")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
