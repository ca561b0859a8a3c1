"""One result: a sampler run on a block, figures of its samples and of their mean, and the record that keeps them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.contender import Contender, Resolve, network_of, settings_of
from voxprior.evaluate.record import as_record
from voxprior.evaluate.samplers.contenders import sampler_method
from voxprior.evaluate.samplers.protocols import EDGE, PROTOCOL
from voxprior.evaluate.sr.degrade import Problem
from voxprior.evaluate.sr.measure import score as volume_score
from voxprior.evaluate.sr.protocols import Case
from voxprior.evaluate.store import key_of
from voxprior.methods.planes import normals
from voxprior.methods.result import Result
from voxprior.metrics.planes import plane_psnr, plane_ssim

SEED = 0


def key(case: Case, contender: Contender, resolve: Resolve = sampler_method) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    options = resolve(contender.method).Options(**contender.options)
    network = network_of(options)
    settings = {**settings_of(options), "weights": network.sha256 if network else None}
    parts = {"protocol": PROTOCOL, "case": case.to_dict(), "edge": EDGE, "seed": SEED}
    return key_of({**parts, "method": contender.method, "settings": settings})


def measure(case: Case, contender: Contender, problem: Problem, resolve: Resolve = sampler_method) -> dict[str, Any]:
    """Run ``contender`` on ``problem`` and return the record for the store."""
    method = resolve(contender.method)
    options = method.Options(**contender.options)
    start = time.perf_counter()
    result: Result = method(problem.measurement, options, SeededNoise(SEED))
    seconds = time.perf_counter() - start
    drawn = [] if result.samples is None else list(result.samples.numpy(force=True))
    figures = {
        **score(result.mean.numpy(force=True), problem),
        "one": _average([score(image, problem) for image in drawn]) if drawn else None,
        "samples": len(drawn),
        "seconds": seconds,
        "network_calls": result.calls,
        "shape": list(problem.truth.shape),
    }
    how = {"settings": settings_of(options), "weights": result.weights}
    return as_record(case, key(case, contender, resolve), contender.label, how, figures)


def score(image: NDArray[np.float32], problem: Problem) -> dict[str, Any]:
    """Figures of ``image`` (the truth's grid and unit): of the volume, a plane, distance from the slices, jitter."""
    planes = {str(name): axis for name, axis in normals(problem.affine).items()}
    return {
        **volume_score(np.ascontiguousarray(image), problem),
        "psnr_planes": plane_psnr(image, problem.truth, problem.range, planes),
        "ssim_planes": plane_ssim(image, problem.truth, problem.range, planes),
        "jitter": jitter(image, problem.truth, planes),
    }


def jitter(
    image: NDArray[np.floating], truth: NDArray[np.floating], normals: Mapping[str, int]
) -> dict[str, float]:
    """Mean absolute difference of neighbouring slices over that of the truth, by plane: 1 is right, more flickers."""
    return {
        name: float(np.abs(np.diff(image, axis=axis)).mean() / np.abs(np.diff(truth, axis=axis)).mean())
        for name, axis in normals.items()
    }


def _average(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of every figure."""
    return {
        name: _average([s[name] for s in scores])
        if isinstance(value, Mapping)
        else float(np.mean([s[name] for s in scores]))
        for name, value in scores[0].items()
    }


def told(record: Mapping[str, Any]) -> str:
    """A line about a result."""
    f = record["figures"]
    single = f" (one sample {f['one']['psnr']:.2f})" if f["one"] and f["samples"] > 1 else ""
    shown = "exact" if f["psnr"] is None else f"{f['psnr']:.2f} dB{single}"
    return f"{record['name']}  {record['label']}: {shown}, {f['network_calls']} calls, {f['seconds']:.1f} s"
