"""Who reconstructs the blocks of CT slices, and which blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.ct.protocols import SETTINGS, Case
from voxprior.registry import METHODS, resolve, weight_names

TV = "tv"
"""The rival that gains are counted from."""
MEAN = "voxprior mean"
SAMPLE = "voxprior sample"
FOUR = "voxprior, mean of 4 samples"
WEIGHTS = "thorax-ct"
TV_ITERATIONS = 100
"""More than the method takes by itself: a rival that has not converged is none."""
STEPS = 200
TPDM = f"tpdm, N = {STEPS}"


class Grid(NamedTuple):
    """The one setting of a method that is chosen on held-back training data, and the values that are tried.

    ``fixed``: what it is given besides.
    """

    method: str
    option: str
    values: tuple[Any, ...]
    fixed: Mapping[str, Any] = MappingProxyType({})

    def options(self, value: Any) -> dict[str, Any]:
        """Of the method with one of the values."""
        return {**self.fixed, self.option: value}


GRIDS = (
    Grid("fbp", "filter", ("ram-lak", "shepp-logan", "cosine", "hann")),
    Grid("cgls", "iterations", (6, 10, 16, 25, 40, 60)),
    Grid(TV, "strength", (0.05, 0.1, 0.2, 0.4, 0.8, 1.6), {"iterations": TV_ITERATIONS}),
)

Chosen = Mapping[str, Mapping[str, Any]]
"""Views in words to method name to the value of its :class:`Grid`."""


def ct_contenders(chosen: Chosen, weights: str | None = None) -> list[Contender]:
    """Baselines with the setting ``chosen`` for the views, ours on everything, TPDM and the mean of four on the block.

    What the registry does not have is left out, and so is what needs weights that the package does not carry.
    ``weights``: a name or file, default the bundled ones.
    """
    given = {"weights": weights or WEIGHTS}  # by their digest results are known, of TPDM too
    sample = {"mode": "sample", **given}
    everyone = [
        *(baseline(grid, setting, chosen) for grid in GRIDS for setting in (v_setting(v) for v in SETTINGS)),
        Contender(TPDM, "tpdm", {"steps": STEPS, **given}, "block"),
        Contender(MEAN, "voxprior", {"mode": "mean", **given}),
        Contender(SAMPLE, "voxprior", {**sample, "samples": 1}),
        Contender(FOUR, "voxprior", {**sample, "samples": 4}, "block"),
    ]
    there = weights is not None or WEIGHTS in weight_names()
    known = [contender for contender in everyone if contender.method in METHODS["ct"]]
    return [contender for contender in known if there or "weights" not in contender.options]


def baseline(grid: Grid, setting: str, chosen: Chosen) -> Contender:
    """A baseline for the views ``setting``: with the value chosen for them, or as it comes."""
    value = chosen.get(setting, {}).get(grid.method)
    return Contender(grid.method, grid.method, dict(grid.fixed) if value is None else grid.options(value), setting)


def v_setting(views: Sequence[Any]) -> str:
    """Views in words."""
    return Case("", "", "", "", *views).setting


def runs_on(contender: Contender, case: Case) -> bool:
    """Whether ``case`` is of the contender's place: everything, the smaller ``block``, or views in words."""
    if contender.place == "block":
        return case.block
    return contender.place in ("", case.setting)


def ct_method(name: str) -> Any:
    """The method of the ``ct`` job called ``name``, imported now."""
    return resolve(name, "ct")
