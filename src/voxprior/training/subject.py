"""One training volume, and the intensity scale that it is shown on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from voxprior.priors.intensity import intensity_scale

WINDOW = (-1000, 2000)
"""HU that a prior for CT is trained on; beyond are metal and errors."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One training volume in RAS order.

    ``codes``: numbers as stored; ``image`` has them on the priors' intensity scale (float32); of CT they are HU, and
    the scale is that of the attenuation of water. ``voxel``: mm.
    ``fine``: axes with true fine resolution. ``labels``: whether the codes are tissue labels.
    """

    name: str
    role: str
    modality: str
    codes: NDArray[Any]
    voxel: tuple[float, float, float]
    fine: tuple[int, ...]
    labels: bool = False

    @cached_property
    def image(self) -> NDArray[np.float32]:
        """The volume with the 99th percentile of its foreground at 1; CT with water at 1; label maps as they are."""
        if self.modality == "CT":
            hu: NDArray[np.float32] = np.clip(self.codes, *WINDOW).astype(np.float32)
            return hu / np.float32(1000) + np.float32(1)
        scale = 1.0 if self.labels else intensity_scale(self.codes)
        return self.codes.astype(np.float32) / np.float32(scale)

    @cached_property
    def spline(self) -> NDArray[np.float32]:
        """Cubic B-spline coefficients of :attr:`image`."""
        return spline_coefficients(self.image)


def spline_coefficients(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cubic B-spline coefficients of ``image``, mirrored at its ends; same shape, float32."""
    return np.asarray(spline_filter(image, order=3, output=np.float32, mode="mirror"), dtype=np.float32)
