"""The intensity scale of the priors: set by the measurement alone, so that a result scales with its input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BACKGROUND = 0.1
"""Part of the 99.9th percentile below which a voxel counts as background."""


def intensity_scale(data: NDArray[Any]) -> float:
    """The 99th percentile of the foreground of ``data`` (any shape, any unit); 1.0 for an empty image."""
    values = np.abs(np.asarray(data)).ravel()
    if values.size > 2_000_000:
        values = values[:: values.size // 1_000_000]
    foreground = values[values > BACKGROUND * np.percentile(values, 99.9)]
    return float(np.percentile(foreground, 99)) if foreground.size else 1.0
