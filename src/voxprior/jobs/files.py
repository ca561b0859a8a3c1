"""What all jobs share of their files: outputs that are complete or not there at all, and none left of earlier runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from voxprior.io.names import result_suffix
from voxprior.io.outputs import Transaction, sidecar_path
from voxprior.jobs.request import Request
from voxprior.methods.result import Progress
from voxprior.report.html import Entry, page

if TYPE_CHECKING:
    from voxprior.report.scene import Scene

MAPS = "std|interval|invented|input|phase|certificate|sample-[0-9]{2}|step-[0-9]{5,}"

Asked = TypeVar("Asked", bound=Request)


@dataclass(frozen=True)
class Written:
    """An output that is complete on the disk: the image, its sidecar's values, its preview (a PNG).

    ``scene``: what a report shows of it, if one was asked for.
    """

    target: Path
    values: Mapping[str, Any]
    picture: bytes
    scene: Scene | None = None

    @property
    def entry(self) -> Entry:
        """What a report says of it."""
        return Entry(self.target.name, self.values, self.picture, self.scene)


@dataclass(frozen=True)
class Files:
    """How a job goes from files to files, for those who have a folder of them.

    ``suffixes``: of its inputs. ``name``: what it calls the output of an input. ``restore``: does a request, and
    raises :class:`InputError`.
    """

    job: str
    suffixes: tuple[str, ...]
    name: Callable[[Path], str]
    restore: Callable[[Any, Progress | None], list[Written]]


def publish(
    request: Request, inputs: Sequence[Path], targets: Sequence[Path], restore: Callable[[Transaction], list[Written]]
) -> list[Written]:
    """Let ``restore`` write the outputs of ``targets``, and the report, all of them or none.

    Maps of an earlier run beside the targets that this one does not write are removed.
    """
    older = [path for target in targets for path in _earlier_maps(target)]
    with Transaction(request.force, inputs) as out:
        written = restore(out)
        if request.report is not None:
            out.path(request.report).write_text(page([w.entry for w in written]), encoding="utf-8")
    fresh = {w.target.parent / name for w in written for name in w.values["outputs"]}
    for path in older:  # only an allowed replacement gets here; maps of another run must not lie beside this one
        if path not in fresh:
            path.unlink(missing_ok=True)
    return written


def write_report(report: Path, force: bool, entries: Sequence[Entry], failures: Mapping[str, str]) -> None:
    """Write the page of a batch, atomically; ``failures``: names of scans without a result, and why."""
    with Transaction(force) as out:
        out.path(report).write_text(page(entries, failures), encoding="utf-8")


def _earlier_maps(target: Path) -> list[Path]:
    """Maps that an earlier run wrote beside ``target``, by its sidecar."""
    try:
        names = json.loads(sidecar_path(target).read_bytes())["outputs"]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    suffix = target.name[-len(result_suffix(target)) :]
    stem = re.escape(target.name.removesuffix(suffix))
    own = re.compile(f"{stem}_({MAPS})({re.escape(suffix)}|\\.npz|\\.hdr|\\.png)")
    return [target.parent / name for name in names if isinstance(name, str) and own.fullmatch(name)]
