"""How much wider than their spread intervals must be, as measured on scans of known truth and kept in a card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

KEY = "intervals"
"""Of the card."""


@dataclass(frozen=True)
class Widening:
    """Factors of one kind of spread, measured at some ratios of coarse to fine voxels.

    ``ratios`` (ratio,): ascending. ``widths``: a nominal level to its factors (ratio,) of the nominal half-width.
    ``std`` (ratio,): factors of the std. ``subjects``: how many they were measured on; ``on``: which, in words;
    ``scanners`` and ``modalities`` of theirs. ``samples``: posterior samples behind the spread, or None.
    """

    ratios: tuple[float, ...]
    widths: Mapping[float, tuple[float, ...]]
    std: tuple[float, ...]
    subjects: int
    on: str
    scanners: tuple[str, ...]
    modalities: tuple[str, ...]
    samples: int | None = None

    def width(self, level: float, ratio: float) -> float:
        """The factor of the nominal half-width of ``level``, one of :attr:`widths`, at ``ratio``."""
        return between(self.ratios, self.widths[level], ratio)

    def spread(self, ratio: float) -> float:
        """The factor of the std at ``ratio``."""
        return between(self.ratios, self.std, ratio)

    def covers(self, ratio: float) -> bool:
        """Whether ``ratio`` lies among those that were measured."""
        return self.ratios[0] <= ratio * (1 + 1e-6) and ratio <= self.ratios[-1] * (1 + 1e-6)

    def guaranteed(self, level: float) -> float:
        """Least coverage of a voxel of one more subject like these, whatever the distribution: ``level n / (n + 1)``.

        The pooled quantile of n subjects of equal weight is that of n + 1 of which one is never covered.
        """
        return level * self.subjects / (self.subjects + 1)

    def word(self, scanner: str | None = None, modality: str | None = None) -> str:
        """``calibrated`` for a scan of a scanner and contrast that the factors were measured on, both known; else
        ``coverage measured``.
        """
        known = scanner in self.scanners and modality in self.modalities
        return "calibrated" if known else "coverage measured"


def between(ratios: Sequence[float], values: Sequence[float], ratio: float) -> float:
    """``values`` at ``ratios`` (ascending), linear in the logarithm of the ratio; beyond the ends, that of the end."""
    return float(np.interp(math.log(ratio), np.log(ratios), values))


def widenings(card: Mapping[str, Any], sha256: str) -> dict[str, Widening]:
    """What ``card`` says of each kind of spread (``sr mean``, ``enhance box mean``) of the weights of ``sha256``.

    Nothing if it was never measured, and nothing if that was with other weights than these.
    """
    values = card.get(KEY)
    if values is None or values.get("sha256") != sha256:
        return {}
    return {kind: _widening(one, values) for kind, one in values["kinds"].items()}


def _widening(one: Mapping[str, Any], values: Mapping[str, Any]) -> Widening:
    return Widening(
        ratios=tuple(one["ratios"]),
        widths={float(level): tuple(found) for level, found in one["widths"].items()},
        std=tuple(one["std"]),
        subjects=one["subjects"],
        on=values["on"],
        scanners=tuple(values["scanners"]),
        modalities=tuple(values["modalities"]),
        samples=one["samples"],
    )
