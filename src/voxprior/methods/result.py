"""What every method returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel
from torch import Tensor

from voxprior.diffusion.noise import Noise
from voxprior.operators.base import Measurement
from voxprior.priors.widening import Widening

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(frozen=True, eq=False)
class Result:
    """A restored image in input units.

    ``mean``, ``std`` (*space); ``samples`` (sample, *space) or None; ``calls``: network calls; ``weights``: name and
    sha256; ``notes``: figures for the sidecar; ``warnings``: sentences for the user. ``snapshots``: the
    middle slices, one an axis, of the first sample's estimate after so many network calls. ``widenings``: what the
    weights' card says of the intervals of each kind of spread.
    """

    mean: Tensor
    std: Tensor | None = None
    samples: Tensor | None = None
    calls: int = 0
    status: str = "done"
    weights: Mapping[str, str] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    snapshots: Mapping[int, tuple[Tensor, ...]] = field(default_factory=dict)
    widenings: Mapping[str, Widening] = field(default_factory=dict)


class Method(Protocol):
    """A named way to restore; ``Options`` is the frozen model from which every door derives its options."""

    name: str
    Options: type[BaseModel]
    citation: str

    def __call__(
        self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None
    ) -> Result:
        """Restore the image behind ``measurement``."""
        ...
