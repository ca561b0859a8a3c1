"""Who takes part in an evaluation, and by what their results are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from voxprior.evaluate.protocols import Case
from voxprior.registry import resolve

Resolve = Callable[[str], Any]
"""Method name to method object."""


@dataclass(frozen=True)
class Contender:
    """A row of the tables: a method with its options.

    ``place``: it runs on whole volumes, on the blocks, or on the timed volume alone (once, for what takes minutes).
    """

    label: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    place: Literal["volume", "block", "timed"] = "volume"

    def runs_on(self, case: Case) -> bool:
        """Whether ``case`` is of this contender's place."""
        if self.place == "block":
            return case.crop > 0
        return case.crop == 0 and (self.place == "volume" or case.repeats > 1)


class Network(NamedTuple):
    """Weights of a method: name, sha256, and multiply-adds a voxel and call (None where the card does not
    say).
    """

    name: str
    sha256: str
    multiply_adds: float | None


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


def network_of(options: BaseModel) -> Network | None:
    """The weights that ``options`` name, or None for a method without a network; reads and checks them."""
    name = getattr(options, "weights", None)
    return None if name is None else _network(str(name))


@lru_cache(maxsize=4)
def _network(name: str) -> Network:
    from voxprior.priors.weights import load

    weights = load(name)
    count = weights.card.get("multiply_adds_per_voxel_and_plane")
    return Network(weights.name, weights.sha256, None if count is None else float(count))
