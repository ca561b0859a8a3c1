"""What scans of the training split look like to a prior, and the score that scans stay below; kept in its card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxprior.errors import InputError
from voxprior.evaluate.ood.inputs import SR, train_cases
from voxprior.evaluate.ood.measure import JUDGES, Figures, kind_of, other
from voxprior.priors.familiarity import KEY, Familiar, fit, score
from voxprior.priors.weights import load, read_card
from voxprior.registry import weights_place

SHARE = 0.95
"""Of the training subjects, each left out in turn, that stay below the threshold."""
LEAST_SUBJECTS = 8


def calibrate(
    data: Path, weights: str | None = None, report: Callable[[str], None] = print, job: str = SR
) -> dict[str, Familiar]:
    """Score the training scans of ``data`` as ``job`` does and write the thresholds into the card of its ``weights``
    (by default those that it has by default); returns them by kind of scan.
    """
    judge = JUDGES[job]
    name = weights or judge.weights
    path = weights_place(name).path
    if path is None:
        raise InputError(f"--weights {name}: its card is not on this machine; give a file")
    known = load(name)
    found: dict[str, dict[str, list[tuple[Figures, float]]]] = {}
    for case in train_cases(data, job):
        one = judge.find(data, case, known)
        found.setdefault(kind_of(case), {}).setdefault(case.subject, []).append(one)
        report(f"{case.name}: {', '.join(f'{name} {value:.3g}' for name, value in one[0].items())}")
    familiar = {kind: threshold(scans) for kind, scans in found.items()}
    target = path.with_suffix(".json")
    card = {**read_card(target), KEY: _entry(familiar, judge.by)}  # what others wrote meanwhile is kept
    temporary = target.with_name(target.name + ".part")
    temporary.write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, target)
    return familiar


def _entry(familiar: Mapping[str, Familiar], by: str | None) -> dict[str, Any]:
    """What the card says: of scans of one kind directly."""
    if set(familiar) == {""}:
        return familiar[""].to_dict()
    entry: dict[str, Any] = {"kinds": {kind: one.to_dict() for kind, one in familiar.items()}}
    if by is not None:
        entry["by"] = {"name": by, "sha256": other(by).sha256}
    return entry


def threshold(found: Mapping[str, Sequence[tuple[Figures, float]]]) -> Familiar:
    """Mean and precision of all figures, and the quantile of the subjects' largest scores, each scored by the others.

    ``found``: subject to figures and header of its scans. Raises :class:`InputError` for few subjects.
    """
    if len(found) < LEAST_SUBJECTS:
        raise InputError(f"{len(found)} training subjects; a threshold needs at least {LEAST_SUBJECTS}")
    worst = []
    for subject, own in found.items():
        others = [figures for name, many in found.items() if name != subject for figures, _ in many]
        known = Familiar(*fit(others), 0.0, SHARE, len(found))
        worst.append(max(score(figures, beyond, known) for figures, beyond in own))
    everyone = [figures for many in found.values() for figures, _ in many]
    return Familiar(*fit(everyone), float(np.quantile(worst, SHARE)), SHARE, len(found))
