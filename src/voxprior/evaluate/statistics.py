"""Averages whose unit is the subject: directions and blocks of one subject are one observation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import chi2

BOOTSTRAP_SUBJECTS = 5
"""Fewest subjects for which an interval of the mean is given."""
RESAMPLES = 10_000

Record = Mapping[str, Any]


class Mean(NamedTuple):
    """Mean over ``subjects``; ``low``, ``high``: 95 % percentile bootstrap of it, None below five subjects."""

    value: float
    subjects: int
    low: float | None
    high: float | None


class Rate(NamedTuple):
    """Events a unit of what was searched, all subjects together; ``upper``: one-sided 95 % bound."""

    value: float
    events: int
    searched: float
    upper: float


def latest(records: Iterable[Record]) -> list[Record]:
    """The newest record of each case and label, in the order in which they were first made."""
    newest: dict[tuple[str, str], Record] = {}
    for record in records:
        newest[record["name"], record["label"]] = record
    return list(newest.values())


def paired(records: Iterable[Record], figure: str) -> dict[str, dict[str, float]]:
    """Case name to label to ``figure``; results without it are left out."""
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for record in records:
        value = record["figures"].get(figure)
        if value is not None:
            table[record["name"]][record["label"]] = float(value)
    return table


def by_subject(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Mean of the values of each subject, from (subject, value) pairs."""
    grouped: dict[str, list[float]] = defaultdict(list)
    for subject, value in values:
        grouped[subject].append(value)
    return {subject: float(np.mean(found)) for subject, found in grouped.items()}


def mean_over_subjects(values: Iterable[tuple[str, float]]) -> Mean | None:
    """Mean over subjects of (subject, value) pairs, each subject once; None without any. The bootstrap is
    seeded.
    """
    observations = np.array(list(by_subject(values).values()))
    n = len(observations)
    if n == 0:
        return None
    if n < BOOTSTRAP_SUBJECTS:
        return Mean(float(observations.mean()), n, None, None)
    draws = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    low, high = np.percentile(observations[draws].mean(axis=1), [2.5, 97.5])
    return Mean(float(observations.mean()), n, float(low), float(high))


def rate_over_subjects(found: Iterable[tuple[str, int, float]]) -> Rate | None:
    """Rate of (subject, events, searched); None without any.

    The bound is the larger of the exact one of a Poisson count, which holds for none at all too, and that of a seeded
    bootstrap over subjects, whose events may come in clusters; with fewer than five subjects the first.
    """
    grouped: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for subject, count, size in found:
        grouped[subject][0] += count
        grouped[subject][1] += size
    both = np.array(list(grouped.values()))
    if not len(both) or not both[:, 1].sum() > 0:
        return None
    events, searched = (float(v) for v in both.sum(axis=0))
    upper = float(chi2.ppf(0.95, 2 * events + 2)) / 2 / searched
    if len(both) >= BOOTSTRAP_SUBJECTS:
        draws = both[np.random.default_rng(0).integers(0, len(both), (RESAMPLES, len(both)))].sum(axis=1)
        upper = max(upper, float(np.percentile(draws[:, 0] / draws[:, 1], 95)))
    return Rate(events / searched, round(events), searched, upper)
