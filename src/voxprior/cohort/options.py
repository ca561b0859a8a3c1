"""Where a cohort is computed, as a user says it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PlaceOptions(BaseModel):
    """Options of ``bids`` that say where the scans are restored."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    workers: int = Field(
        default=1,
        ge=0,
        le=100_000,
        description="Processes, each with the weights loaded once and a GPU of its own if there are any, or jobs of "
        "--cluster; with 0 the scans are restored in this process, one after the other.",
    )
    worker_threads: int | None = Field(
        default=None, ge=1, description="Processor threads of a worker; the cores divided by the workers by default."
    )
    scheduler: str | None = Field(
        default=None, description="Address of a Dask scheduler that runs already, such as tcp://host:8786."
    )
    cluster: str | None = Field(
        default=None, description="Batch system of the workers: slurm, pbs, sge, lsf, htcondor, oar or moab."
    )
    cluster_options: str = Field(
        default="", description='Options of its jobs, such as "cores=4 memory=16GB queue=gpu walltime=02:00:00".'
    )
    retries: int = Field(
        default=1,
        ge=0,
        le=100,
        description="How often a scan is tried again when it failed for a reason outside it and the options.",
    )
