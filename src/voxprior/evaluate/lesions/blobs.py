"""Blobs that a restoration shows and the truth does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import distance_transform_edt, label, maximum_filter

from voxprior.evaluate.lesions.insert import MARGIN, SHELL, Drawn, Image, Lesion, draw

SIZES = (3.0, 5.0, 8.0, 12.0)
"""Diameters that are looked for, mm."""
LEVELS = (1.0, 2.0, 3.0)
"""Contrasts that count, local standard deviations of the truth."""
ABSENT = 0.5
"""Part of that contrast below which the truth is said not to have the blob."""
NEARBY = 2.0
"""The truth may have it so far away, mm: a blob that moved less is none that was made up."""

Mask = NDArray[np.bool_]


class Field(NamedTuple):
    """Where blobs are looked for: head, local standard deviation, voxel in mm, searched places of each size."""

    mask: Mask
    spread: Image
    spacing: tuple[float, float, float]
    places: tuple[Mask, ...]

    @property
    def litres(self) -> float:
        """What is searched for the smallest blobs."""
        return float(np.count_nonzero(self.places[0]) * np.prod(self.spacing) / 1e6)


def field(mask: Mask, spread: Image, spacing: Sequence[float]) -> Field:
    """Places whose ball lies within ``mask`` and :data:`MARGIN` mm and more from the ends of the volume."""
    depth = distance_transform_edt(mask, sampling=spacing)
    inner = np.zeros(mask.shape, dtype=bool)
    inner[tuple(slice(m := int(np.ceil(MARGIN / s)), -m) for s in spacing)] = True
    usable = inner & (spread > 0)
    a, b, c = (float(s) for s in spacing)
    return Field(mask, spread, (a, b, c), tuple(usable & (depth >= size / 2) for size in SIZES))


def responses(image: Image, where: Field) -> list[Image]:
    """Contrast of a ball of each of :data:`SIZES` about every voxel, in local standard deviations.

    The mean of the ball less the mean of the shell around it within the head: what a probe measures of a lesion.
    """
    inside = where.mask.astype(np.float32)
    found = []
    for size in SIZES:
        ball, shell = _kernels(size, where.spacing)
        around = _convolve(image * inside, shell) / np.maximum(_convolve(inside, shell), 1e-3)
        contrast = _convolve(image, ball) - around
        found.append(np.asarray(contrast / np.where(where.spread > 0, where.spread, np.inf), dtype=np.float32))
    return found


def false_blobs(restored: Sequence[Image], truth: Sequence[Image], where: Field) -> Mapping[str, Mapping[str, int]]:
    """Connected groups of places, from the :func:`responses` of both, by contrast (``LEVELS``) and kind.

    ``bright``, ``dark``: the restored image has the contrast, the truth less than :data:`ABSENT` of it within
    :data:`NEARBY` mm. ``error``: the difference of both images has the contrast. ``truth``: the truth has it, so that
    one sees how rare such a contrast is.
    """
    box = [2 * round(NEARBY / s) + 1 for s in where.spacing]
    shown = {+1: [maximum_filter(t, box) for t in truth], -1: [maximum_filter(-t, box) for t in truth]}
    found: dict[str, dict[str, int]] = {}
    for level in LEVELS:
        counts = {"bright": 0, "dark": 0, "error": 0, "truth": 0}
        for sign, name in ((+1, "bright"), (-1, "dark")):
            made = np.zeros(where.mask.shape, dtype=bool)
            wrong = np.zeros(where.mask.shape, dtype=bool)
            had = np.zeros(where.mask.shape, dtype=bool)
            for r, t, known, place in zip(restored, truth, shown[sign], where.places, strict=True):
                made |= place & (sign * r >= level) & (known < ABSENT * level)
                wrong |= place & (sign * (r - t) >= level)
                had |= place & (sign * t >= level)
            counts[name] += _groups(made)
            counts["error"] += _groups(wrong)
            counts["truth"] += _groups(had)
        found[f"{level:g}"] = counts
    return found


def _groups(mask: Mask) -> int:
    return int(label(mask, np.ones((3, 3, 3)))[1])


def _kernels(size: float, spacing: Sequence[float]) -> tuple[Image, Image]:
    """Ball and shell, each of sum 1, on odd grids."""
    reach = [int(np.ceil((size / 2 + SHELL[1]) / s)) + 1 for s in spacing]
    shape = [2 * r + 1 for r in reach]
    sphere = Lesion(np.array(reach, dtype=float), np.eye(3) * 2 / size, size, 1.0)
    one: Drawn = draw(sphere, shape, spacing)
    ball, outside = np.zeros(shape), np.full(shape, np.inf)
    ball[one.window], outside[one.window] = one.share, one.outside
    shell = ((outside > SHELL[0]) & (outside < SHELL[1])).astype(float)
    return (ball / ball.sum()).astype(np.float32), (shell / shell.sum()).astype(np.float32)


def _convolve(image: Image, kernel: Image) -> Image:
    """Convolution with an odd ``kernel``, zeros beyond the ends, on the grid of ``image``."""
    shape = [fft.next_fast_len(n + k - 1, real=True) for n, k in zip(image.shape, kernel.shape, strict=True)]
    product = fft.rfftn(image, shape) * fft.rfftn(kernel, shape)
    whole = fft.irfftn(product, shape)
    return np.asarray(whole[tuple(slice(k // 2, k // 2 + n) for n, k in zip(image.shape, kernel.shape, strict=True))])
