"""The kinds of network that weights may be of."""

from __future__ import annotations

from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.volume import VolumePrior, VolumePriorConfig

Prior = SlicePrior | VolumePrior
PriorConfig = SlicePriorConfig | VolumePriorConfig
NAMES: dict[type, str] = {SlicePrior: "slice-prior", VolumePrior: "volume-prior"}
"""What a card calls each kind."""


def make_prior(config: PriorConfig) -> Prior:
    """A network with random weights, of the kind that ``config`` is of."""
    return VolumePrior(config) if isinstance(config, VolumePriorConfig) else SlicePrior(config)
