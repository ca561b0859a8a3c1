"""PSNR, SSIM and NMSE as others define them: the same three letters on other ranges and windows are other figures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from voxprior.errors import InputError
from voxprior.metrics.nmse import nmse
from voxprior.metrics.psnr import psnr, require_comparable
from voxprior.metrics.ssim import K1, K2, ssim

WINDOW = 7
"""Edge of the square window of fastMRI's SSIM, pixels."""

Array = NDArray[np.floating]


class Scores(NamedTuple):
    """``psnr`` in dB; ``ssim`` and ``nmse`` without unit."""

    psnr: float
    ssim: float
    nmse: float


def fastmri(x: Array, truth: Array) -> Scores:
    """Zbontar et al., fastMRI (2018), over a volume: range = maximum of the truth, SSIM slice by slice.

    ``x``, ``truth``: magnitude (slice, y, x), or one slice (y, x), of one shape and unit. NMSE is that of
    :func:`voxprior.metrics.nmse`. Raises :class:`InputError` for different shapes, slices below the window, or a truth
    without a positive value.
    """
    largest = _largest(truth)
    maps = [ssim_map(a, b, largest) for a, b in zip(*_slices(x, truth), strict=True)]
    return Scores(psnr(x, truth, largest), float(np.mean(maps)), nmse(x, truth))


def fastmri_masked(x: Array, truth: Array, mask: NDArray[np.bool_]) -> Scores:
    """:func:`fastmri` where ``mask`` (of the truth's shape) is true; the range is still that of the whole volume.

    SSIM is the mean over the windows whose centre is in the mask. Raises :class:`InputError` for an empty mask too.
    """
    largest = _largest(truth)
    inner = (slice(WINDOW // 2, -(WINDOW // 2)),) * 2
    centres = [part[inner] for part in mask.reshape(-1, *mask.shape[-2:])]
    maps = [ssim_map(a, b, largest) for a, b in zip(*_slices(x, truth), strict=True)]
    values = np.concatenate([found[centre] for found, centre in zip(maps, centres, strict=True)])
    if not values.size:
        raise InputError("the mask is empty where windows lie whole; give one with signal")
    return Scores(psnr(x, truth, largest, mask), float(values.mean()), nmse(x[mask], truth[mask]))


def hfs_sde(x: Array, truth: Array) -> Scores:
    """As the evaluation of HFS-SDE has it, a slice (y, x): ranges from the pair, NMSE after each has its own maximum.

    PSNR: range = maximum - minimum of the truth. SSIM: Gaussian window (sigma 1.5, 11 pixels), range = the larger of
    both images' maximum - minimum. NMSE does not see a gain error: that of (2 x, x) is 0. Raises :class:`InputError`
    for different shapes or a constant truth.
    """
    require_comparable(x, truth, 1.0)
    spans = [float(np.ptp(x)), float(np.ptp(truth))]
    highest = float(np.max(x))
    if highest <= 0:
        raise InputError("the image has no positive value, so its own maximum cannot scale it; give another")
    own = nmse(x / highest, truth / _largest(truth))
    return Scores(psnr(x, truth, spans[1]), ssim(x, truth, max(spans)), own)


def ssim_map(x: Array, truth: Array, data_range: float) -> NDArray[np.float64]:
    """SSIM (y - 6, x - 6) of all whole windows of :data:`WINDOW` pixels a side of slices (y, x), unbiased variances."""
    require_comparable(x, truth, data_range)
    if x.ndim != 2 or min(x.shape) < WINDOW:
        raise InputError(f"a slice {x.shape} is smaller than the SSIM window of {WINDOW} pixels")
    a, b = (v.astype(np.float64) / data_range for v in (x, truth))
    inner = (slice(WINDOW // 2, -(WINDOW // 2)),) * 2
    ma, mb, aa, bb, ab = (uniform_filter(v, WINDOW)[inner] for v in (a, b, a * a, b * b, a * b))
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    variances = unbiased * (aa - ma * ma + bb - mb * mb)
    covariance = unbiased * (ab - ma * mb)
    below = (ma * ma + mb * mb + K1**2) * (variances + K2**2)
    return np.asarray((2 * ma * mb + K1**2) * (2 * covariance + K2**2) / below)


def _largest(truth: Array) -> float:
    value = float(np.max(truth)) if truth.size else 0.0
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"the largest value of the truth is {value:g}; give one with signal")
    return value


def _slices(x: Array, truth: Array) -> tuple[Array, Array]:
    if x.ndim not in (2, 3):
        raise InputError(f"an image {x.shape} is neither a slice (y, x) nor a volume (slice, y, x)")
    require_comparable(x, truth, 1.0)
    return x.reshape(-1, *x.shape[-2:]), truth.reshape(-1, *truth.shape[-2:])
