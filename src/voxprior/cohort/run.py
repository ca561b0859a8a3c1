"""A cohort from start to end: who is in it, where it is computed, and what became of everyone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from voxprior.cohort.cluster import Place, client_of
from voxprior.cohort.dataset import Member
from voxprior.cohort.derivatives import describe_dataset
from voxprior.cohort.failures import known_failures, note_failures
from voxprior.cohort.member import Outcome, forget, restore_member
from voxprior.io.outputs import Transaction
from voxprior.jobs.options import SrOptions, require_method
from voxprior.report.group import Member as Line
from voxprior.report.group import group_page

GROUP = "group.html"

Watch = Callable[[Outcome], None]


def run_participants(
    found: Sequence[Member], out: Path, options: SrOptions, place: Place, retries: int, watch: Watch
) -> list[Outcome]:
    """Restore every scan of ``found`` into ``out`` at ``place``, and tell ``watch`` of each; one's failure stops none.

    What is finished with the same settings is passed over. ``retries``: how often a scan is tried again when it failed
    for a reason that the user cannot mend.
    """
    require_method("sr", options)
    describe_dataset(out, options)
    forget(sorted({out / member.folder.parts[0] for member in found}))
    outcomes = []
    for outcome in _here(found, out, options) if place.workers == 0 and place.scheduler is None else _there(
        found, out, options, place, retries
    ):
        outcomes.append(outcome)
        watch(outcome)
    outcomes.sort(key=lambda outcome: outcome.name)
    note_failures(out, outcomes)
    return outcomes


def _here(found: Sequence[Member], out: Path, options: SrOptions) -> Iterator[Outcome]:
    for member in found:
        try:
            yield restore_member(member, out, options)
        except Exception as error:  # one scan must not take the others with it
            yield _failed(member, error)


def _there(
    found: Sequence[Member], out: Path, options: SrOptions, place: Place, retries: int
) -> Iterator[Outcome]:
    completed: Any = import_module("distributed").as_completed
    own = options.model_copy(update={"threads": place.threads}) if options.threads is None else options
    with client_of(place) as client:
        waiting = {
            client.submit(restore_member, member, out.resolve(), own, retries=retries, pure=False): member
            for member in found
        }
        for future in completed(list(waiting)):
            error = future.exception()
            yield _failed(waiting[future], error) if error is not None else future.result()
            future.release()


def _failed(member: Member, error: BaseException) -> Outcome:
    name = type(error).__name__
    reason = "its worker died every time" if name == "KilledWorker" else " ".join(str(error).split())
    return Outcome(member.name, "failed", error=f"failed unexpectedly ({name}: {reason})")


def write_group(out: Path) -> int:
    """Write the page of all scans in ``out``; how many there are, failed ones too."""
    lines = []
    for path in sorted(out.glob("sub-*/**/anat/*_desc-restored_*.json")):
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        name = path.name.replace("_desc-restored", "").removesuffix(".json")
        subject = path.relative_to(out).parts[0]
        page = out / subject / "figures" / f"{name}.html"
        lines.append(Line(name, values, None, page.relative_to(out).as_posix() if page.is_file() else None))
    failures = known_failures(out)
    lines = [line for line in lines if line.name not in failures]  # what is there is of an older input, or settings
    for name, error in failures.items():
        page = out / name.partition("_")[0] / "figures" / f"{name}.html"
        link = page.relative_to(out).as_posix() if page.is_file() else None
        lines.append(Line(name, None, error, link))
    with Transaction(True) as transaction:
        transaction.path(out / GROUP).write_text(group_page("Cohort", lines), encoding="utf-8")
    return len(lines)
