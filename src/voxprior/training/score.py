"""How a held-back case came out, beside what it must beat."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Score(NamedTuple):
    """PSNR in dB (range: 99.9th percentile of the truth) of one held-back case, and of what it must beat."""

    case: str
    psnr: float
    baseline: float
    picture: NDArray[np.float32]


def scored(case: str, truth: Tensor, restored: Tensor, baseline: Tensor) -> Score:
    """``restored`` and ``baseline`` against ``truth``, (row, column, slice) or complex (row, column).

    The picture: baseline, restored and truth side by side, of a volume its middle slice turned by 90 degrees.
    """
    slices = [v[:, :, v.shape[2] // 2].T if v.ndim == 3 else v.abs() for v in (baseline, restored, truth)]
    picture = np.concatenate([v.numpy(force=True) for v in slices], axis=1)
    top = range_of(truth)
    return Score(case, decibels(restored, truth), decibels(baseline, truth), np.clip(picture / top, 0, 1))


def decibels(x: Tensor, truth: Tensor) -> float:
    """PSNR in dB of ``x``, real or complex, on the range of ``truth``."""
    return 20 * math.log10(range_of(truth) / float((x - truth).abs().square().mean().sqrt()))


def range_of(truth: Tensor) -> float:
    """99.9th percentile of the magnitude."""
    return float(np.percentile(np.abs(truth.numpy(force=True)), 99.9))
