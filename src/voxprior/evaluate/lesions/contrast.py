"""The contrast of a lesion, measured in any image by the same voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from voxprior.evaluate.lesions.insert import SHELL, Drawn, Image


class Probe(NamedTuple):
    """Weights whose sum with an image is a contrast: mean over the lesion less mean over its surroundings."""

    window: tuple[slice, slice, slice]
    weights: NDArray[np.float64]

    def __call__(self, image: Image) -> float:
        """The contrast in ``image`` (i, j, k), its units."""
        return float((self.weights * image[self.window]).sum())


def probe(drawn: Drawn, mask: NDArray[np.bool_]) -> Probe:
    """Lesion voxels weigh by the share that is lesion; the surroundings are the part of the shell within ``mask``."""
    shell = (drawn.outside > SHELL[0]) & (drawn.outside < SHELL[1]) & mask[drawn.window] & (drawn.share == 0)
    return Probe(drawn.window, drawn.share / drawn.share.sum() - shell / max(1, np.count_nonzero(shell)))


class Recovery(NamedTuple):
    """One insertion. ``recovered``: what the image gained by it over what the truth gained, 1 is all.

    ``error``: contrast in the restored image less that in the truth, in units of what was inserted.
    """

    diameter: float
    bright: bool
    recovered: float
    error: float


def recovery(
    probes: Sequence[Probe],
    diameters: Sequence[float],
    truth: tuple[Image, Image],
    restored: tuple[Image, Image],
) -> list[Recovery]:
    """Each lesion from the pairs (without, with lesions) of ``truth`` and ``restored``, images of one grid and unit."""
    found = []
    for one, diameter in zip(probes, diameters, strict=True):
        before, after = one(truth[0]), one(truth[1])
        gained = after - before
        seen = one(restored[1])
        recovered = (seen - one(restored[0])) / gained
        found.append(Recovery(diameter, gained > 0, recovered, (seen - after) / abs(gained)))
    return found
