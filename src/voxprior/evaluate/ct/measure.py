"""One result: a method run on the views of a block, its figures, and the record that keeps them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.calibration import calibrate
from voxprior.evaluate.contender import Contender, Resolve, network_of, settings_of
from voxprior.evaluate.ct.acquire import Problem
from voxprior.evaluate.ct.contenders import ct_method
from voxprior.evaluate.ct.protocols import PROTOCOL, Case
from voxprior.evaluate.record import as_record
from voxprior.evaluate.store import key_of
from voxprior.evaluate.yardstick import MemoryPeak
from voxprior.io.sinogram import MU_WATER, to_hu
from voxprior.jobs.ct_simulate import VACUUM, compare
from voxprior.methods.planes import normals
from voxprior.methods.result import Result
from voxprior.metrics import data_range, foreground, psnr

SEED = 0


def key(case: Case, contender: Contender, resolve: Resolve = ct_method) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    options = resolve(contender.method).Options(**contender.options)
    network = network_of(options)
    settings = {**settings_of(options), "weights": network.sha256 if network else None}
    parts = {"protocol": PROTOCOL, "case": case.to_dict(), "seed": SEED}
    return key_of({**parts, "method": contender.method, "settings": settings})


def measure(case: Case, contender: Contender, problem: Problem, resolve: Resolve = ct_method) -> dict[str, Any]:
    """Run ``contender`` on ``problem`` and return the record for the store."""
    method = resolve(contender.method)
    options = method.Options(**contender.options)
    measurement = problem.measurement()
    with MemoryPeak() as memory:
        start = time.perf_counter()
        result: Result = method(measurement, options, SeededNoise(SEED))
        seconds = time.perf_counter() - start
    figures = {
        **score(result.mean, problem),
        **_uncertainty(result, problem),
        "seconds": seconds,
        "extra_memory_bytes": memory.extra,
        "network_calls": result.calls,
    }
    network = network_of(options)
    weights = result.weights or ({"name": network.name, "sha256": network.sha256} if network else None)
    how = {"settings": settings_of(options), "weights": weights}
    return as_record(case, key(case, contender, resolve), contender.label, how, figures)


def score(image: Tensor, problem: Problem) -> dict[str, Any]:
    """Figures of attenuations ``image`` (*space), 1/mm: those of the job's own comparison, a plane, and of the data.

    ``residual``: |A x - y| / |y| of line integrals. ``misfit``: root mean square of A x - y in units of the noise of
    each ray, where it is known.
    """
    mu = image.detach().cpu().float()
    truth = problem.truth.data
    hu = to_hu(mu.numpy(), MU_WATER)
    job = compare({"image": hu}, truth, {str(name): axis for name, axis in normals(problem.truth.affine).items()})
    figures = job["methods"]["image"]
    planes = figures.pop("planes")
    body = foreground(truth - np.float32(VACUUM))
    return {
        **figures,
        "range": job["range"],
        "hu_bias": float((hu - truth)[body].mean(dtype=np.float64)),
        **{f"{figure}_planes": {name: of[figure] for name, of in planes.items()} for figure in ("psnr", "ssim")},
        **_fit(mu, problem),
        "shape": list(truth.shape),
    }


def _fit(mu: Tensor, problem: Problem) -> dict[str, Any]:
    y = torch.from_numpy(problem.sinogram.data)[None]
    left = problem.operator().apply(mu[None]) - y
    noise = problem.sinogram.noise()
    misfit = None if noise is None else float((left[0] / torch.from_numpy(noise)).double().square().mean().sqrt())
    return {"residual": float(left.norm() / y.norm()), "misfit": misfit}


def _uncertainty(result: Result, problem: Problem) -> dict[str, Any]:
    """Calibration in the body: of K samples where there are several, else of the std of one call."""
    truth = problem.truth.data
    above = truth - np.float32(VACUUM)
    body, reach = foreground(above), data_range(above)
    if result.samples is not None and len(result.samples) > 1:
        samples = to_hu(result.samples.numpy(force=True), MU_WATER)
        single = [psnr(s, truth, reach) for s in samples]
        inside = [psnr(s, truth, reach, body) for s in samples]
        error = [float(np.abs(s - truth)[body].mean(dtype=np.float64)) for s in samples]
        found = calibrate(samples.mean(0), samples.std(0, ddof=1), truth, body, len(samples))
        return {
            "samples": len(samples),
            "psnr_one_sample": float(np.mean(single)),
            "psnr_foreground_one_sample": float(np.mean(inside)),
            "hu_error_one_sample": float(np.mean(error)),
            "calibration": found.to_dict(),
        }
    if result.std is None:
        return {}
    std = result.std.numpy(force=True) * (1000 / MU_WATER)
    mean = to_hu(result.mean.numpy(force=True), MU_WATER)
    return {"calibration": calibrate(mean, std, truth, body).to_dict()}


def told(record: Mapping[str, Any]) -> str:
    """A line about a result."""
    f = record["figures"]
    shown = "exact" if f["psnr"] is None else f"{f['psnr']:.2f} dB"
    return (
        f"{record['name']}  {record['label']}: {shown}, {f['hu_error']:.1f} HU, residual {f['residual']:.1e}, "
        f"{f['seconds']:.1f} s"
    )
