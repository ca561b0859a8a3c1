"""What takes part in the comparison of one step with many, each without and with the projection onto the slices."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from voxprior import registry
from voxprior.diffusion.noise import Noise
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.one_step.protocols import LONG
from voxprior.evaluate.sr.protocols import Case
from voxprior.methods.result import Progress, Result
from voxprior.operators.base import Measurement
from voxprior.priors import student
from voxprior.priors.student import one_call, student_of
from voxprior.priors.tiles import Tiles
from voxprior.priors.volume import VolumePrior
from voxprior.priors.volume_bound import BoundVolume
from voxprior.priors.weights import Shelf

MEAN = "voxprior mean (slice prior)"
REGRESSOR = "regressor of the student's size"
STUDENT = "one-step student"
OS_DDPM = "OS-DDPM student"
TEACHER = {steps: f"teacher, {steps} steps" for steps in (20, 50, 1000)}
BLENDS = (0.25, 0.5, 0.75)
AVERAGES = (2, 4)
TILED = f"{STUDENT}, small tiles"
LABELS = (
    *("nearest", "linear", "cubic", MEAN, REGRESSOR, TEACHER[1000], TEACHER[50], TEACHER[20], OS_DDPM, STUDENT),
    *(f"{STUDENT}, mean of {n}" for n in AVERAGES),
    *(f"{share:.0%} {STUDENT}, rest regressor" for share in BLENDS),
    TILED,
)
SMALL = Tiles((0, 64, 64), (0, 32, 32), (1, 8, 8))
"""Tiles in which the seams are looked for: rows and columns; the cells are cut likewise."""


class OneStepOptions(BaseModel):
    """``network``: what one call is made of. ``share``: of the student, the rest is the regressor. ``average``: samples
    of which the mean is shown. ``tiles``: those of the weights' card, or small ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Literal["regressor", "student"] = "student"
    share: float = 1.0
    average: int = 1
    tiles: Literal["card", "small"] = "card"
    weights: str = student.DEFAULT
    regressor: str = "head-volume"


class OneStep:
    """Regressor, student, and what lies between, in one call each and without the projection."""

    name = "one-step"
    Options: ClassVar[type[BaseModel]] = OneStepOptions

    def __init__(self) -> None:
        self.shelf = Shelf(VolumePrior)

    @torch.no_grad()
    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Restore the volume behind thick slices."""
        images: list[tuple[float, Tensor]] = []
        calls, held = 0, None
        if options.network == "regressor" or options.share < 1:
            held = self.shelf(options.regressor, "cpu")
            bound = BoundVolume(held.prior, measurement)
            images.append((1 - options.share if options.network == "student" else 1.0, bound.leave(bound.mean()[0])[0]))
            calls += 1
        if options.network == "student":
            held = self.shelf(options.weights, "cpu")
            start, bound = student_of(held), BoundVolume(held.prior, measurement)
            if options.tiles == "small":
                bound.tiles = small(bound.fine)
            found = []
            for k in range(options.average):
                field = rng(k, -1, tuple(bound.m.shape[1:]))[None]
                found.append(bound.leave(one_call(bound, start, field)[0])[0])
            images.append((options.share, torch.stack(found).mean(0)))
            calls += options.average
        assert held is not None
        mean = sum((share * image for share, image in images[1:]), images[0][0] * images[0][1])
        return Result(mean, calls=calls, weights={"name": held.name, "sha256": held.sha256})


def small(fine: int) -> Tiles:
    """Small tiles for cells of so many fine slices."""
    return Tiles((16 * fine, 64, 64), (8 * fine, 32, 32), (fine, 8, 8))


_ONE_STEP = OneStep()


def resolve(method: str) -> Any:
    """The method of a contender: one of the registry's, or :class:`OneStep`."""
    return _ONE_STEP if method == OneStep.name else registry.resolve(method, "sr")


def one_step_contenders() -> list[Contender]:
    """All of :data:`LABELS`."""
    teachers = [
        Contender(label, "os-ddpm", {"steps": n, "sampler": "ancestral" if n == 1000 else "ddim"}, "long" * (n == 1000))
        for n, label in TEACHER.items()
    ]
    return [
        *(Contender(name, name) for name in ("nearest", "linear", "cubic")),
        Contender(MEAN, "voxprior", {"mode": "mean"}),
        Contender(REGRESSOR, OneStep.name, {"network": "regressor", "weights": "head-volume"}),
        Contender(STUDENT, OneStep.name),
        *(Contender(f"{STUDENT}, mean of {n}", OneStep.name, {"average": n}) for n in AVERAGES),
        *(Contender(f"{s:.0%} {STUDENT}, rest regressor", OneStep.name, {"share": s}) for s in BLENDS),
        Contender(TILED, OneStep.name, {"tiles": "small"}),
        Contender(OS_DDPM, "os-ddpm", {"steps": 1}),
        *teachers,
    ]


def runs_on(contender: Contender, case: Case) -> bool:
    """The thousand steps on one case; the rest everywhere."""
    return contender.place != "long" or (case.subject == LONG and case.factor == 4)
