"""What each job and mode would need for a scan on this machine, before anything is restored."""

from __future__ import annotations

import math
from typing import Any

import torch

from voxprior import registry
from voxprior.errors import InputError
from voxprior.jobs.job import find_device, method_options, together
from voxprior.jobs.options import (
    DEFAULT_METHOD,
    CtOptions,
    EnhanceOptions,
    GenerateOptions,
    ReconOptions,
    SharedOptions,
    SrOptions,
)
from voxprior.jobs.plan import Size, predict, size_of, way
from voxprior.jobs.room import available, device_available
from voxprior.jobs.rows import TABLE
from voxprior.jobs.speed import convolution_rate
from voxprior.operators.base import Measurement
from voxprior.operators.block_solve import LARGEST
from voxprior.operators.decimation import Refinement, coarse_axes, decimation
from voxprior.operators.separable import Separable
from voxprior.volume import SliceGeometry, Volume

COILS, VIEWS = 8, 36
"""That are assumed where a scan does not tell: k-space and X-ray views of it would have so many."""
FACTOR = 2.0
"""How many times finer ``enhance`` makes voxels unless told otherwise."""
BINS = 1.5
"""Detector bins for each pixel along the longer side of a slice."""
ASSUMED = {
    "sr": "",
    "recon": f"as k-space of these slices from {COILS} coils",
    "ct": f"as {VIEWS} views of these slices",
    "enhance": f"voxels {FACTOR:.0f} times finer",
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
    """Memory, bytes, and time, seconds, of each job, method, mode and network, as JSON values; see :data:`ASSUMED`.

    Memory is what a run has of its own, see :mod:`voxprior.jobs.plan`. ``network``: ``volume`` where the 3-D one must
    be asked for. ``place``: of :func:`machine`. With another method than the default in ``options``, of that alone.
    """
    found = []
    for job, method, mode, network in TABLE:
        if job not in ASSUMED or ("method" in options.model_fields_set and (job, method) != ("sr", options.method)):
            continue
        size = _size(job, method, volume, g)
        if size is None:
            continue
        asked = _options(job, method, mode, network, options)
        values, _ = method_options(registry.resolve(method, job), asked, find_device(options.device))
        plan = predict(way(job, asked, values), size)
        if plan is not None:
            seconds = plan.work / place["multiply_adds_a_second"]
            need = {"job": job, "method": method, "mode": mode, "network": network}
            found.append({**need, "memory": plan.memory, "seconds": seconds})
    return found


def _options(job: str, method: str, mode: Any, network: str | None, options: SrOptions) -> SharedOptions:
    """Those of ``options`` for their own job; of another one the usual ones."""
    if job == "sr":
        return options.model_copy(update={"method": method, "mode": mode})
    kinds: dict[str, type[SharedOptions]] = {
        "recon": ReconOptions,
        "ct": CtOptions,
        "enhance": EnhanceOptions,
        "generate": GenerateOptions,
    }
    asked: dict[str, Any] = {} if network is None else {network_option(method): network}
    if options.memory is not None:
        asked["memory"] = options.memory
    return kinds[job](method=method, mode=mode, **asked)


def network_option(method: str) -> str:
    """The option of ``enhance`` that asks for another network."""
    return "planes" if method == DEFAULT_METHOD else "network"


def _size(job: str, method: str, volume: Volume, g: SliceGeometry) -> Size | None:
    """None where the job is not for such a volume."""
    shape = volume.data.shape
    fine = tuple(g.fine_count if axis == g.axis else n for axis, n in enumerate(shape))
    plane = tuple(n for axis, n in enumerate(shape) if axis != g.axis)
    slices, pixels = shape[g.axis], math.prod(plane)
    if job == "recon":
        data, solved = slices * COILS * pixels, pixels * plane[-1]
        if not together(job, method):
            return Size(plane, slices, data, COILS * pixels, solved if solved <= LARGEST else 0)
        most = next((n for n in (slices * solved, solved) if n <= LARGEST), 0)
        return Size((slices, *plane), 1, data, data, most)
    if job == "ct":
        return Size((slices, *plane), 1, round(slices * VIEWS * BINS * max(plane)), VIEWS * pixels)
    if job == "generate":
        return Size(fine)
    axes: tuple[SliceGeometry, ...] = (g,)
    if job == "enhance":
        try:
            axes = decimation(shape, volume.spacing, Refinement(coarse_axes(volume.spacing), FACTOR))
        except InputError:
            return None
    return size_of(Measurement(Separable.from_axes(axes, shape), torch.empty(1, *shape)))
