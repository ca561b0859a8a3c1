"""Anatomical planes of a volume, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from voxprior.priors.condition import world_axes

Plane = Literal["sagittal", "coronal", "axial"]
"""Slices normal to the right-left, the front-back and the foot-head axis."""
WORLD: Mapping[Plane, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
"""World axis normal to each."""


def normals(affine: NDArray[np.float64] | None, slices: int = 2) -> Mapping[Plane, int]:
    """The array axis that each plane is normal to, from the affine of the grid, nearest where it is oblique.

    Without an affine the planes normal to axis ``slices`` are called axial, the others coronal and sagittal in order.
    """
    if affine is None:
        rest = [axis for axis in range(3) if axis != slices]
        return {"axial": slices, "coronal": rest[0], "sagittal": rest[1]}
    world = world_axes(affine)
    return {name: world.index(axis) for name, axis in WORLD.items()}
