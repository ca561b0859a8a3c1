"""``voxprior bids``: a BIDS data set of thick scans becomes one of derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from voxprior.cli.show import say, warn
from voxprior.cohort.options import PlaceOptions
from voxprior.errors import InputError
from voxprior.jobs.options import SrOptions

if TYPE_CHECKING:
    from voxprior.cohort.cluster import Place
    from voxprior.cohort.dataset import Member
    from voxprior.cohort.member import Outcome

NAMES = Parameter(consume_multiple=True, negative="", show_default=False)


def bids(
    dataset: Path,
    out: Path,
    level: Literal["participant", "group"],
    /,
    *,
    participant_label: Annotated[tuple[str, ...], NAMES] = (),
    session_label: Annotated[tuple[str, ...], NAMES] = (),
    place: Annotated[PlaceOptions | None, Parameter(name="*")] = None,
    options: Annotated[SrOptions | None, Parameter(name="*")] = None,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Restore the thick anatomical scans of a BIDS data set, or write the page of all that was restored.

    Example: voxprior bids DATASET OUT participant --participant-label 01 02

    What is finished with the same settings is passed over, so an interrupted run is simply started again. A scan that
    fails is listed, the others go on, and the exit code is 1.

    Parameters
    ----------
    dataset
        Root of the data set.
    out
        Folder for the derivatives.
    level
        participant restores, group writes OUT/group.html.
    participant_label
        Subjects, with or without sub-; all by default.
    session_label
        Sessions, with or without ses-; all by default.
    place
        Where the scans are restored.
    options
        Settings of the restoration.
    quiet
        Print nothing but errors.
    verbose
        Show where an error arose.
    """
    if level == "group":
        from voxprior.cohort.run import GROUP, write_group

        count = write_group(out)
        say(f"{out / GROUP}: {count} scans")
        return 0
    return _participants(_found(dataset, participant_label, session_label), out, place, options, quiet)


def _found(dataset: Path, subjects: tuple[str, ...], sessions: tuple[str, ...]) -> list[Member]:
    from voxprior.cohort.dataset import members

    found = members(dataset, subjects, sessions)
    if not found:
        raise InputError("no thick anatomical scan: no slices at least 1.5 times as far apart as the voxels in them")
    return found


def _participants(
    found: list[Member], out: Path, place: PlaceOptions | None, options: SrOptions | None, quiet: bool
) -> int:
    from voxprior.cohort.cluster import require_place
    from voxprior.jobs.folder import make_folder

    own, asked = options or SrOptions(), place or PlaceOptions()
    where = _place(asked, own)
    require_place(where)
    make_folder(out)
    from voxprior.cohort.run import run_participants

    outcomes = run_participants(found, out, own, where, asked.retries, lambda outcome: _tell(outcome, quiet))
    return _summary(outcomes, quiet)


def _place(asked: PlaceOptions, options: SrOptions) -> Place:
    import os

    from voxprior.cohort.cluster import Place, parse_options

    gpus = 0
    here = asked.workers and asked.scheduler is None and asked.cluster is None
    if here and options.device in ("auto", "cuda"):
        import torch

        gpus = torch.cuda.device_count()
    each = asked.worker_threads or max(1, (os.cpu_count() or 1) // max(1, asked.workers))
    given = parse_options(tuple(asked.cluster_options.split()))
    return Place(asked.workers, each, gpus, asked.scheduler, asked.cluster, given)


def _tell(outcome: Outcome, quiet: bool) -> None:
    if outcome.error is not None:
        warn(f"error: {outcome.name}: {outcome.error}")
    elif not quiet and outcome.values is not None:
        values = outcome.values
        say(f"{outcome.name}: restored in {values['seconds']:.1f} s, residual {values['residual']:.1e}")


def _summary(outcomes: list[Outcome], quiet: bool) -> int:
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if not quiet:
        width = max(len(outcome.name) for outcome in outcomes)
        for outcome in outcomes:
            say(f"{outcome.name:{width}}  {outcome.state}")
        states = [outcome.state for outcome in outcomes]
        counts = {state: states.count(state) for state in ("restored", "finished earlier", "failed")}
        say(", ".join(f"{count} {state}" for state, count in counts.items()))
    if failed:
        warn(f"{len(failed)} of {len(outcomes)} scans failed: {', '.join(outcome.name for outcome in failed)}")
    return 1 if failed else 0
