"""Small volume priors with random weights, and measurements to bind them to."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.volume import VolumePrior, VolumePriorConfig
from voxprior.priors.weights import Weights
from voxprior.volume import SliceGeometry

SMALL: dict[str, Any] = {
    "channels": (8, 8), "blocks": (0, 1), "up": (1,), "strides": ((1, 2, 2),), "tile": (8, 16, 16), "overlap": (2, 4, 4)
}


def live(std: float = 0.1, **settings: Any) -> VolumePrior:
    """A network with no zero layer left, so that every input can reach the output."""
    torch.manual_seed(0)
    prior = VolumePrior(VolumePriorConfig(**{**SMALL, **settings}))
    for p in prior.parameters():
        torch.nn.init.normal_(p, std=std)
    return prior.eval().requires_grad_(False)


def untrained(**settings: Any) -> VolumePrior:
    """A network as training finds it: its output is zero."""
    return VolumePrior(VolumePriorConfig(**{**SMALL, **settings})).eval().requires_grad_(False)


def shelf(prior: VolumePrior) -> Any:
    """What a method asks for weights by name and device, with one prior on it."""
    return lambda name, device: Weights(prior, {}, name, "0" * 64)


def smooth(*shape: int) -> Tensor:
    """A positive image (1, *shape), float64, that is no constant along any axis."""
    grids = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    image = 0.5 + 0.3 * np.sin(7 * grids[0] + 1) * np.cos(5 * grids[1]) + 0.2 * np.sin(9 * grids[2])
    return torch.from_numpy(image)[None]


def stack(
    truth: Tensor, axis: int, factor: float, affine: NDArray[np.float64] | None = None, profile: Any = "box"
) -> Measurement:
    """Thick slices of ``truth`` (1, *shape), of voxels of 1 mm, ``factor`` mm apart; float64 stays float64."""
    count = int(truth.shape[axis + 1] / factor)
    fine = round(count * factor)
    g = SliceGeometry(axis, count, factor, factor, fine, 1.0, profile)
    cut = truth.narrow(axis + 1, 0, fine)
    operator = Separable.from_axes((g,), tuple(count if a == axis else n for a, n in enumerate(cut.shape[1:])))
    return Measurement(operator, operator.apply(cut), None, np.eye(4) if affine is None else affine)
