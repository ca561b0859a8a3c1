"""How much fine detail an image has, against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def high_frequency_ratio(image: NDArray[Any], truth: NDArray[Any], axis: int, factor: float) -> float:
    """Energy of ``image`` over that of ``truth`` beyond what slices ``factor`` voxels apart can carry.

    Both (i, j, k), any one unit. The frequencies are those along ``axis`` above 1 / (2 factor) cycles a voxel: 1 is as
    sharp as the truth, 0 as smooth as the slices. Raises ValueError for a truth without such detail.
    """
    limit = 1 / (2 * factor)
    energies = []
    for volume in (image, truth):
        power = np.abs(np.fft.rfft(np.asarray(volume, dtype=np.float64), axis=axis)) ** 2
        above = np.fft.rfftfreq(volume.shape[axis]) > limit
        energies.append(float(power.compress(above, axis=axis).sum()))
    if energies[1] == 0:
        raise ValueError("the truth has no energy above the frequencies of the slices")
    return energies[0] / energies[1]
