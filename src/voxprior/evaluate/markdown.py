"""Markdown of figures: tables, sections, numbers with their intervals."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from voxprior.evaluate.statistics import BOOTSTRAP_SUBJECTS, Mean, Record, by_subject, mean_over_subjects


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; empty when there are no rows."""
    if not rows:
        return ""
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def section(title: str, body: str) -> str:
    """A section of a part of the page; empty without ``body``."""
    return f"### {title}\n\n{body}\n" if body else ""


def number(value: float | None, digits: int | None) -> str:
    """``value`` with so many digits after the point; None: in powers of ten."""
    if value is None:
        return "-"
    return f"{value:.1e}" if digits is None else f"{value:.{digits}f}"


def interval(mean: Mean | None, digits: int = 2) -> str:
    """A difference with its sign, and its 95 % interval in brackets where there is one."""
    if mean is None:
        return "-"
    text = f"{mean.value:+.{digits}f}"
    if mean.low is not None and mean.high is not None:
        text += f" [{mean.low:+.{digits}f}, {mean.high:+.{digits}f}]"
    return text


def estimate(mean: Mean | None, digits: int = 2) -> str:
    """A mean, and its 95 % interval in brackets where there is one."""
    if mean is None:
        return "-"
    text = number(mean.value, digits)
    if mean.low is not None and mean.high is not None:
        text += f" [{number(mean.low, digits)}, {number(mean.high, digits)}]"
    return text


def listed(values: Iterable[tuple[str, float]], digits: int = 2, sign: str = "") -> str:
    """(subject, value) pairs as their mean with its 95 % interval, or, of fewer than five subjects, the value of each.

    ``sign``: ``+`` for differences.
    """
    found = by_subject(values)
    if not found:
        return "-"
    if len(found) < BOOTSTRAP_SUBJECTS:
        return " / ".join(f"{value:{sign}.{digits}f}" for _, value in sorted(found.items()))
    mean = mean_over_subjects(found.items())
    return interval(mean, digits) if sign else estimate(mean, digits)


def covered(records: Sequence[Record], column: str) -> str:
    """Mean over subjects of one figure of their calibration: a level of coverage, or ``ratio``."""
    pairs = []
    for r in records:
        found = r["figures"]["calibration"]
        value = {**found["coverage"], "ratio": found["ratio"]}[column]
        if value is not None:
            pairs.append((r["case"]["subject"], value))
    return listed(pairs)


T = TypeVar("T", bound=Hashable)


def unique(values: Iterable[T]) -> list[T]:
    """Each value once, in the order of its first appearance."""
    return list(dict.fromkeys(values))


def provenance(records: Sequence[Record]) -> str:
    """Weights and machines behind ``records``, in a line."""
    weights = sorted({f"{r['weights']['name']} ({r['weights']['sha256'][:12]})" for r in records if r.get("weights")})
    machines = [r["machine"] for r in records]
    kinds = sorted({f"{m['processor']}, {m['threads']} threads, torch {m['torch']}" for m in machines})
    lines = []
    if weights:
        lines.append(f"Weights: {'; '.join(weights)}.")
    if kinds:
        lines.append(f"Machine: {'; '.join(kinds)}.")
    return " ".join(lines)
