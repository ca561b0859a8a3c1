"""Intervals that should hold the true value of a voxel with a stated probability, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from scipy.special import ndtri, stdtrit
from torch import Tensor

from voxprior.methods.result import Result
from voxprior.metrics.detail_noise import detail_noise
from voxprior.operators.base import Measurement
from voxprior.operators.fourier import Fourier
from voxprior.operators.separable import Separable
from voxprior.operators.spread import grain_std, noise_std, null_std
from voxprior.priors.widening import Widening

COVERAGE = 0.9
"""Nominal coverage of the intervals that are written."""
Bounds = tuple[Tensor, Tensor]


def interval(
    mean: Tensor, std: Tensor | None, samples: Tensor | None, coverage: float = COVERAGE
) -> Bounds | None:
    """Lower and upper bound of ``coverage`` about ``mean`` (*space), in its units; None when no spread is known.

    K >= 2 samples (sample, *space) give ``mean +- t(K - 1) s sqrt(1 + 1/K)`` with s of ddof 1; otherwise a Gaussian
    of ``std`` gives ``mean +- z std``.
    """
    if samples is not None and len(samples) > 1:
        width = torch.std(samples, dim=0, correction=1) * nominal(coverage, len(samples))
    elif std is not None:
        width = std * nominal(coverage, None)
    else:
        return None
    return mean - width, mean + width


def nominal(level: float, samples: int | None) -> float:
    """Half the interval of ``level`` in units of the std: of ``samples`` Gaussian draws (2 or more), or of one std."""
    tail = 0.5 + level / 2
    if samples is None:
        return float(ndtri(tail))
    return float(stdtrit(samples - 1, tail)) * math.sqrt(1 + 1 / samples)


@dataclass(frozen=True, eq=False)
class Spread:
    """What is not known of a result, in its units.

    ``kind``: ``JOB [DEGRADATION] MODE``, as the card of the weights calls it. ``ratio``: of coarse to fine voxels, or
    the rounded acceleration of k-space. ``invented`` (*space): std of what the measurement does not determine: as
    predicted, and the noise that a fine image would have of its own. ``noise`` (*space): std that the measurement's own
    noise has in the image; None where neither is known. ``samples``: draws behind the predicted part. ``of``: what may
    err, in words.
    """

    kind: str
    ratio: float
    invented: Tensor
    noise: Tensor | None
    samples: int | None
    of: str = "what the measurement does not determine, the noise of a fine image included"

    def half(self, level: float, widening: Widening | None) -> Tensor:
        """Half the width of the interval of ``level``, (*space)."""
        factor = 1.0 if widening is None else widening.width(level, self.ratio)
        half = self.invented * (factor * nominal(level, self.samples))
        return half if self.noise is None else torch.hypot(half, self.noise * nominal(level, None))

    def std(self, widening: Widening | None) -> Tensor:
        """The std, (*space)."""
        std = self.invented if widening is None else self.invented * widening.spread(self.ratio)
        return std if self.noise is None else torch.hypot(std, self.noise)


def spread_of(result: Result, measurement: Measurement, job: str) -> Spread | None:
    """The spread of ``result`` of a coarse volume; None without a std, or where no network gave it.

    Samples explain the data, so that their spread is of the null space already; a predicted std is brought there. No
    prior can foretell the noise of the fine image, which differs from scanner to scanner: as much is added as the
    finest detail of the data shows. What the data determine keeps the noise that they were measured with. After a weak
    field nothing is determined.
    """
    mode, projection = (result.notes.get(name) for name in ("mode", "projection"))
    operator = measurement.operator
    if result.std is None or projection is None or not isinstance(operator, Separable) or not operator.axes:
        return None
    count = 0 if result.samples is None else len(result.samples)
    samples = count if count > 1 else None
    degradation = str(result.notes.get("degradation", "box")) if job == "enhance" else ""
    several = "samples" if mode == "sample" else f"{mode} samples"
    kind = " ".join(word for word in (job, degradation, mode if samples is None else several) if word)
    ratio = math.prod(g.spacing / g.fine_spacing for g in operator.axes)
    std, noise = result.std.cpu(), None
    if projection != "none":
        std = torch.hypot(std if samples else null_std(operator, std), _grain(operator, measurement.y, std))
        sigma = measurement.sigma
        noise = noise_std(operator, sigma, std) if isinstance(sigma, int | float) and sigma > 0 else None
    return Spread(kind, ratio, std, noise, samples)


def std_along(result: Result) -> Tensor | None:
    """Std (*space) of the component of a complex ``result`` along its phase, whose mean is the magnitude."""
    if result.samples is None or len(result.samples) < 2:
        return None if result.std is None else result.std.detach().cpu().float()
    return along_phase(result.mean, result.samples).detach().cpu().float().std(0, correction=1)


def along_phase(image: Tensor, samples: Tensor) -> Tensor:
    """The component of complex ``samples`` (sample, *space) along the phase of ``image`` (*space), real."""
    return (torch.sgn(image).conj() * samples).real


def kspace_spread(result: Result, operator: Fourier, scale: float) -> Spread | None:
    """The spread of the magnitude of ``result``, made ``scale`` times what the method gave; None without a std.

    ``scale``: of the error that :func:`voxprior.jobs.withheld.withheld_error` measured, over that std, root mean
    squares. What the std misses is aliasing, which is everywhere: it is added evenly.
    """
    std, count = std_along(result), 0 if result.samples is None else len(result.samples)
    if std is None:
        return None
    even = math.sqrt(max(scale**2 - 1, 0)) * std.square().mean().sqrt()
    std, ratio = torch.hypot(std * min(scale, 1), even), float(round(operator.acceleration))
    mode, samples = ("samples", count) if count > 1 else (result.notes.get("mode"), None)
    coils = "one-coil" if operator.maps is None or operator.data_shape[0] == 1 else "coils"
    return Spread(f"recon {coils} {mode}", ratio, std, None, samples, "the error on withheld samples")


def _grain(operator: Separable, y: Tensor, like: Tensor) -> Tensor:
    """Std of the noise of the image that the data ``y`` (1, *data) do not hold; 0 where they are too small to tell."""
    sigma = detail_noise(y[0].numpy(force=True), operator.axes[0].axis)
    return grain_std(operator, sigma or 0.0, like)


def stated(result: Result, measurement: Measurement, job: str) -> tuple[Result, Bounds | None]:
    """``result`` with its std as measured on scans of known truth, and the interval; notes say how far that goes."""
    spread = spread_of(result, measurement, job)
    if spread is None:
        bounds = interval(result.mean, result.std, result.samples)
        return (result if bounds is None else replace(result, notes={**result.notes, **not_calibrated()})), bounds
    return widened(result, result.mean, spread)


def widened(result: Result, centre: Tensor, spread: Spread) -> tuple[Result, Bounds]:
    """``result`` with the std of ``spread``, and the interval about ``centre`` (*space), by its weights' card."""
    widening = result.widenings.get(spread.kind)
    half = spread.half(COVERAGE, widening).to(centre)
    shown = replace(result, std=spread.std(widening).to(centre), notes={**result.notes, **_said(spread, widening)})
    return shown, (centre - half, centre + half)


def not_calibrated() -> dict[str, Mapping[str, Any]]:
    """What the sidecar says of an interval that was never compared with truths."""
    return {"interval": {"level": COVERAGE, "calibrated": False, "word": "not calibrated", "on": None}}


def _said(spread: Spread, widening: Widening | None) -> dict[str, Mapping[str, Any]]:
    """What the sidecar says of the interval."""
    said: dict[str, Any] = {
        **not_calibrated()["interval"],
        "std_of": spread.of if spread.noise is None else f"{spread.of}, and the noise of the measurement",
    }
    if widening is None:
        return {"interval": said}
    inside = widening.covers(spread.ratio)
    said |= {
        "calibrated": inside,
        # Images seldom say for certain by which scanner and sequence they were made: so much is claimed of none.
        "word": widening.word() if inside else "beyond the factors that were measured",
        "on": widening.on,
        "guaranteed": round(widening.guaranteed(COVERAGE), 3),
        "kind": spread.kind,
        "ratio": round(spread.ratio, 4),
        "measured_ratios": list(widening.ratios),
        "widened_by": round(widening.width(COVERAGE, spread.ratio), 4),
    }
    if widening.samples is not None:
        said["measured_with_samples"] = widening.samples
    return {"interval": said}
