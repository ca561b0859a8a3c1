"""How far what was given lies from what weights were trained on: its figures against those of training scans.

A job finds positive figures, most of them how badly a prior removes noise that was put on the image. They are compared
with those of scans of the training split (Mahalanobis distance of their logarithms), so that an image that is too easy,
such as one that was restored before, counts like one that is too hard. What the header says counts too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY = "familiar"
"""Of the card."""
LEAST, BLUNT = 1e-6, 1e3
"""Figures below and above are taken for these."""
SHRINKAGE = 0.1
"""Part by which covariances of the figures are taken down: few scans tell little of them."""
TOLERATED = 0.1
"""Logarithm outside the trained range that weighs like one standard deviation."""


@dataclass(frozen=True)
class Familiar:
    """What scans of the training split look like to a prior.

    ``figures``: names. ``mean`` (figure,) and ``precision`` (figure, figure): of their logarithms. ``threshold``: the
    score that ``share`` of ``subjects`` left out in turn stay below.
    """

    figures: tuple[str, ...]
    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    threshold: float
    share: float
    subjects: int

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**asdict(self), "figures": list(self.figures)}


def familiar_of(card: Mapping[str, Any], figures: Sequence[str], kind: str = "") -> Familiar | None:
    """What the card of weights says of scans that they know, by ``kind`` where there are several, such as ``box``.

    None if it was never calibrated, or for other ``figures``.
    """
    values = card.get(KEY, {})
    values = values.get("kinds", {}).get(kind, {}) if kind else values
    if values.get("figures") != list(figures):
        return None
    rows = tuple(tuple(row) for row in values["precision"])
    known = values["threshold"], values["share"], values["subjects"]
    return Familiar(tuple(figures), tuple(values["mean"]), rows, *known)


def judged_by(card: Mapping[str, Any]) -> str | None:
    """Digest of the weights that found the figures, where they are others than those of the ``card``."""
    by = card.get(KEY, {}).get("by")
    return None if by is None else str(by["sha256"])


def score(found: Mapping[str, float], beyond: float, known: Familiar) -> float:
    """Distance of ``found`` from ``known``, standard deviations a figure, and that of the header, in quadrature."""
    d = _logs(found, known.figures) - np.array(known.mean)
    return math.sqrt(float(d @ np.array(known.precision) @ d) / len(d) + (beyond / TOLERATED) ** 2)


def fit(
    found: Sequence[Mapping[str, float]],
) -> tuple[tuple[str, ...], tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Names, mean and precision of the logarithms of the figures of several scans, the covariance shrunk."""
    names = tuple(found[0])
    logs = np.stack([_logs(one, names) for one in found])
    spread = np.cov(logs, rowvar=False)
    spread = (1 - SHRINKAGE) * spread + SHRINKAGE * np.diag(np.diag(spread))
    rows = np.linalg.inv(spread)
    return names, tuple(float(v) for v in logs.mean(0)), tuple(tuple(float(v) for v in row) for row in rows)


def beyond(values: Iterable[tuple[float, Sequence[float] | None]]) -> float:
    """Largest distance, natural logarithm, of values from their trained ranges, None where unknown; 0 inside."""
    each = [max(math.log(limits[0] / v), math.log(v / limits[1])) for v, limits in values if limits]
    return max(0.0, *each) if each else 0.0


def _logs(found: Mapping[str, float], names: Sequence[str]) -> NDArray[np.float64]:
    return np.log([min(max(found[name], LEAST), BLUNT) for name in names])
