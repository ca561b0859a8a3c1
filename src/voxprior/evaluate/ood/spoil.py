"""What is made of a scan so that it is none any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from voxprior.volume import Volume

PIECE = 16
"""Edge of the blocks that are shuffled, voxels."""
COARSER = 3

Array = NDArray[np.float32]


def noise(shape: tuple[int, ...]) -> Array:
    """The magnitude of complex noise alone."""
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((2, *shape), dtype=np.float32)
    found: Array = 100 * np.hypot(*parts)
    return found


def shuffled(image: Array) -> Array:
    """Blocks of ``image`` (of any number of axes) in another order; what is no whole block is left out."""
    pieces = [n // PIECE for n in image.shape]
    n = image.ndim
    cut = image[tuple(slice(0, p * PIECE) for p in pieces)].reshape([s for p in pieces for s in (p, PIECE)])
    blocks = cut.transpose(*range(0, 2 * n, 2), *range(1, 2 * n, 2))
    mixed = np.random.default_rng(0).permutation(blocks.reshape(-1, *(PIECE,) * n)).reshape(blocks.shape)
    whole = mixed.transpose([a for i in range(n) for a in (i, n + i)]).reshape([p * PIECE for p in pieces])
    return np.ascontiguousarray(whole)


def _noise(volume: Volume) -> Volume:
    return Volume(noise(volume.data.shape), volume.affine)


def _shuffled(volume: Volume) -> Volume:
    return Volume(shuffled(volume.data), volume.affine)


def _coarser(volume: Volume) -> Volume:
    """Voxels three times larger: the mean of each 3 x 3 x 3."""
    shape = [n // COARSER for n in volume.data.shape]
    data: Array = volume.data[tuple(slice(0, n * COARSER) for n in shape)]
    blocks = data.reshape(shape[0], COARSER, shape[1], COARSER, shape[2], COARSER)
    affine = volume.affine.copy()
    affine[:3, :3] *= COARSER
    return Volume(blocks.mean(axis=(1, 3, 5)), affine)


SPOILT: Mapping[str, Callable[[Volume], Volume]] = {
    "noise": _noise,
    "resampled x3": _coarser,
    "shuffled blocks": _shuffled,
}
"""What is made of a scan before it is measured."""
