"""Where a cohort is computed: worker processes here, a scheduler that runs already, or jobs of a batch system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from voxprior.errors import InputError

SYSTEMS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
}
"""Batch systems of dask-jobqueue."""
FAILURES = 3
"""Workers that may die over a scan before it is given up."""


@dataclass(frozen=True)
class Place:
    """Where to compute.

    ``workers``: processes, or jobs of the batch system; 0 computes in this process. ``threads``: a worker's.
    ``gpus``: how many there are here; a worker sees one. ``scheduler``: address of one that runs. ``system``: of
    :data:`SYSTEMS`, with its ``options`` (cores, memory, queue, walltime ...).
    """

    workers: int = 1
    threads: int = 1
    gpus: int = 0
    scheduler: str | None = None
    system: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def require_place(place: Place) -> None:
    """Raise :class:`InputError` unless ``place`` makes sense and its libraries are there."""
    if place.scheduler is not None and place.system is not None:
        raise InputError("--scheduler and --cluster exclude each other; give one")
    if place.system is not None and place.system not in SYSTEMS:
        raise InputError(f"--cluster {place.system} is unknown; give one of {', '.join(SYSTEMS)}")
    needed = ["distributed"] + (["dask_jobqueue"] if place.system else [])
    if (place.workers or place.scheduler or place.system) and any(find_spec(name) is None for name in needed):
        raise InputError("worker processes need the extra 'cohort'; pip install 'voxprior[cohort]', or --workers 0")


@contextmanager
def client_of(place: Place) -> Iterator[Any]:
    """A distributed Client for ``place``; what was started for it is stopped at the end."""
    from dask import config

    connect: Any = import_module("distributed").Client

    settings = {
        "distributed.scheduler.allowed-failures": FAILURES,
        "distributed.admin.tick.limit": "1h",  # a restoration keeps its process busy for longer than a tick
        "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",  # the command tells what fails
    }
    if place.system is None:  # a busy machine takes longer than 15 s to restart one, and would then go on without it
        settings["distributed.deploy.lost-worker-timeout"] = "30m"
    with config.set(settings):
        if place.scheduler is not None:
            try:
                client = connect(place.scheduler, timeout="20s")
            except (OSError, ValueError) as error:
                raise InputError(f"--scheduler {place.scheduler}: does not answer ({type(error).__name__})") from None
            with client:
                yield client
            return
        cluster = local(place) if place.system is None else batch(place)
        with cluster, connect(cluster) as client:
            yield client


def local(place: Place) -> Any:
    """Worker processes on this machine, on loopback, each with its threads and at most one GPU; restarted if killed."""
    distributed: Any = import_module("distributed")

    workers = {}
    for number in range(place.workers):
        env = {name: str(place.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        if place.gpus:
            env["CUDA_VISIBLE_DEVICES"] = str(number % place.gpus)
        options = {"nthreads": 1, "env": env, "host": "127.0.0.1", "memory_limit": 0, "dashboard": False}
        workers[number] = {"cls": distributed.Nanny, "options": options}
    scheduler = {"cls": distributed.Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    return distributed.SpecCluster(scheduler=scheduler, workers=workers, silence_logs="CRITICAL")


def batch(place: Place) -> Any:
    """Workers as jobs of a batch system, one process a job."""
    kind = getattr(import_module("dask_jobqueue"), SYSTEMS[str(place.system)])
    values: dict[str, Any] = {"cores": place.threads, "processes": 1, "memory": "8GB", **place.options}
    values["cores"] = int(values["cores"])
    cluster = kind(**values, worker_extra_args=["--nthreads", "1"])
    cluster.scale(jobs=max(1, place.workers))
    return cluster


def parse_options(texts: tuple[str, ...]) -> dict[str, str]:
    """``queue=gpu memory=16GB`` as a mapping; raises :class:`InputError` for a word without an equals sign."""
    pairs = [text.partition("=") for text in texts]
    wrong = [name for name, sign, _ in pairs if not sign or not name.isidentifier()]
    if wrong:
        raise InputError(f"--cluster-options {wrong[0]}: give NAME=VALUE, such as memory=16GB")
    return {name: value for name, _, value in pairs}
