"""Whether tiles or slabs can be seen in a volume that was made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def seam_index(image: NDArray[Any], axis: int, borders: Sequence[int]) -> float:
    """Mean step between neighbours across ``borders`` over the mean step elsewhere along ``axis``; 1: no seam.

    ``borders``: first voxels after each border. Borders lie where they lie in the object too, so the mean elsewhere is
    of the two planes on either side of each. Raises ValueError without a border or without a step.
    """
    steps = np.abs(np.diff(np.asarray(image, dtype=np.float64), axis=axis))
    means = steps.mean(axis=tuple(a for a in range(image.ndim) if a != axis))
    at = sorted({b - 1 for b in borders})
    near = sorted({b + d for b in at for d in (-2, -1, 1, 2) if 0 <= b + d < len(means)} - set(at))
    if not at or not near or means[near].mean() == 0:
        raise ValueError("no border with neighbours that differ")
    return float(means[at].mean() / means[near].mean())
