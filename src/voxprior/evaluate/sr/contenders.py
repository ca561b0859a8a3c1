"""Who restores the thickened volumes."""

from __future__ import annotations

from typing import Any

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.sr.protocols import Case
from voxprior.registry import resolve

CUBIC = "cubic"
"""The baseline that gains are counted from."""
MEAN = "voxprior mean"
SAMPLE = "voxprior sample"


def sr_contenders(steps: int = 20, samples: int = 8, weights: str | None = None) -> list[Contender]:
    """Baselines and ours.

    The mean mode runs on everything, ``samples`` posterior samples of ``steps`` calls on the blocks, and one such
    sample on the timed volume. ``weights``: a name or file, default the bundled ones.
    """
    chosen = {} if weights is None else {"weights": weights}
    mean = {"mode": "mean", **chosen}
    sample = {"mode": "sample", "steps": steps, **chosen}
    return [
        *(Contender(name, name) for name in ("nearest", "linear", CUBIC, "cubic-projected")),
        Contender(MEAN, "voxprior", mean),
        Contender(f"{SAMPLE}, one", "voxprior", {**sample, "samples": 1}, "timed"),
        *(Contender(name, name, place="block") for name in (CUBIC, "cubic-projected")),
        Contender(MEAN, "voxprior", mean, "block"),
        Contender(SAMPLE, "voxprior", {**sample, "samples": samples}, "block"),
    ]


def sr_method(name: str) -> Any:
    """The method of the ``sr`` job called ``name``, imported now."""
    return resolve(name, "sr")


def runs_on(contender: Contender, case: Case) -> bool:
    """Whether ``case`` is of the contender's place: whole volumes, ``block``, or ``timed``: the timed volume alone."""
    if contender.place == "block":
        return case.crop > 0
    return case.crop == 0 and (contender.place == "" or case.repeats > 1)
