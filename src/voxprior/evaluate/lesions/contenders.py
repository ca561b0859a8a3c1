"""Who restores volumes with lesions."""

from __future__ import annotations

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.lesions.protocols import FEW, Case
from voxprior.evaluate.sr.contenders import CUBIC, MEAN, SAMPLE
from voxprior.registry import weight_names

PROJECTED = "cubic-projected"
ONE_STEP = "voxprior one-step"
STUDENT = "head-one-step"
"""Weights of one step: without them there is no such contender."""
LABELS = (CUBIC, PROJECTED, MEAN, ONE_STEP, SAMPLE)
SLOW = "few"
"""Place of a contender that takes long: cases of few rounds alone."""


def lesion_contenders(steps: int = 20, weights: str | None = None) -> list[Contender]:
    """Cubic, plain and projected, our mean, one sample of ``steps`` calls, and one step where its weights are.

    ``weights``: of mean and sample, a name or file, default the bundled ones.
    """
    chosen = {} if weights is None else {"weights": weights}
    ours = [Contender(MEAN, "voxprior", {"mode": "mean", **chosen})]
    if STUDENT in weight_names():
        ours.append(Contender(ONE_STEP, "voxprior", {"mode": "one-step", "weights": STUDENT}))
    sample = {"mode": "sample", "steps": steps, "samples": 1, **chosen}
    return [
        *(Contender(name, name) for name in (CUBIC, PROJECTED)),
        *ours,
        Contender(SAMPLE, "voxprior", sample, SLOW),
    ]


def runs_on(contender: Contender, case: Case) -> bool:
    """What takes long runs on cases of few rounds, all others on those of many."""
    return (contender.place == SLOW) == (case.rounds == FEW)
