"""Images whose values go below zero: the networks know none, so that they are given them counted from their darkest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.jobs.intervals import Bounds
from voxprior.methods.result import Result

RINGING = 0.1
"""Part of the brightest value, up to which values below zero are ringing or noise of an image whose air is zero."""
DARKEST, BRIGHTEST = 0.1, 99.9
"""Percentiles that count as such: a few odd voxels change nothing."""


def dark_value(data: NDArray[Any]) -> float:
    """The value of ``data`` (any shape, any unit) that is no signal: 0 but for images that lie below it in part."""
    low, high = (float(v) for v in np.percentile(data, (DARKEST, BRIGHTEST)))
    return low if low < -RINGING * max(high, -low) else 0.0


def from_dark(data: NDArray[np.float32], dark: float) -> NDArray[np.float32]:
    """A copy of ``data``, counted from ``dark``. What measures means of voxels measures a constant as that constant."""
    return np.ascontiguousarray(data - np.float32(dark))


def lifted(result: Result, bounds: Bounds | None, dark: float) -> tuple[Result, Bounds | None]:
    """``result`` and its interval in the units of the input again; notes say from which value it was counted."""
    if dark == 0:
        return result, bounds
    shown = replace(
        result,
        mean=result.mean + dark,
        samples=None if result.samples is None else result.samples + dark,
        notes={**result.notes, "counted_from": dark},
        snapshots={call: tuple(part + dark for part in parts) for call, parts in result.snapshots.items()},
    )
    return shown, None if bounds is None else (bounds[0] + dark, bounds[1] + dark)
