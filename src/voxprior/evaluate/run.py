"""The through-plane evaluation, case by case: what is done is skipped, what is new is appended."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.evaluate.calibration import calibrate
from voxprior.evaluate.contenders import Contender, Network, Resolve, network_of, sr_contenders, sr_method
from voxprior.evaluate.degrade import Problem, Truth, thicken
from voxprior.evaluate.protocols import CROP, PROTOCOL, Case, sr_cases
from voxprior.evaluate.store import Store, key_of
from voxprior.evaluate.tables import write_page
from voxprior.evaluate.yardstick import MemoryPeak, bare_convolution_rate
from voxprior.metrics import psnr, ssim
from voxprior.methods.result import Result

RESULTS = Path("docs/results")
PAGE = Path("docs/results.md")
LINES = "sr.jsonl"
SEED = 0


def evaluate_sr(
    data: Path,
    out: Path = RESULTS,
    page: Path = PAGE,
    only: Sequence[str] = (),
    contenders: Sequence[Contender] | None = None,
    resolve: Resolve = sr_method,
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Measure every contender on every case of ``data``, append to ``out``/sr.jsonl, and write ``page``.

    A result is known by the case (with the sha256 of its file), the method, its resolved options and the sha256 of its
    weights; known ones are not made again. ``only``: words that must all occur in ``SUBJECT KIND DIRECTION LABEL``.
    Returns the new results. Raises :class:`InputError` for missing data, weights, or words that match nothing.
    """
    store = Store(out / LINES)
    done = {record["key"] for record in store.records()}
    plan = _plan(sr_cases(data), sr_contenders() if contenders is None else contenders, only)
    truth: tuple[str, Truth] | None = None
    made = []
    for case, chosen in plan:
        missing = [c for c in chosen if key(case, c, resolve) not in done]
        if not missing:
            continue
        if truth is None or truth[0] != case.file:
            truth = (case.file, Truth.read(data, case))
        problem = thicken(truth[1], case)
        for contender in missing:
            record = measure(case, contender, problem, resolve)
            store.append(record)
            made.append(record)
            report(_line(record))
    write_page(page, store.records(), out)
    return made


def _plan(
    cases: Sequence[Case], contenders: Sequence[Contender], only: Sequence[str]
) -> list[tuple[Case, list[Contender]]]:
    """Each case with the contenders that run on it and match all words of ``only``."""
    plan = []
    for case in cases:
        chosen = [
            c
            for c in contenders
            if c.block == bool(case.crop) and all(word in f"{case.name} {c.label}" for word in only)
        ]
        if chosen:
            plan.append((case, chosen))
    if not plan:
        raise InputError(f"--only {' '.join(only)} matches no case; words are parts of 'SUBJECT KIND DIRECTION METHOD'")
    return plan


def key(case: Case, contender: Contender, resolve: Resolve = sr_method) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    options = resolve(contender.method).Options(**contender.options)
    network = network_of(options)
    return key_of(
        {
            "protocol": PROTOCOL,
            "case": case.to_dict(),
            "crop": CROP if case.crop else None,
            "method": contender.method,
            "options": options.model_dump(mode="json"),
            "weights": network.sha256 if network else None,
            "seed": SEED,
        }
    )


def measure(case: Case, contender: Contender, problem: Problem, resolve: Resolve = sr_method) -> dict[str, Any]:
    """Run ``contender`` on ``problem`` as often as the case says, and return the record for the store."""
    method = resolve(contender.method)
    options = method.Options(**contender.options)
    network = network_of(options)
    rates = [bare_convolution_rate()] if case.repeats > 1 else []
    seconds = []
    for _ in range(case.repeats):
        with MemoryPeak() as memory:
            start = time.perf_counter()
            result: Result = method(problem.measurement, options, SeededNoise(SEED))
            seconds.append(time.perf_counter() - start)
    if case.repeats > 1:
        rates.append(bare_convolution_rate())
    figures = {
        **score(result.mean.numpy(), problem),
        **_uncertainty(result, problem),
        "seconds": statistics.median(seconds),
        "runs": case.repeats,
        "peak_memory_bytes": memory.peak,
        "extra_memory_bytes": memory.extra,
        "network_calls": result.calls,
        "voxels": problem.truth.size,
        "convolution_gflops": statistics.mean(rates) if rates else None,
        "network_gflops": _rate(network, result.calls, problem.truth.size, statistics.median(seconds)),
    }
    return {
        "key": key(case, contender, resolve),
        "name": case.name,
        "kind": case.kind,
        "case": case.to_dict(),
        "label": contender.label,
        "options": options.model_dump(mode="json"),
        "weights": {"name": network.name, "sha256": network.sha256} if network else None,
        "figures": {k: _finite(v) for k, v in figures.items()},
        "machine": machine(),
    }


def score(mean: Any, problem: Problem) -> dict[str, float]:
    """Fidelity of a restored volume on the truth's grid, and its distance from the slices under the assumed profile."""
    y = problem.measurement.y
    residual = (problem.measurement.operator.apply(torch.as_tensor(mean)[None]) - y).norm() / y.norm()
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


def machine() -> dict[str, Any]:
    """What times depend on, without the name of the machine."""
    return {"processor": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def _finite(value: Any) -> Any:
    """JSON has no infinity: a perfect PSNR is null."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _line(record: Mapping[str, Any]) -> str:
    f = record["figures"]
    shown = "exact" if f["psnr"] is None else f"{f['psnr']:.2f} dB"
    return f"{record['name']}  {record['label']}: {shown}, SSIM {f['ssim']:.4f}, {f['seconds']:.1f} s"

