"""Who takes part in an evaluation, and by what their results are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel

from voxprior.registry import resolve

Resolve = Callable[[str], Any]
"""Method name to method object."""


@dataclass(frozen=True)
class Contender:
    """A row of the tables: a method with its options. ``block``: it runs on the blocks, else on whole volumes."""

    label: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    block: bool = False


class Network(NamedTuple):
    """Weights of a method: name, sha256, and multiply-adds a voxel and call (None where the card does not say)."""

    name: str
    sha256: str
    multiply_adds: float | None


CUBIC = "cubic"
"""The baseline that gains are counted from."""
MEAN = "voxprior mean"
SAMPLE = "voxprior sample"


def sr_contenders(steps: int = 20, samples: int = 8, weights: str | None = None) -> list[Contender]:
    """Baselines and ours: the mean mode on everything, ``samples`` posterior samples of ``steps`` calls on the blocks."""
    chosen = {} if weights is None else {"weights": weights}
    baselines = [Contender(name, name) for name in ("nearest", "linear", CUBIC, "cubic-projected")]
    mean = Contender(MEAN, "voxprior", {"mode": "mean", **chosen})
    drawn = {"mode": "sample", "steps": steps, "samples": samples, **chosen}
    on_blocks = [
        Contender(CUBIC, CUBIC, block=True),
        Contender("cubic-projected", "cubic-projected", block=True),
        Contender(MEAN, "voxprior", mean.options, block=True),
        Contender(SAMPLE, "voxprior", drawn, block=True),
    ]
    return [*baselines, mean, *on_blocks]


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
