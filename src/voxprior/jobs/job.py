"""What all jobs share: choose the method, give it its options and a device, run it, and take the time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from pydantic import ValidationError

from voxprior import registry
from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.jobs.fit import run_fitting
from voxprior.jobs.options import SharedOptions, require_method
from voxprior.jobs.plan import size_of
from voxprior.methods.result import Method, Progress, Result
from voxprior.operators.base import Measurement

_NOTICE = (
    "Derived by software with a learned prior. {} is inferred, not measured: compare with the *_invented map and the "
    "original scan. Not a medical device; not for diagnosis."
)
NOTICES = {
    "sr": _NOTICE.format("Detail finer than the measured slices"),
    "enhance": _NOTICE.format("Detail finer than the measured voxels"),
    "recon": _NOTICE.format("What the missing part of k-space holds"),
    "ct": _NOTICE.format("What the X-ray views do not determine"),
    "generate": "Made by software from a learned prior and chance: no scan of anybody. Not a medical device.",
}
"""What every result says of itself, a job."""


PART = 1 << 32
"""Between the seeds of the parts of a run: beyond the seeds that people give."""


@dataclass(frozen=True)
class Run:
    """A result, and the seconds that the method alone took."""

    result: Result
    seconds: float


def run_method(
    job: str,
    measurement: Measurement,
    options: SharedOptions,
    progress: Progress | None = None,
    part: int = 0,
    known: Mapping[str, Any] = MappingProxyType({}),
    parts: int = 1,
) -> Run:
    """Restore ``measurement`` by the method that ``options`` name.

    ``part``: number of the measurement among ``parts`` of one run, from 0; each has random numbers of its own.
    ``known``: what the job found out, for methods that have an option of the name. Network calls are as large as memory
    allows. Raises :class:`InputError` for an unknown method, a device that is not there, options that do not belong
    together, and for a run that does not fit into memory.
    """
    require_method(job, options)
    method: Method = registry.resolve(options.method, job)
    device = find_device(options.device)
    values, ignored = method_options(method, options, device, known)
    size = size_of(measurement, parts if part == 0 else 1)  # what comes before the others is held already

    def restored(settings: Any) -> Result:
        return method(measurement, settings, SeededNoise(options.seed + part * PART), progress)

    with _threads(options.threads):
        begin = time.perf_counter()
        result, values, told = run_fitting(restored, values, job, options, size)
        seconds = time.perf_counter() - begin
    resolved = values.model_dump(mode="json", exclude={"weights"})  # the weights of a file would name its folder
    notes, warnings = {**resolved, **result.notes}, (*ignored, *told, *result.warnings)
    return Run(replace(result, notes=notes, warnings=warnings), seconds)


def together(job: str, method: str) -> bool:
    """Whether ``method`` takes a stack of slices as one volume, as one says that looks across them."""
    return bool(getattr(registry.resolve(method, job), "whole_stacks", False))


def part_of(progress: Progress | None, index: int, count: int, length: int = 1) -> Progress | None:
    """The progress of one of ``count`` measurements as a part of that of all; of ``length`` of them as one part."""
    if progress is None or count == length:
        return progress
    return lambda done, total: progress(index * total + length * done, count * total)


def method_options(
    method: Method, options: SharedOptions, device: str, known: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Any, tuple[str, ...]]:
    """The method's own options, and a warning for each given option that the method does not have.

    ``known`` are no options that were given: a method that has none of the name is told nothing.
    """
    fields = method.Options.model_fields
    given = [n for n in options.for_method if n in options.model_fields_set and getattr(options, n) is not None]
    missing = [name.replace("_", "-") for name in given if name not in fields]
    ignored = [f"--{name} has no effect with --method {options.method}" for name in missing]
    if options.mode != "sample":
        used = {"samples"} if options.mode == "one-step" else set()
        for_samples = set(getattr(method.Options, "for_samples", ())) - used
        ignored += [f"--{name} has no effect without --mode sample" for name in given if name in for_samples]
    values = {name: getattr(options, name) for name in given if name in fields}
    values |= {name: value for name, value in {"device": device, **known}.items() if name in fields}
    try:
        return method.Options(**values), tuple(ignored)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise InputError(f"--{name} {first['input']}: {first['msg']}; see --help") from None


def find_device(name: str) -> str:
    """The torch device for ``name`` (auto: the first of cuda, mps, cpu); raises :class:`InputError` if not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, present in there.items() if present)
    if not there.get(name, False):
        raise InputError(f"--device {name} is not there; give cpu or auto")
    return name


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Use ``count`` processor threads inside, and as many as before afterwards."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count is not None:
            torch.set_num_threads(before)
