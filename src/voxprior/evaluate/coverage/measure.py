"""One result: a block restored, its spread, and what intervals of it hold of the truth."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior import registry
from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.evaluate.calibration import LEVELS
from voxprior.evaluate.contender import Contender, settings_of
from voxprior.evaluate.coverage.protocols import PROTOCOL, RECON, Case
from voxprior.evaluate.enhance.measure import coarse
from voxprior.evaluate.enhance.protocols import Case as InPlane
from voxprior.evaluate.recon.acquire import acquire, undersample
from voxprior.evaluate.recon.protocols import Case as Sampled
from voxprior.evaluate.record import as_record
from voxprior.evaluate.sr.degrade import Truth, thicken
from voxprior.evaluate.sr.protocols import Case as Thickened
from voxprior.evaluate.store import key_of
from voxprior.jobs.intervals import Spread, kspace_spread, nominal, spread_of
from voxprior.jobs.withheld import withheld_scale
from voxprior.methods.result import Method, Result
from voxprior.metrics import data_range
from voxprior.operators.base import Measurement
from voxprior.operators.fourier import Fourier
from voxprior.priors.weights import read_card
from voxprior.priors.widening import Widening, widenings
from voxprior.registry import weights_place

SEED = 0
Real = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """A measurement, the truth of it, where it is judged, and full scale."""

    measurement: Measurement
    truth: NDArray[np.float32]
    foreground: NDArray[np.bool_]
    range: float


@dataclass(frozen=True, eq=False)
class Found:
    """A result and its spread; ``error``: |mean - truth| in the foreground (voxel,), where ``inside`` (*space) says."""

    result: Result
    spread: Spread
    error: Real
    inside: NDArray[np.bool_]
    seconds: float

    def seen(self, values: torch.Tensor) -> Real:
        """``values`` (*space) in the foreground, (voxel,)."""
        return values.numpy(force=True)[self.inside].astype(np.float64)


def degrade(data: Path, case: Case) -> Problem:
    """The block of ``case``; raises :class:`InputError` when its file is missing or another one."""
    own = case.degraded()
    if isinstance(own, Sampled):
        k = undersample(acquire(data, own), own)
        assert k.truth is not None and k.object is not None
        return Problem(k.measurement(), k.truth, k.object, float(data_range(k.truth)))
    if isinstance(own, InPlane):
        p = coarse(data, own, case.edge)
        return Problem(p.measurement, p.truth, p.foreground, p.range)
    q = thicken(_truth(data, replace(own, direction="", factor=1)), own, case.edge)
    return Problem(q.measurement, q.truth, q.foreground, q.range)


@lru_cache(maxsize=1)
def _truth(data: Path, case: Thickened) -> Truth:
    """The volume of ``case``, of which only the file counts."""
    return Truth.read(data, case)


def card_of(options: Any) -> Mapping[str, Any]:
    """The card of the weights that ``options`` name; raises :class:`InputError` where it is not on this machine."""
    path = weights_place(str(options.weights)).path
    if path is None:
        raise InputError(f"--weights {options.weights}: its card is not on this machine; give a file")
    return read_card(path.with_suffix(".json"))


def options_of(case: Case, contender: Contender) -> Any:
    """Options of the method, with the degradation where it has to be told."""
    kind = registry.resolve(contender.method, case.job).Options
    told = {"degradation": case.degradation} if "degradation" in kind.model_fields else {}
    return kind(**contender.options, **told)


def find(case: Case, contender: Contender, problem: Problem) -> Found:
    """Run ``contender`` on ``problem``; raises :class:`InputError` for one that gives no spread."""
    options = options_of(case, contender)
    method = registry.resolve(contender.method, case.job)
    begin = time.perf_counter()
    result: Result = method(problem.measurement, options, SeededNoise(SEED))
    seconds = time.perf_counter() - begin
    told = replace(result, notes={**settings_of(options), **result.notes})
    spread, inside = _spread(told, problem.measurement, case.job, method, options), problem.foreground
    if spread is None:
        raise InputError(f"{contender.label}: gives no spread, so there is no interval to measure")
    shown = result.mean.abs() if result.mean.is_complex() else result.mean
    error = np.abs(shown.numpy(force=True).astype(np.float64) - problem.truth)[inside]
    return Found(told, spread, error, inside, seconds)


def _spread(result: Result, measurement: Measurement, job: str, method: Method, options: Any) -> Spread | None:
    """As the job states it: of k-space from samples that are withheld from the mean mode."""
    if job != RECON:
        return spread_of(result, measurement, job)
    mean = options.model_copy(update={"mode": "mean", "samples": 1})
    scale = withheld_scale(result, measurement, lambda told: method(told, mean, SeededNoise(SEED)).mean)
    assert isinstance(measurement.operator, Fourier)
    return None if scale is None else kspace_spread(result, measurement.operator, scale)


def key(case: Case, contender: Contender) -> str:
    """By what the result of ``contender`` on ``case`` is found again: also by the factors of its card."""
    options = options_of(case, contender)
    card = card_of(options)
    parts = {"protocol": PROTOCOL, "case": case.to_dict(), "seed": SEED, "method": contender.method}
    return key_of({
        **parts, "settings": settings_of(options), "weights": card["sha256"], "intervals": card.get("intervals"),
    })


def measure(case: Case, contender: Contender, problem: Problem) -> dict[str, Any]:
    """What intervals of ``contender`` hold in ``problem``, as stated and as widened: the record for the store."""
    found, card = find(case, contender, problem), card_of(options_of(case, contender))
    widening = widenings(card, card["sha256"]).get(found.spread.kind)
    plain = held(found, None, problem.range)
    figures = {
        "nominal": plain,
        "widened": None if widening is None else held(found, widening, problem.range),
        "word": None if widening is None else widening.word(case.scanner, case.modality),
        "spread": found.spread.kind,
        "ratio": found.spread.ratio,
        "voxels": int(found.inside.sum()),
        "seconds": found.seconds,
        "network_calls": found.result.calls,
    }
    weights = dict(found.result.weights) if found.result.weights else None
    how = {"settings": settings_of(options_of(case, contender)), "weights": weights}
    return as_record(case, key(case, contender), contender.label, how, figures)


def held(found: Found, widening: Widening | None, scale: float) -> dict[str, Any]:
    """Coverage of each level, widths in per cent of ``scale``, and rms std over rms error.

    ``width``: mean of the intervals. ``constant``: width of an interval that is the same everywhere and holds as many.
    ``sharp``, ``constant_at_level``: both where exactly the level is held, which judges the map and not its size.
    """
    figures: dict[str, Any] = {"coverage": {}, "width": {}, "constant": {}, "sharp": {}, "constant_at_level": {}}
    unit = 200 / scale
    spread, error = found.seen(found.spread.half(LEVELS[-1], widening)), found.error
    score = error / np.maximum(spread, 1e-9 * scale)
    for level in LEVELS:
        half, name = found.seen(found.spread.half(level, widening)), f"{level:g}"
        share = float((error <= half).mean())
        figures["coverage"][name] = share
        figures["width"][name] = unit * float(half.mean())
        figures["constant"][name] = unit * float(np.quantile(error, share))
        figures["sharp"][name] = unit * float(np.quantile(score, level) * spread.mean())
        figures["constant_at_level"][name] = unit * float(np.quantile(error, level))
    std = found.seen(found.spread.std(widening))
    figures["ratio"] = rms(std) / rms(error)
    return figures


def scores(found: Found, level: float) -> Real:
    """|error| over the nominal half-width of ``level``, (voxel,): the factor that would hold each voxel."""
    spread = found.seen(found.spread.invented) * nominal(level, found.spread.samples)
    return found.error / np.maximum(spread, 1e-9 * max(float(found.error.max()), 1e-30))


def rms(values: Real) -> float:
    """Root mean square."""
    return math.sqrt(float(np.square(values).mean()))
