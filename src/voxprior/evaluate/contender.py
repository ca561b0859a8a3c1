"""Who takes part in an evaluation, and by what their results are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel

Resolve = Callable[[str], Any]
"""Method name to method object."""


@dataclass(frozen=True)
class Contender:
    """A row of the tables: a method with its options.

    ``place``: on which cases it runs, in the words of its job; "" for the usual ones.
    """

    label: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""


class Network(NamedTuple):
    """Weights of a method: name, sha256, and multiply-adds a voxel and call (None where the card does not
    say).
    """

    name: str
    sha256: str
    multiply_adds: float | None


def network_of(options: BaseModel) -> Network | None:
    """The weights that ``options`` name, or those of their mode; None for a method without a network. Reads and checks
    them.
    """
    if "weights" not in type(options).model_fields:
        return None
    name = getattr(options, "weights", None)
    return _network(None if name is None else str(name), getattr(options, "mode", None) == "one-step")


@lru_cache(maxsize=8)
def _network(name: str | None, one_step: bool) -> Network:
    from voxprior.priors import student
    from voxprior.priors.denoiser import SlicePrior
    from voxprior.priors.volume import VolumePrior
    from voxprior.priors.weights import DEFAULT, Weights, load, load_as

    weights: Weights[SlicePrior] | Weights[VolumePrior]
    weights = load_as(name or student.DEFAULT, VolumePrior) if one_step else load(name or DEFAULT)
    count = weights.card.get("multiply_adds_per_voxel_and_plane")
    return Network(weights.name, weights.sha256, None if count is None else float(count))


def settings_of(options: BaseModel) -> dict[str, Any]:
    """Options as JSON values, without the place of the weights: their digest says more and gives no path away."""
    return {name: value for name, value in options.model_dump(mode="json").items() if name != "weights"}
