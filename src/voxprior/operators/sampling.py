"""Sampling patterns of k-space: which lines, or which points, each family keeps; in numpy alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Weights = NDArray[np.float64]

GAUSSIAN_WIDTH = 1 / 6
"""Standard deviation of the Gaussian families as a part of the matrix size."""
POISSON_GROWTH = 4.0
"""Distance between Poisson-disc samples at the edge of the ellipse, over that at the centre, less one."""
POISSON_EXCESS = 0.02
"""Part of the samples by which the radius may miss; the surplus is taken away at random."""
GOLDEN_ANGLE = np.pi * (np.sqrt(5) - 1) / 2


def central(n: int, length: int) -> Bool:
    """The ``length`` central of n lines: (n - length) // 2 to (n + length) // 2 - 1."""
    keep = np.zeros(n, dtype=bool)
    keep[(n - length) // 2 : (n + length) // 2] = True
    return keep


def comb(n: int, acceleration: float, acs: int) -> Bool:
    """Central lines, and every ``acceleration``-th of the list of the others, counted across the centre."""
    keep = central(n, acs)
    outer = np.flatnonzero(~keep)
    keep[outer[np.arange(0, len(outer), acceleration).astype(int)]] = True
    return keep


def weighted(weights: Weights, fixed: Bool, count: int, rng: np.random.Generator) -> Bool:
    """``fixed`` and so many others that ``count`` are kept, drawn without replacement with odds ``weights``."""
    score = np.where(fixed, -np.inf, np.log(weights) + rng.gumbel(size=weights.shape))
    more = count - int(fixed.sum())
    keep = fixed.copy()
    if more > 0:
        keep.flat[np.argpartition(score.ravel(), -more)[-more:]] = True
    return keep


def density(n: int, acceleration: float) -> Weights:
    """Odds of the Cartesian variable-density lines: a Gaussian of a tenth of the matrix, and 1 / (2 acceleration)."""
    return np.asarray(np.exp(-0.5 * ((np.arange(n) - n / 2) / (n / 10)) ** 2) + 1 / (2 * acceleration))


def gaussian(n: int) -> Weights:
    """Odds that fall off as a Gaussian of :data:`GAUSSIAN_WIDTH` from the centre."""
    return np.asarray(np.exp(-0.5 * ((np.arange(n) - n // 2) / (GAUSSIAN_WIDTH * n)) ** 2))


def square(shape: tuple[int, int], sides: tuple[int, int]) -> Bool:
    """A central rectangle of ``sides``."""
    return np.asarray(np.outer(central(shape[0], sides[0]), central(shape[1], sides[1])))


def poisson_disc(shape: tuple[int, int], count: int, fixed: Bool, rng: np.random.Generator) -> Bool:
    """``count`` points within the inscribed ellipse, apart by a distance that grows from the centre, and ``fixed``.

    A point keeps others away by r (1 + growth rho), with rho = 1 on the ellipse; r is found by bisection for one order
    of visit, then points beyond ``count`` are taken away at random, which brings no two closer. What the disc family
    cannot hold is left out, so that fewer than ``count`` are kept only if the ellipse has no room.
    """
    order, dither = rng.permutation(shape[0] * shape[1]), rng.random(shape)
    low, high = 0.0, 2.0 * np.sqrt(shape[0] * shape[1] / max(count, 1))
    keep = fixed | (_rho(shape) <= 1)
    for _ in range(24):
        if keep.sum() <= count * (1 + POISSON_EXCESS):
            break
        middle = (low + high) / 2
        found = _discs(shape, middle, order, dither) | fixed
        if found.sum() >= count:
            low, keep = middle, found
        else:
            high = middle
    surplus = np.flatnonzero(keep & ~fixed)
    drop = int(keep.sum()) - count
    if drop > 0:
        keep.flat[rng.choice(surplus, drop, replace=False)] = False
    return keep


def _rho(shape: tuple[int, int]) -> Weights:
    y, x = (((np.arange(n) - n // 2) / (n / 2)) for n in shape)
    return np.asarray(np.hypot(y[:, None], x[None, :]))


def _discs(shape: tuple[int, int], radius: float, order: NDArray[np.int64], dither: Weights) -> Bool:
    """Visit the points in ``order``; keep one unless an earlier one keeps it away.

    Distances on a grid are roots of whole numbers: squared ones are rounded at random, lest the density jump in rings.
    """
    rho = _rho(shape)
    squared = np.floor((radius * (1 + POISSON_GROWTH * np.minimum(rho, 1))) ** 2 + dither).astype(int)
    margin = int(np.sqrt(squared.max())) + 1
    blocked = np.pad(rho > 1, margin, constant_values=True)
    width = blocked.shape[1]
    flat, keep = blocked.ravel(), np.zeros(shape, dtype=bool)
    rows, columns = np.unravel_index(order, shape)
    starts = (rows + margin) * width + columns + margin
    kept = keep.ravel()
    for index, start, size in zip(order.tolist(), starts.tolist(), squared.ravel()[order].tolist(), strict=True):
        if not flat[start]:
            kept[index] = True
            flat[start + _disc(size, width)] = True
    return keep


@lru_cache(maxsize=4096)
def _disc(squared: int, width: int) -> NDArray[np.int64]:
    """Offsets, in a picture so wide, of the points whose squared distance is at most ``squared``."""
    r = int(np.sqrt(squared))
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    return np.asarray((y * width + x)[y**2 + x**2 <= squared], dtype=np.int64)


def radial(shape: tuple[int, int], count: int, fixed: Bool, rng: np.random.Generator) -> Bool:
    """Grid points next to spokes through the centre, a golden angle apart, and ``fixed``: as near to ``count`` as can
    be.
    """
    first = float(rng.uniform(0, np.pi))
    keep = fixed.copy()
    for number in range(10 * sum(shape)):
        more = keep | _spoke(shape, first + number * GOLDEN_ANGLE)
        if abs(int(more.sum()) - count) > abs(int(keep.sum()) - count):
            break
        keep = more
    return keep


def _spoke(shape: tuple[int, int], angle: float) -> Bool:
    t = np.linspace(-1, 1, 4 * max(shape))
    index = [np.rint(n // 2 + t * n / 2 * f(angle)).astype(int) for n, f in zip(shape, (np.sin, np.cos), strict=True)]
    inside = (index[0] >= 0) & (index[0] < shape[0]) & (index[1] >= 0) & (index[1] < shape[1])
    keep = np.zeros(shape, dtype=bool)
    keep[index[0][inside], index[1][inside]] = True
    return keep

