"""A run that fits: network calls as large as memory allows, smaller ones once when it runs out, or a clear refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from voxprior.errors import InputError
from voxprior.jobs.options import SharedOptions
from voxprior.jobs.plan import MEGABYTE, Plan, Size, Way, megabytes, predict, smaller, way
from voxprior.jobs.room import available, device_available, out_of_memory, resident
from voxprior.methods.result import Result

SMALLER = 4
"""By how much calls shrink when memory ran out."""
USED = 0.9
"""Part of the memory that is left which a choice of smaller calls fills, for what a prediction may be off."""
REMEDIES = {
    "sr": "give a coarser --spacing, fewer --samples, or crop the scan",
    "enhance": "give a smaller --factor, fewer --samples, or crop the scan",
    "recon": "give fewer --coils or --samples, or fewer slices",
    "ct": "give fewer --samples, or fewer slices",
    "generate": "give a smaller --shape, or fewer --samples",
}
"""What makes a run of a job smaller."""
REMEDY = "give fewer --samples, or crop the scan"
"""The same for other jobs."""


def run_fitting(
    run: Callable[[Any], Result], values: Any, job: str, options: SharedOptions, size: Size
) -> tuple[Result, Any, tuple[str, ...]]:
    """``run(values)`` with network calls that fit; the result, the settings it ran with, and warnings.

    Memory is the process's own, see :mod:`voxprior.jobs.plan`. Raises :class:`InputError` that names the megabytes
    where even the smallest calls do not fit, before anything runs, and where memory runs out twice.
    """
    values = fitted(values, job, options, size)
    result = _attempt(run, values)
    if result is not None:
        return result, values, ()
    how = way(job, options, values)
    need = predict(how, size)
    if need is not None and (fewer := smaller(how, size, megabytes(how, size, need.call / SMALLER))) is not None:
        values, before = _with_calls(values, fewer), megabytes(how, size, need.call)
        need = predict(fewer, size)
        _release(values)
        result = _attempt(run, values)
        if result is not None:
            told = f"network calls of {before} MB; it was done with those of {fewer.memory} MB"
            return result, values, (f"memory ran out with {told}",)
    raise InputError(_refusal(need, "and memory ran out", job))


def _attempt(run: Callable[[Any], Result], values: Any) -> Result | None:
    """None when memory ran out; what the failed run held is free then."""
    try:
        return run(values)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    return None


def fitted(values: Any, job: str, options: SharedOptions, size: Size) -> Any:
    """The settings ``values`` of the method, with a smaller ``memory`` where what they ask for does not fit.

    Raises :class:`InputError` where nothing does.
    """
    device = getattr(values, "device", "cpu")
    room = available() if device == "cpu" else device_available(device)
    how = way(job, options, values)
    need = predict(how, size)
    if room is None or need is None:
        return values
    # The program is there already, and takes no memory of a graphics processor.
    there = need.base if device != "cpu" else min(resident() or 0, need.base)
    if need.memory - there <= room:
        return values
    least = smaller(how, size, 0) or how
    lowest = predict(least, size)
    if lowest is None or lowest.memory - there > room:
        raise InputError(_refusal(lowest, f"and there are {(room + there) / MEGABYTE:.0f} MB", job))
    rest = need.memory - there - need.network
    return _with_calls(values, replace(how, memory=megabytes(how, size, (USED * room - rest) / need.each)))


def _with_calls(values: Any, how: Way) -> Any:
    """Not validated: where memory is short a call may take less than people may ask for."""
    return values.model_copy(update={"memory": how.memory})


def _refusal(need: Plan | None, there: str, job: str) -> str:
    about = "more memory" if need is None else f"about {need.memory / MEGABYTE:.0f} MB of memory"
    return f"this needs {about} of its own, {there}; {REMEDIES.get(job, REMEDY)}"


def _release(values: Any) -> None:
    if str(getattr(values, "device", "cpu")).startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
