"""One result: a coarse block refined by a method, its figures, and the record that keeps them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior import registry
from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.contender import Contender, settings_of
from voxprior.evaluate.directions import array_axis
from voxprior.evaluate.enhance.protocols import EDGE, FACTOR, PROTOCOL, Case
from voxprior.evaluate.manifest import checked
from voxprior.evaluate.record import as_record
from voxprior.evaluate.sr.degrade import block
from voxprior.evaluate.store import key_of
from voxprior.evaluate.yardstick import MemoryPeak
from voxprior.io.nifti import read_volume
from voxprior.metrics import data_range, foreground, psnr, ssim
from voxprior.operators.base import Measurement
from voxprior.operators.decimation import decimate, profile_of
from voxprior.operators.field import simulate_field
from voxprior.operators.separable import Separable
from voxprior.priors.intensity import intensity_scale
from voxprior.volume import SliceGeometry

SEED = 0
CENTRE = 3
WEIGHTS = {"one": "head-enhance", "three": "head-enhance", "volume": "head-volume"}
"""Weights of the default method by its option ``planes``."""


def contenders() -> list[Contender]:
    """Cubic interpolation along both axes, and the default method's networks in plane, three ways, and in 3-D."""
    ours = {"one": "ours, 2.5-D", "three": "ours, three networks", "volume": "ours, 3-D"}
    return [
        Contender("bicubic", "cubic"),
        Contender("bicubic, projected", "cubic-projected", {}, "linear"),
        *(Contender(label, "voxprior", {"planes": planes}) for planes, label in ours.items()),
    ]


def runs_on(contender: Contender, case: Case) -> bool:
    """The projection where there is an operator to project on."""
    return contender.place != "linear" or case.degradation != "1.5t"


@dataclass(frozen=True, eq=False)
class Problem:
    """What a method is given, and judged by: ``truth`` (i, j, k) and its ``foreground``; ``range`` of the volume."""

    measurement: Measurement
    truth: NDArray[np.float32]
    foreground: NDArray[np.bool_]
    range: float


def coarse(data: Path, case: Case, edge: int = EDGE) -> Problem:
    """The block of ``case``, measured on a grid twice coarser along both directions; raises :class:`InputError` when
    the file is missing or not that of the manifest.
    """
    volume = read_volume(checked(data, case.file, case.sha256))
    tissue = foreground(volume.data)
    window = [slice(s.start, s.stop - (s.stop - s.start) % FACTOR) for s in block(tissue, CENTRE, edge)]
    cut = tuple(window)
    truth = np.array(volume.data[cut], order="C")
    affine = np.array(volume.affine)
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in window]
    profile = profile_of(case.degradation)
    axes = []
    for axis in sorted(array_axis(volume, direction) for direction in case.directions):
        step, n = volume.spacing[axis], truth.shape[axis]
        axes.append(SliceGeometry(axis, n // FACTOR, FACTOR * step, FACTOR * step, n, step, profile))
    if case.degradation == "1.5t":
        scale = intensity_scale(truth)
        rng = np.random.default_rng(SEED)
        y = scale * simulate_field(truth / scale, rng, measure=lambda x: decimate(x, axes))
    else:
        y = decimate(truth, axes)
    operator = Separable.from_axes(axes, tuple(y.shape))
    measured = torch.from_numpy(np.ascontiguousarray(y, dtype=np.float32))[None]
    sigma = None if case.degradation == "1.5t" else 0.0
    return Problem(Measurement(operator, measured, sigma, affine), truth, tissue[cut], data_range(volume.data))


def key(case: Case, contender: Contender) -> str:
    """By what the result of ``contender`` on ``case`` is found again."""
    options = _options(case, contender)
    parts = {"protocol": PROTOCOL, "case": case.to_dict(), "seed": SEED, "method": contender.method}
    return key_of({**parts, "settings": settings_of(options), "weights": _sha256(options)})


def _options(case: Case, contender: Contender) -> Any:
    method = registry.resolve(contender.method, "enhance")
    told = {"degradation": case.degradation} if "degradation" in method.Options.model_fields else {}
    return method.Options(**contender.options, **told)


def _sha256(options: Any) -> str | None:
    planes = getattr(options, "planes", None)
    if planes is None:
        return None
    from voxprior.priors.weights import FOLDER, read_card

    return str(read_card(FOLDER / f"{WEIGHTS[planes]}.json")["sha256"])


def measure(case: Case, contender: Contender, problem: Problem) -> dict[str, Any]:
    """Run ``contender`` on ``problem`` and return the record for the store."""
    method = registry.resolve(contender.method, "enhance")
    options = _options(case, contender)
    with MemoryPeak() as memory:
        begin = time.perf_counter()
        result = method(problem.measurement, options, SeededNoise(SEED))
        seconds = time.perf_counter() - begin
    image = result.mean.numpy(force=True)
    left = problem.measurement.operator.apply(result.mean[None].cpu()) - problem.measurement.y
    figures = {
        "psnr": psnr(image, problem.truth, problem.range),
        "psnr_foreground": psnr(image, problem.truth, problem.range, problem.foreground),
        "ssim": ssim(image, problem.truth, problem.range),
        "residual": None if case.degradation == "1.5t" else float(left.norm() / problem.measurement.y.norm()),
        "shape": list(image.shape),
        "seconds": seconds,
        "extra_memory_bytes": memory.extra,
        "network_calls": result.calls,
    }
    how = {"settings": settings_of(options), "weights": dict(result.weights) if result.weights else None}
    return as_record(case, key(case, contender), contender.label, how, figures)


def told(record: Mapping[str, Any]) -> str:
    """A line about a result."""
    f = record["figures"]
    return f"{record['name']}  {record['label']}: {f['psnr']:.2f} dB, {f['seconds']:.1f} s"
