"""The part of the page about inputs that are unlike the training data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxprior.evaluate.markdown import table, unique
from voxprior.evaluate.ood.inputs import SCAN
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.statistics import RESAMPLES, by_subject

_HEAD = """## Unfamiliar inputs

`voxprior evaluate ood --data DIR`: the score of test scans against that of what is no such scan, each as slices of 3
and 5 voxels. Area under the curve (AUROC): the chance that such an input scores higher than a
scan; the volume that both were made from is the unit, its scores are averaged, and the interval is a bootstrap over
volumes. Warned: the part of the inputs above the threshold, which was set on the training split alone.
"""


def part(folder: Path) -> str:
    """The part of the page, from ``folder``/ood.jsonl; empty without results."""
    found = results(folder, "ood").records()
    return render(found, remarks_of(folder, "ood")) if found else ""


def render(records: Iterable[Mapping[str, Any]], remarks: str = "") -> str:
    """The part as Markdown: a row a kind of input."""
    newest = {record["name"]: record for record in records}
    found = list(newest.values())
    kinds = unique(r["case"]["kind"] for r in found)
    scans = [r for r in found if r["case"]["kind"] == SCAN]
    rows = [_row(kind, [r for r in found if r["case"]["kind"] == kind], scans) for kind in kinds]
    head = ["input", "volumes", "score, median", "warned", "AUROC", "AUROC without the header"]
    body = table(head, rows)
    return "\n".join(text for text in (_HEAD, body, remarks.strip()) if text) + "\n"


def _row(kind: str, found: Sequence[Mapping[str, Any]], scans: Sequence[Mapping[str, Any]]) -> list[str]:
    scores = [r["score"] for r in found]
    warned = float(np.mean([r["score"] > r["threshold"] for r in found]))
    volumes = len({r["case"]["subject"] for r in found})
    areas = ["", ""] if kind == SCAN or not scans else [_area(found, scans, n) for n in ("score", "without_header")]
    return [kind, str(volumes), f"{np.median(scores):.1f}", f"{warned:.0%}", *areas]


def _area(found: Sequence[Mapping[str, Any]], scans: Sequence[Mapping[str, Any]], name: str) -> str:
    inputs, known = (by_subject((r["case"]["subject"], r[name]) for r in group) for group in (found, scans))
    value, low, high = auroc(inputs, known)
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def auroc(inputs: Mapping[str, float], scans: Mapping[str, float]) -> tuple[float, float, float]:
    """Chance that one of ``inputs`` scores above one of ``scans`` (both by volume), and its 95 % bootstrap interval.

    Where both come from the same volumes these are drawn together.
    """
    names = sorted({*inputs, *scans})
    wins = np.array([[0.5 * ((a > b) + (a >= b)) for b in scans.values()] for a in inputs.values()], dtype=float)
    rows, columns = ([names.index(n) for n in group] for group in (inputs, scans))
    draws = np.random.default_rng(0).multinomial(len(names), [1 / len(names)] * len(names), RESAMPLES)
    weight, other = draws[:, rows].astype(float), draws[:, columns].astype(float)
    mass = weight.sum(1) * other.sum(1)
    drawn = np.einsum("ri,ij,rj->r", weight, wins, other)[mass > 0] / mass[mass > 0]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(wins.mean()), float(low), float(high)
