"""``voxprior bids``: a BIDS data set of thick scans becomes one of derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from voxprior.cli.show import say, warn
from voxprior.errors import InputError
from voxprior.jobs.options import SrOptions

if TYPE_CHECKING:
    from voxprior.cohort.cluster import Place
    from voxprior.cohort.member import Outcome

NAMES = Parameter(consume_multiple=True, negative="")


def bids(
    dataset: Path,
    out: Path,
    level: Literal["participant", "group"],
    /,
    *,
    participant_label: Annotated[tuple[str, ...], NAMES] = (),
    session_label: Annotated[tuple[str, ...], NAMES] = (),
    workers: int = 1,
    worker_threads: int | None = None,
    scheduler: str | None = None,
    cluster: str | None = None,
    cluster_options: Annotated[tuple[str, ...], NAMES] = (),
    retries: int = 1,
    options: Annotated[SrOptions | None, Parameter(name="*")] = None,
    quiet: Annotated[bool, Parameter(name=["-q", "--quiet"], negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(name=["-v", "--verbose"], negative="", show_default=False)] = False,
) -> int:
    """Restore the thick anatomical scans of a BIDS data set, or write the page of all that was restored.

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
    workers
        Processes, each with the weights loaded once and a GPU of its own if there are any; or jobs of --cluster. With
        0 the scans are restored in this process, one after the other.
    worker_threads
        Processor threads of a worker; the cores divided by the workers by default.
    scheduler
        Address of a Dask scheduler that runs already, such as tcp://host:8786.
    cluster
        Batch system that runs the workers: slurm, pbs, sge, lsf, htcondor, oar or moab.
    cluster_options
        Options of its jobs, such as cores=4 memory=16GB queue=gpu walltime=02:00:00.
    retries
        How often a scan is tried again when it failed for a reason that is not in the scan or the options.
    options
        Settings of the restoration.
    quiet
        Print nothing but errors.
    verbose
        Show where an error arose.
    """
    from voxprior.cohort.cluster import parse_options, require_place
    from voxprior.cohort.dataset import members
    from voxprior.jobs.folder import make_folder

    if workers < 0 or retries < 0:
        raise InputError("--workers and --retries are not negative")
    if level == "group":
        from voxprior.cohort.run import GROUP, write_group

        count = write_group(out)
        say(f"{out / GROUP}: {count} scans")
        return 0
    own = options or SrOptions()
    place = _place(workers, worker_threads, own, scheduler, cluster, parse_options(cluster_options))
    require_place(place)
    found = members(dataset, participant_label, session_label)
    if not found:
        raise InputError("no thick anatomical scan: no slices at least 1.5 times as far apart as the voxels in them")
    make_folder(out)
    from voxprior.cohort.run import run_participants

    outcomes = run_participants(found, out, own, place, retries, lambda outcome: _tell(outcome, quiet))
    return _summary(outcomes, quiet)


def _place(
    workers: int, threads: int | None, options: SrOptions, scheduler: str | None, cluster: str | None,
    cluster_options: dict[str, str],
) -> Place:
    import os

    from voxprior.cohort.cluster import Place

    gpus = 0
    if workers and scheduler is None and cluster is None and options.device in ("auto", "cuda"):
        import torch

        gpus = torch.cuda.device_count()
    each = threads or max(1, (os.cpu_count() or 1) // max(1, workers))
    return Place(workers, each, gpus, scheduler, cluster, cluster_options)


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
