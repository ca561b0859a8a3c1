"""A fine volume as cells, one a thick slice: a cosine transform along the slice axis, so that the grid is coarse.

A network on cells works on the thick slices as they are, and what it says of each is spread over the fine slices by
``cos(pi j (i + 1/2) / q)``, the orthonormal DCT-II of q fine slices; white noise stays white.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor


@lru_cache(maxsize=64)
def _matrix(fine: int) -> Tensor:
    return torch.from_numpy(dct(np.eye(fine), axis=0, norm="ortho"))


def to_cells(x: Tensor, fine: int, cosines: int) -> Tensor:
    """(n, cells * fine, rows, columns) to (n, cosines, cells, rows, columns); those from ``fine`` on are zero.

    Raises ValueError for more fine slices a cell than cosines, or a depth that is no whole number of cells.
    """
    if fine > cosines or x.shape[1] % fine:
        raise ValueError(f"{x.shape[1]} slices do not make cells of {fine} with {cosines} cosines")
    n, depth, rows, columns = x.shape
    split = x.reshape(n, depth // fine, fine, rows, columns)
    held = torch.einsum("jq,nkqrc->njkrc", _matrix(fine).to(x), split)
    if fine == cosines:
        return held
    return torch.cat([held, held.new_zeros(n, cosines - fine, *held.shape[2:])], dim=1)


def from_cells(c: Tensor, fine: int) -> Tensor:
    """The inverse of :func:`to_cells`: (n, cosines, cells, rows, columns) to (n, cells * fine, rows, columns)."""
    used = min(fine, c.shape[1])
    split = torch.einsum("jq,njkrc->nkqrc", _matrix(fine)[:used].to(c), c[:, :used])
    return split.reshape(len(c), -1, *c.shape[3:])
