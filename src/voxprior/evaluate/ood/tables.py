"""The part of the page about inputs that are unlike the training data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxprior.evaluate.markdown import table, unique
from voxprior.evaluate.ood.inputs import ENHANCE, RECON, SCAN, SCANS, SR
from voxprior.evaluate.page import remarks as remarks_of
from voxprior.evaluate.page import results
from voxprior.evaluate.statistics import RESAMPLES, by_subject

_HEAD = """## Unfamiliar inputs

`voxprior evaluate ood --data DIR`: the score of test scans against that of what is no such scan, as each job is given
them. Area under the curve (AUROC): the chance that such an input scores higher than a scan; the volume that both were
made from is the unit, its scores are averaged, and the interval is a bootstrap over volumes. Warned: the part of the
inputs above the threshold, which was set on the training split alone.
"""
_OF_JOBS = {
    SR: "### sr: thick slices of 3 and 5 voxels",
    ENHANCE: "### enhance: voxels twice and three times as large along two axes",
    RECON: "### recon: k-space of one coil and of eight, acceleration 4 and 8",
}

Records = Sequence[Mapping[str, Any]]


def part(folder: Path) -> str:
    """The part of the page, from ``folder``/ood.jsonl; empty without results."""
    found = results(folder, "ood").records()
    return render(found, remarks_of(folder, "ood")) if found else ""


def render(records: Iterable[Mapping[str, Any]], remarks: str = "") -> str:
    """The part as Markdown: a table a job, a row a kind of input."""
    newest = list({record["name"]: record for record in records}.values())
    parts = [_HEAD]
    for job, title in _OF_JOBS.items():
        found = [r for r in newest if r["case"].get("job", SR) == job]
        if found:
            parts.append(f"{title}\n\n{_table(found, job)}\n")
    return "\n".join([*parts, *([remarks.strip() + "\n"] if remarks else [])])


def _table(found: Records, job: str) -> str:
    head = ["input", "volumes", "score, median", "warned", "AUROC"]
    if job == RECON:
        return table([*head, "AUROC against simulated scans"], _rows(found, _of_kspace))
    if job != ENHANCE:
        return table([*head, "AUROC without the header"], _rows(found, _of_volumes))
    causes = unique(r["case"]["degraded"] for r in found)
    rows = [[c, *row] for c in causes for row in _rows([r for r in found if r["case"]["degraded"] == c], _of_volumes)]
    return table(["coarse by", *head, "AUROC without the header"], rows)


def _rows(found: Records, areas: Callable[[str, Records, Records], list[str]]) -> list[list[str]]:
    rows = []
    for kind in unique(r["case"]["kind"] for r in found):
        own = [r for r in found if r["case"]["kind"] == kind]
        volumes = len({r["case"]["subject"] for r in own})
        median, warned = np.median([r["score"] for r in own]), np.mean([r["score"] > r["threshold"] for r in own])
        rows.append([kind, str(volumes), f"{median:.1f}", f"{warned:.0%}", *areas(kind, own, found)])
    return rows


def _of_volumes(kind: str, own: Records, every: Records) -> list[str]:
    """Areas with and without the header."""
    scans = _of_kinds(every, SCANS)
    return ["", ""] if kind in SCANS or not scans else [_area(own, scans, n) for n in ("score", "without_header")]


def _of_kspace(kind: str, own: Records, every: Records) -> list[str]:
    """Areas against all scans, and against those whose k-space is simulated, as the training's is."""
    scans, simulated = _of_kinds(every, SCANS), _of_kinds(every, (SCAN,))
    return [
        "" if kind in SCANS or not scans else _area(own, scans, "score"),
        "" if kind == SCAN or not simulated else _area(own, simulated, "score"),
    ]


def _of_kinds(found: Records, kinds: Sequence[str]) -> Records:
    return [r for r in found if r["case"]["kind"] in kinds]


def _area(found: Records, scans: Records, name: str) -> str:
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
