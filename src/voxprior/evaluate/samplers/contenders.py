"""Who samples the blocks, and with what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.sr.protocols import Case
from voxprior.evaluate.sr.tables import GROUPS
from voxprior.priors.weights import DEFAULT
from voxprior.registry import resolve

MEAN = "voxprior mean"
CUBIC = ("cubic", "cubic-projected")
CALLS = (10, 20, 30)
SAMPLES = 4
STEPS = (200,)
FIRST = "first"
"""Place of contenders that take minutes: the block of the first subject."""
WARM = 10.0
"""Warm start of the method, in units of the expected error of the interpolated slices."""
DPS_WEIGHTS = (2.0, 8.0, 32.0)

ALONE = "prior of slices alone"
TOLD = "prior told of the slices"


def sampler_contenders(tpdm_steps: Sequence[int] = STEPS, weights: str | None = None) -> list[Contender]:
    """Interpolation, ours with 10, 20 and 30 calls, TPDM with so many steps, and samplers with parts exchanged.

    TPDM runs on the first block. ``weights``: a name or file, default the bundled ones.
    """
    given = {"weights": weights or DEFAULT}  # by their digest results are known, of TPDM too
    return [
        *(Contender(name, name) for name in CUBIC),
        Contender(MEAN, "voxprior", {"mode": "mean", **given}),
        *(Contender(ours(n), "voxprior", {"mode": "sample", "steps": n, "samples": SAMPLES, **given}) for n in CALLS),
        *(Contender(tpdm(n), "tpdm", {"steps": n, "samples": _drawn(n), **given}, FIRST) for n in tpdm_steps),
        *(Contender(label, "assembled", {"samples": SAMPLES, **parts, **given}) for label, parts in PARTS.items()),
    ]


def ours(calls: int) -> str:
    """Label of our samples."""
    return f"voxprior sample, {calls} calls"


def tpdm(steps: int) -> str:
    """Label of TPDM with so many steps."""
    return f"tpdm, N = {steps}"


def _drawn(steps: int) -> int:
    """Samples of TPDM: one where it takes more than an hour."""
    return SAMPLES if steps <= 200 else 1


PARTS: dict[str, dict[str, Any]] = {
    f"{ALONE}: one plane": {"planes": 1},
    f"{ALONE}: one plane, correlated noise (.5)": {"planes": 1, "correlation": 0.5},
    f"{ALONE}: one plane, warm start": {"planes": 1, "warm": WARM},
    f"{ALONE}: two planes": {},
    f"{ALONE}: three planes": {"planes": 3},
    f"{ALONE}: two planes, dual": {"guidance": "dual"},
    f"{ALONE}: two planes, warm start": {"warm": WARM},
    f"{ALONE}: two planes, dual, warm start": {"guidance": "dual", "warm": WARM},
    f"{ALONE}: two planes, Pi-GDM": {"guidance": "pi-gdm"},
    f"{ALONE}: two planes, Pi-GDM, warm start": {"guidance": "pi-gdm", "warm": WARM},
    **{f"{ALONE}: two planes, DPS, w = {w:g}": {"guidance": "dps", "weight": w} for w in DPS_WEIGHTS},
    f"{TOLD}: one plane": {"prior": "told", "planes": 1},
    f"{TOLD}: one plane, correlated noise (.5)": {"prior": "told", "planes": 1, "correlation": 0.5},
    f"{TOLD}: two planes": {"prior": "told"},
    f"{TOLD}: three planes": {"prior": "told", "planes": 3},
    f"{TOLD}: two planes, dual": {"prior": "told", "guidance": "dual"},
    f"{TOLD}: two planes, warm start (the method)": {"prior": "told", "warm": WARM},
    f"{TOLD}: two planes, dual, warm start": {"prior": "told", "guidance": "dual", "warm": WARM},
    f"{TOLD}: two planes, Pi-GDM, warm start": {"prior": "told", "guidance": "pi-gdm", "warm": WARM},
}
"""Label to what is chosen: the proximal point, two planes, no warm start and white noise unless said otherwise."""


def runs_on(contender: Contender, case: Case) -> bool:
    """Whether ``case`` is of the contender's place: everything, or the ``first`` subject, of a known scanner."""
    return contender.place == "" or case.group == GROUPS[0]


def sampler_method(name: str) -> Any:
    """The method called ``name``: of the ``sr`` job, or ``assembled``."""
    if name == "assembled":
        from voxprior.evaluate.samplers.ablation import assembled

        return assembled
    return resolve(name, "sr")
