"""One result: a method run on a problem, its figures, and the record that keeps them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.calibration import calibrate
from voxprior.evaluate.contender import Contender, Network, Resolve, network_of, settings_of
from voxprior.evaluate.record import as_record
from voxprior.evaluate.sr.contenders import sr_method
from voxprior.evaluate.sr.degrade import Problem
from voxprior.evaluate.sr.protocols import CROP, PROTOCOL, Case
from voxprior.evaluate.store import key_of
from voxprior.evaluate.yardstick import MemoryPeak, bare_convolution_rate
from voxprior.methods.result import Result
from voxprior.metrics import psnr, ssim

SEED = 0


def key(case: Case, contender: Contender, resolve: Resolve = sr_method) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    options = resolve(contender.method).Options(**contender.options)
    network = network_of(options)
    return case_key(case, contender.method, {**settings_of(options), "weights": network.sha256 if network else None})


def case_key(case: Case, method: str, settings: Mapping[str, Any]) -> str:
    """Digest of the protocol, the case, the method's name and everything in ``settings`` (JSON values)."""
    crop = CROP if case.crop else None
    parts = {"protocol": PROTOCOL, "case": case.to_dict(), "crop": crop, "seed": SEED}
    return key_of({**parts, "method": method, "settings": dict(settings)})


def measure(case: Case, contender: Contender, problem: Problem, resolve: Resolve = sr_method) -> dict[str, Any]:
    """Run ``contender`` on ``problem`` as often as the case says, and return the record for the store."""
    method = resolve(contender.method)
    options = method.Options(**contender.options)
    network = network_of(options)
    runs = 1 if contender.place == "timed" else case.repeats
    timed = case.repeats > 1
    rates = [bare_convolution_rate()] if timed else []
    seconds = []
    for _ in range(runs):
        with MemoryPeak() as memory:
            start = time.perf_counter()
            result: Result = method(problem.measurement, options, SeededNoise(SEED))
            seconds.append(time.perf_counter() - start)
    if timed:
        rates.append(bare_convolution_rate())
    figures = {
        **score(result.mean.numpy(), problem),
        **_uncertainty(result, problem),
        "seconds": statistics.median(seconds),
        "runs": runs,
        "peak_memory_bytes": memory.peak,
        "extra_memory_bytes": memory.extra,
        "network_calls": result.calls,
        "voxels": problem.truth.size,
        "convolution_gflops": statistics.mean(rates) if rates else None,
        "network_gflops": _rate(network, result.calls, problem.truth.size, statistics.median(seconds)),
    }
    weights = {"name": network.name, "sha256": network.sha256} if network else None
    found = key(case, contender, resolve)
    return as_record(case, found, contender.label, {"settings": settings_of(options), "weights": weights}, figures)


def score(mean: NDArray[np.float32], problem: Problem) -> dict[str, float]:
    """Fidelity of ``mean`` (the truth's grid and unit), and its distance from the slices under the assumed profile."""
    y = problem.measurement.y
    residual = (problem.measurement.operator.apply(torch.from_numpy(mean)[None]) - y).norm() / y.norm()
    return {
        "psnr": psnr(mean, problem.truth, problem.range),
        "psnr_foreground": psnr(mean, problem.truth, problem.range, problem.foreground),
        "ssim": ssim(mean, problem.truth, problem.range),
        "residual": float(residual),
    }


def _uncertainty(result: Result, problem: Problem) -> dict[str, Any]:
    """Calibration in the foreground: of K samples where there are several, else of the std of one call."""
    truth, mask = problem.truth, problem.foreground
    if result.samples is not None and len(result.samples) > 1:
        samples = result.samples.numpy()
        single = [psnr(s, truth, problem.range) for s in samples]
        inside = [psnr(s, truth, problem.range, mask) for s in samples]
        found = calibrate(samples.mean(0), samples.std(0, ddof=1), truth, mask, len(samples))
        return {
            "samples": len(samples),
            "psnr_one_sample": float(np.mean(single)),
            "psnr_foreground_one_sample": float(np.mean(inside)),
            "calibration": found.to_dict(),
        }
    if result.std is None:
        return {}
    return {"calibration": calibrate(result.mean.numpy(), result.std.numpy(), truth, mask).to_dict()}


def _rate(network: Network | None, calls: int, voxels: int, seconds: float) -> float | None:
    """GFLOP/s of the whole restoration, counting only what the network does for voxels that are kept."""
    if network is None or network.multiply_adds is None:
        return None
    return 2 * network.multiply_adds * calls * voxels / seconds / 1e9
