"""Floating-point voxels to the integers of an image object, and the two numbers that lead back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVELS = 65_000
"""Of the 65536 that 16 bits have; the rest is room for rounding the slope up."""
DIGITS = 16
"""Characters that a decimal string of DICOM has at most."""


@dataclass(frozen=True, eq=False)
class Quantised:
    """``stored`` (uint16), where s stands for ``float(slope) * s + float(intercept)``; both as they are written."""

    stored: NDArray[np.uint16]
    slope: str
    intercept: str


def quantise(data: NDArray[np.float32]) -> Quantised:
    """``data`` (any shape, finite) in 16 bits: exact for whole numbers that fit, otherwise to range / 130000.

    The intercept is a whole number of steps, so that 0 stays 0 where it lies within the range.
    """
    low, high = float(data.min()), float(data.max())
    step = 1.0
    if high - low > LEVELS or not bool((data == np.rint(data)).all()):
        step = float(_rounded_up((high - low) / LEVELS)) if high > low else 1.0
    first = math.floor(low / step)
    intercept = decimal(first * step)
    stored = np.rint((data.astype(np.float64) - float(intercept)) / step)
    return Quantised(np.clip(stored, 0, 65_535).astype(np.uint16), decimal(step), intercept)


def decimal(value: float) -> str:
    """``value`` as a decimal string of DICOM, as precise as its 16 characters allow."""
    for digits in range(17, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= DIGITS and math.isfinite(float(text)):  # the largest numbers round up to none
            return "0" if float(text) == 0 else text
    raise ValueError(f"{value} does not fit into a decimal string")


def _rounded_up(step: float) -> str:
    """``step`` to three digits, never smaller."""
    exponent = math.floor(math.log10(step)) - 2
    return f"{math.ceil(step / 10.0**exponent - 1e-9)}e{exponent}"
