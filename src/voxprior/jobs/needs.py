"""What each job and mode would need for a scan on this machine, before anything is restored."""

from __future__ import annotations

import math
from typing import Any

import torch

from voxprior import registry
from voxprior.jobs.job import find_device, method_options, together
from voxprior.jobs.options import CtOptions, GenerateOptions, ReconOptions, SharedOptions, SrOptions
from voxprior.jobs.plan import TABLE, Size, predict, way
from voxprior.jobs.room import available, device_available
from voxprior.jobs.speed import convolution_rate
from voxprior.volume import SliceGeometry, Volume

COILS, VIEWS = 8, 36
"""That are assumed where a scan does not tell: k-space and X-ray views of it would have so many."""
BINS = 1.5
"""Detector bins for each pixel along the longer side of a slice."""
ASSUMED = {
    "sr": "",
    "recon": f"as k-space of these slices from {COILS} coils",
    "ct": f"as {VIEWS} views of these slices",
    "generate": "volumes of the restored size",
}
"""Jobs, and what the scan is taken for."""


def machine(options: SharedOptions) -> dict[str, Any]:
    """Speed and memory of the device, as JSON values: ``multiply_adds_a_second`` of a convolution, bytes available."""
    device = find_device(options.device)
    before = torch.get_num_threads()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        rate = convolution_rate(device=device)
    finally:
        torch.set_num_threads(before)
    there = device_available(device) if device != "cpu" else available()
    threads = before if options.threads is None else options.threads
    return {"device": device, "threads": threads, "multiply_adds_a_second": rate, "memory_available": there}


def needs(volume: Volume, g: SliceGeometry, options: SrOptions, place: dict[str, Any]) -> list[dict[str, Any]]:
    """Memory, bytes, and time, seconds, of each job, method and mode, as JSON values; see :data:`ASSUMED`.

    ``place``: of :func:`machine`. With another method than the default in ``options``, of that method alone.
    """
    found = []
    for job, method, mode in TABLE:
        if job not in ASSUMED or ("method" in options.model_fields_set and (job, method) != ("sr", options.method)):
            continue
        asked = _options(job, method, mode, options)
        values, _ = method_options(registry.resolve(method, job), asked, find_device(options.device))
        plan = predict(way(job, asked, values), _size(job, method, volume, g))
        if plan is not None:
            seconds = plan.work / place["multiply_adds_a_second"]
            found.append({"job": job, "method": method, "mode": mode, "memory": plan.memory, "seconds": seconds})
    return found


def _options(job: str, method: str, mode: Any, options: SrOptions) -> SharedOptions:
    """Those of ``options`` for their own job; of another one the usual ones."""
    if job == "sr":
        return options.model_copy(update={"method": method, "mode": mode})
    kinds: dict[str, type[SharedOptions]] = {"recon": ReconOptions, "ct": CtOptions, "generate": GenerateOptions}
    usual = kinds[job](method=method, mode=mode)
    return usual if options.memory is None else usual.model_copy(update={"memory": options.memory})


def _size(job: str, method: str, volume: Volume, g: SliceGeometry) -> Size:
    shape = volume.data.shape
    fine = tuple(g.fine_count if axis == g.axis else n for axis, n in enumerate(shape))
    plane = tuple(n for axis, n in enumerate(shape) if axis != g.axis)
    slices, pixels = shape[g.axis], math.prod(plane)
    if job == "recon":
        data = slices * COILS * pixels
        if together(job, method):
            return Size((slices, *plane), 1, data, data)
        return Size(plane, slices, data, COILS * pixels)
    if job == "ct":
        return Size((slices, *plane), 1, round(slices * VIEWS * BINS * max(plane)), VIEWS * pixels)
    return Size(fine, 1, volume.data.size if job == "sr" else 0)
