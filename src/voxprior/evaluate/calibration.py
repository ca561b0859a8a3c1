"""Whether the stated uncertainty is that of the error: coverage of intervals, correlation, size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from voxprior.errors import InputError

LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class Calibration:
    """``coverage``: share of truth voxels inside the interval of each nominal level, by its name (``0.9``).

    ``correlation``: Pearson, of std and absolute error over voxels (None when either is constant). ``ratio``:
    root mean square of the std over that of the error: 1 when the size is right on average.
    """

    coverage: Mapping[str, float]
    correlation: float | None
    ratio: float | None

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def half_width(level: float, samples: int | None) -> float:
    """Half the interval of nominal ``level``, in units of the std.

    ``samples``: K posterior samples behind mean and std (ddof 1): ``t(K-1) sqrt(1 + 1/K)``, exact for
    exchangeable Gaussians. None: the std is that of the error itself: the normal quantile. Raises
    :class:`InputError` for K < 2.
    """
    if samples is None:
        return float(norm.ppf((1 + level) / 2))
    if samples < 2:
        raise InputError(f"{samples} sample has no spread; draw at least 2 for an interval")
    return float(t.ppf((1 + level) / 2, samples - 1)) * math.sqrt(1 + 1 / samples)


def calibrate(
    mean: NDArray[np.floating],
    std: NDArray[np.floating],
    truth: NDArray[np.floating],
    mask: NDArray[np.bool_],
    samples: int | None = None,
    levels: Sequence[float] = LEVELS,
) -> Calibration:
    """Coverage of ``mean`` +- :func:`half_width` x ``std`` within ``mask``; arrays of one shape, in the
    truth's units.
    """
    if not mask.any():
        raise InputError("the foreground is empty, so nothing can be covered; give an image with signal")
    error = np.abs(mean[mask].astype(np.float64) - truth[mask])
    spread = std[mask].astype(np.float64)
    coverage = {f"{level:g}": float((error <= half_width(level, samples) * spread).mean()) for level in levels}
    size = math.sqrt(float(np.square(error).mean()))
    ratio = math.sqrt(float(np.square(spread).mean())) / size if size > 0 else None
    constant = bool(np.ptp(spread) == 0 or np.ptp(error) == 0)
    correlation = None if constant else float(np.corrcoef(spread, error)[0, 1])
    return Calibration(coverage, correlation, ratio)
