"""Who reconstructs the undersampled slices, and which slices: what takes minutes runs where it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.recon.protocols import OTHER, REAL, TIMED, Case
from voxprior.priors.weights import DEFAULT
from voxprior.registry import resolve

WAVELET = "BART pics, L1-wavelet"
"""The rival that gains are counted from; its results come from ``benchmarks/recon``."""
MEAN = "voxprior mean, 10 calls"
LONG = "voxprior mean, 30 calls"
FEW = "voxprior sample, 10 calls"
MANY = "voxprior sample, 30 calls"
FOUR = "voxprior, mean of 4 samples of 10 calls"
PUBLISHED = ("ve-sde", "vp-sde", "hfs-sde")
CENTRE = 16
"""Central lines that HFS-SDE leaves alone: a mask with fewer does not measure them."""
SHORT, FULL = 100, 1000
"""Steps of the published methods: on all slices, and on one."""
TPDM_STEPS = 200
TOLD_REAL = "tpdm-real"
TPDM = f"tpdm, N = {TPDM_STEPS}"
TPDM_REAL = f"{TPDM}, told that the image is real"


def _eightfold(case: Case) -> bool:
    return case.acceleration in (8, 24)


def _stack(case: Case) -> bool:
    return case.slices > 1


def _uniform_eightfold(case: Case) -> bool:
    return case.acceleration == 8 and case.mask == "uniform" and case.group != TIMED


PLACES: Mapping[str, Callable[[Case], bool]] = {
    "": lambda case: True,
    "eightfold": _eightfold,
    "stack": _stack,
    "lines or eightfold": lambda case: case.mask not in ("poisson", "radial") or _eightfold(case),
    "uniform eightfold": lambda case: _uniform_eightfold(case) and case.group != OTHER,
    "published": lambda case: _uniform_eightfold(case) or (case.group == REAL and case.acs >= CENTRE),
    "one": lambda case: _uniform_eightfold(case) and case.group == REAL,
}
"""Words for the cases of a contender, see :func:`recon_contenders`; what runs eightfold runs 24-fold too."""


def recon_contenders(weights: str | None = None) -> list[Contender]:
    """Linear baselines and ours on everything, TV on lines; TV, samples of 30 calls and the mean of four where R = 8.

    The published methods: HFS-SDE with 100 steps on the real head and where R = 8 by lines, the two others on heads
    where R = 8 by lines, HFS-SDE with 1000 steps on one slice. TPDM on stacks. ``weights``: a name or file for ours,
    default the bundled ones.
    """
    chosen = {} if weights is None else {"weights": weights}
    sample = {"mode": "sample", "samples": 1, **chosen}
    places = {"ve-sde": "uniform eightfold", "vp-sde": "uniform eightfold", "hfs-sde": "published"}
    return [
        *(Contender(name, name) for name in ("zero-filled", "sense")),
        Contender("tv", "tv", place="lines or eightfold"),  # scattered samples cost it a minute
        Contender(MEAN, "voxprior", {"mode": "mean", "steps": 10, **chosen}),
        Contender(FEW, "voxprior", {**sample, "steps": 10}),
        Contender(LONG, "voxprior", {"mode": "mean", "steps": 30, **chosen}),
        Contender(MANY, "voxprior", {**sample, "steps": 30}, "eightfold"),
        Contender(FOUR, "voxprior", {**sample, "steps": 10, "samples": 4}, "eightfold"),
        *(Contender(published(name, SHORT), name, {"steps": SHORT}, places[name]) for name in PUBLISHED),
        Contender(published("hfs-sde", FULL), "hfs-sde", {"steps": FULL}, "one"),
        # Weights are named, although the method finds them itself: results are known by their digest.
        Contender(TPDM, "tpdm", {"steps": TPDM_STEPS, "weights": "head-kspace"}, "stack"),
        Contender(TPDM_REAL, TOLD_REAL, {"steps": TPDM_STEPS, "weights": DEFAULT}, "stack"),
    ]


def published(name: str, steps: int) -> str:
    """Label of a published method with so many steps."""
    return f"{name}, N = {steps}"


def runs_on(contender: Contender, case: Case) -> bool:
    """Whether ``case`` is of the contender's place."""
    return PLACES[contender.place](case)


def recon_method(name: str) -> Any:
    """The method of the ``recon`` job called ``name``, or ``tpdm-real``, imported now."""
    if name == TOLD_REAL:
        from voxprior.evaluate.recon.stack import ToldReal

        return ToldReal(resolve("tpdm", "recon"))
    return resolve(name, "recon")
