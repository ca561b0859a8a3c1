"""One result: a method run on an undersampled slice, its figures, and the record that keeps them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.evaluate.calibration import calibrate
from voxprior.evaluate.contender import Contender, Resolve, network_of, settings_of
from voxprior.evaluate.recon.acquire import CALIBRATION, SNR, Problem
from voxprior.evaluate.recon.contenders import recon_method
from voxprior.evaluate.recon.protocols import PROTOCOL, Case
from voxprior.evaluate.recon.stack import Stack, reconstruct
from voxprior.evaluate.record import as_record
from voxprior.evaluate.store import key_of
from voxprior.evaluate.yardstick import MemoryPeak
from voxprior.jobs.intervals import along_phase
from voxprior.methods.result import Result
from voxprior.metrics import fastmri, fastmri_masked, hfs_sde, psnr

SEED = 0


def key(case: Case, contender: Contender, resolve: Resolve = recon_method) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    options = resolve(contender.method).Options(**contender.options)
    network = network_of(options)
    return case_key(case, contender.method, {**settings_of(options), "weights": network.sha256 if network else None})


def case_key(case: Case, method: str, settings: Mapping[str, Any]) -> str:
    """Digest of the protocol, the case, the method's name and everything in ``settings`` (JSON values)."""
    parts = {"protocol": PROTOCOL, "snr": SNR, "calibration": CALIBRATION, "case": case.to_dict(), "seed": SEED}
    return key_of({**parts, "method": method, "settings": dict(settings)})


def measure(
    case: Case, contender: Contender, problem: Problem | Stack, resolve: Resolve = recon_method
) -> dict[str, Any]:
    """Run ``contender`` on ``problem`` as often as the case says, and return the record for the store."""
    method = resolve(contender.method)
    options = method.Options(**contender.options)
    network = network_of(options)
    seconds = []
    for _ in range(case.repeats):
        with MemoryPeak() as memory:
            start = time.perf_counter()
            result = reconstruct(method, options, problem, SEED)
            seconds.append(time.perf_counter() - start)
    figures = {
        **score(result.mean, problem),
        **_uncertainty(result, problem),
        "seconds": statistics.median(seconds),
        "runs": case.repeats,
        "extra_memory_bytes": memory.extra,
        "network_calls": result.calls,
    }
    weights = {"name": network.name, "sha256": network.sha256} if network else result.weights
    how = {"settings": settings_of(options), "weights": weights}
    return as_record(case, key(case, contender, resolve), contender.label, how, figures)


def score(image: Tensor, problem: Problem | Stack) -> dict[str, Any]:
    """Figures of a complex ``image`` ([slice,] y, x): how it fits the data, and its magnitude beside a truth.

    ``psnr``, ``ssim`` and ``nmse`` are fastMRI's, of the picture and of the object; ``source``: as HFS-SDE has them,
    the mean over slices.
    """
    measurement = problem.measurement()
    x = image.detach().cpu().to(torch.complex64)
    residual = (measurement.operator.apply(x[None]) - measurement.y).norm() / measurement.y.norm()
    figures: dict[str, Any] = {
        "residual": float(residual),
        "acceleration": problem.mask.acceleration,
        "shape": list(problem.mask.keep.shape),
        "coils": len(problem.y),
        "noise": problem.noise,
        "seconds_maps": problem.seconds_maps,
    }
    if problem.truth is None or problem.object is None:
        return figures
    magnitude = x.abs().numpy()
    whole = fastmri(magnitude, problem.truth)
    inside = fastmri_masked(magnitude, problem.truth, problem.object)
    return {
        **figures,
        **whole._asdict(),
        **{f"{name}_object": value for name, value in inside._asdict().items()},
        "source": _source(magnitude, problem.truth),
    }


def _source(magnitude: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float] | None:
    slices = [image.reshape(-1, *truth.shape[-2:]) for image in (magnitude, truth)]
    if not all(0 < image.max() < np.inf for image in slices[0]):
        return None
    found = [hfs_sde(a, b) for a, b in zip(*slices, strict=True)]
    return {name: float(np.mean([getattr(scores, name) for scores in found])) for name in found[0]._fields}


def _uncertainty(result: Result, problem: Problem | Stack) -> dict[str, Any]:
    """Calibration in the object: of the component along the phase of the image, whose mean is the magnitude."""
    if result.std is None and (result.samples is None or len(result.samples) < 2):
        return {}
    x = result.mean.detach().cpu()
    inside = _everywhere(problem) if problem.object is None else problem.object
    several = result.samples is not None and len(result.samples) > 1
    drawn = result.samples.detach().cpu() if several and result.samples is not None else None
    std = result.std.detach().cpu() if result.std is not None else None
    if drawn is not None:
        std = along_phase(x, drawn).std(0, correction=1)
    assert std is not None
    figures: dict[str, Any] = {"std": float(std.numpy()[inside].mean()), "mean": float(x.abs().numpy()[inside].mean())}
    if problem.truth is None:
        return figures
    count = None if drawn is None else len(drawn)
    found = calibrate(x.abs().numpy(), std.numpy(), problem.truth, inside, count)
    if drawn is not None:
        largest, mask = float(problem.truth.max()), problem.object
        single = [psnr(s.abs().numpy(), problem.truth, largest) for s in drawn]
        within = [psnr(s.abs().numpy(), problem.truth, largest, mask) for s in drawn]
        figures |= {"samples": count, "psnr_one_sample": _mean(single), "psnr_object_one_sample": _mean(within)}
    return {**figures, "calibration": found.to_dict()}


def _everywhere(problem: Problem | Stack) -> NDArray[np.bool_]:
    """Where a coil is sensitive."""
    return np.asarray(np.abs(problem.maps).sum(0) > 0)


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
