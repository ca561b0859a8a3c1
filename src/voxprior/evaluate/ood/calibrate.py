"""What scans of the training split look like to a prior, and the score that scans stay below; kept in its card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from voxprior.errors import InputError
from voxprior.evaluate.ood.inputs import bind, prepare, train_cases
from voxprior.priors.familiarity import Familiar, figures, fit, outside, score
from voxprior.priors.weights import DEFAULT, load
from voxprior.registry import weights_place

SHARE = 0.95
"""Of the training subjects, each left out in turn, that stay below the threshold."""
LEAST_SUBJECTS = 8

Figures = Mapping[str, float]


def calibrate(data: Path, weights: str = DEFAULT, report: Callable[[str], None] = print) -> Familiar:
    """Score the training scans of ``data`` by ``weights`` and write the threshold into their card; returns it."""
    path = weights_place(weights).path
    if path is None:
        raise InputError(f"--weights {weights}: its card is not on this machine; give a file")
    known = load(weights)
    found: dict[str, list[tuple[Figures, float]]] = {}
    for case in train_cases(data):
        bound = bind(*prepare(data, case), known.prior)
        one = figures(bound), outside(known.card, bound)
        found.setdefault(case.subject, []).append(one)
        report(f"{case.name}: {', '.join(f'{name} {value:.3g}' for name, value in one[0].items())}")
    familiar = threshold(found)
    card = {**known.card, "familiar": familiar.to_dict()}
    target = path.with_suffix(".json")
    temporary = target.with_name(target.name + ".part")
    temporary.write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, target)
    return familiar


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
