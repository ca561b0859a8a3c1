"""One result: a method on a block, without and with the projection onto the slices."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.contender import Contender, Resolve, settings_of
from voxprior.evaluate.one_step.contenders import STUDENT, TILED, resolve, small
from voxprior.evaluate.one_step.protocols import PROTOCOL
from voxprior.evaluate.record import as_record
from voxprior.evaluate.sr.degrade import Problem
from voxprior.evaluate.sr.protocols import Case
from voxprior.evaluate.store import key_of
from voxprior.evaluate.yardstick import MemoryPeak, bare_convolution_rate
from voxprior.metrics import psnr, ssim
from voxprior.metrics.seams import seam_index
from voxprior.metrics.sharpness import high_frequency_ratio
from voxprior.priors.volume import VolumePrior
from voxprior.priors.weights import load, load_as

SEED = 0
REPEATS = 3
"""Runs of which the median time is kept, where one takes a few seconds."""


def key(case: Case, contender: Contender, find: Resolve = resolve) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    options = find(contender.method).Options(**contender.options)
    parts = {"protocol": PROTOCOL, "case": case.to_dict(), "seed": SEED, "method": contender.method}
    return key_of({**parts, "settings": settings_of(options), "weights": _weights(contender, options)})


def _weights(contender: Contender, options: Any) -> list[str]:
    """Digests of the weights that ``options`` name, or the method takes by itself."""
    names = [getattr(options, "weights", None), getattr(options, "regressor", None)]
    if contender.method == "os-ddpm" and names[0] is None:
        from voxprior.methods.os_ddpm import STUDENT, TEACHER

        names[0] = STUDENT if options.steps == 1 else TEACHER
    if contender.method == "voxprior":
        return [load().sha256]
    return [load_as(str(name), VolumePrior).sha256 for name in names if name is not None]


def measure(case: Case, contender: Contender, problem: Problem, find: Resolve = resolve) -> dict[str, Any]:
    """Run ``contender`` on ``problem`` and return the record for the store."""
    method = find(contender.method)
    options = method.Options(**contender.options)
    measurement = problem.measurement
    times = []
    with MemoryPeak() as memory:
        for _ in range(REPEATS):
            begin = time.perf_counter()
            result = method(measurement, options, SeededNoise(SEED))
            times.append(time.perf_counter() - begin)
            if times[-1] > 5:
                break
    image = result.mean.numpy(force=True)
    if result.samples is not None and result.samples.ndim == 4:
        image = result.samples[0].numpy(force=True)
    begin = time.perf_counter()
    with torch.no_grad():
        projected = measurement.operator.prox(torch.from_numpy(image)[None], measurement.y, 0.0)[0].numpy()
    projection = time.perf_counter() - begin
    figures = {
        **_score(image, case, problem),
        **{f"{name}_projected": value for name, value in _score(projected, case, problem).items()},
        "shape": list(image.shape),
        "seconds": float(np.median(times)),
        "seconds_projection": projection,
        "gflops_yardstick": bare_convolution_rate(1),
        "extra_memory_bytes": memory.extra,
        "network_calls": result.calls,
        **_cost(result.weights, case.factor),
    }
    if contender.label in (STUDENT, TILED):
        figures["seam_index"] = _seams(projected, problem)
    how = {"settings": settings_of(options), "weights": dict(result.weights) if result.weights else None}
    return as_record(case, key(case, contender, find), contender.label, how, figures)


def _score(image: NDArray[np.float32], case: Case, problem: Problem) -> dict[str, Any]:
    """PSNR and SSIM of the whole block, high-frequency energy over the truth's along the slices, residual."""
    y = problem.measurement.y
    left = problem.measurement.operator.apply(torch.from_numpy(image)[None]) - y
    return {
        "psnr": psnr(image, problem.truth, problem.range),
        "ssim": ssim(image, problem.truth, problem.range),
        "high_frequency_ratio": high_frequency_ratio(image, problem.truth, problem.slices.axis, case.factor),
        "residual": float(left.norm() / y.norm()),
    }


def _cost(weights: Mapping[str, Any] | None, factor: int) -> dict[str, Any]:
    """Parameters, and multiply-adds a voxel of a call, of the network that was used."""
    if weights is None:
        return {"parameters": 0, "multiply_adds": 0.0}
    name = str(weights["name"])
    if name == load().name:
        prior = load().prior
        planes = 2
        cost = planes * prior.network.multiply_adds / prior.config.slab
        return {"parameters": sum(p.numel() for p in prior.parameters()), "multiply_adds": cost}
    volume = load_as(name, VolumePrior).prior
    return {"parameters": sum(p.numel() for p in volume.parameters()), "multiply_adds": volume.multiply_adds(factor)}


def _seams(image: NDArray[np.float32], problem: Problem) -> list[float]:
    """Seam index along each axis at the borders of the small tiles, whether it was made in them or not."""
    g = problem.slices
    tiles = small(g.fine_count // g.count)
    order = [g.axis, *(a for a in range(3) if a != g.axis)]
    found = []
    for place, axis in enumerate(order):
        length, size = image.shape[axis], tiles.size[place]
        starts = tiles.starts(place, length)
        borders = sorted({b for s in starts for b in (s, min(s + size, length)) if 0 < b < length})
        if borders:
            found.append(seam_index(image, axis, borders))
    return found


def told(record: Mapping[str, Any]) -> str:
    """A line about a result."""
    f = record["figures"]
    return (
        f"{record['name']}  {record['label']}: {f['psnr']:.2f} dB ({f['psnr_projected']:.2f} projected), energy "
        f"{f['high_frequency_ratio_projected']:.2f}, {f['seconds']:.2f} s"
    )


