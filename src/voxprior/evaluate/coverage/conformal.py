"""Split conformal prediction with the subject as its unit: voxels of one subject are no independent observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError

LEAST_SUBJECTS = 5
Scores = NDArray[np.float64]


def pooled_quantile(scores: Mapping[str, Scores], level: float) -> float:
    """The score that holds ``level`` of the voxels, each subject of ``scores`` (voxel,) counting as one.

    It is the quantile of the mean of the subjects' distributions. One more subject, exchangeable with these n, is
    covered with probability ``level n / (n + 1)`` at least (hierarchical conformal prediction of Lee, Barber and
    Willett, read backwards), and about ``level`` where subjects are many or alike. Raises :class:`InputError` for few
    subjects.
    """
    if len(scores) < LEAST_SUBJECTS:
        raise InputError(f"{len(scores)} subjects to widen intervals on; at least {LEAST_SUBJECTS} are needed")
    values = np.concatenate(list(scores.values()))
    weights = np.concatenate([np.full(len(s), 1 / (len(s) * len(scores))) for s in scores.values()])
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][min(int(np.searchsorted(reached, level - 1e-9)), len(order) - 1)])


def left_out(scores: Mapping[str, Scores], level: float) -> dict[str, float]:
    """Coverage of each subject by the quantile of all others."""
    return {
        subject: float((own <= pooled_quantile({n: s for n, s in scores.items() if n != subject}, level)).mean())
        for subject, own in scores.items()
    }


def std_factor(pairs: Sequence[tuple[float, float]]) -> float:
    """Root mean square of the error over that of the std: geometric mean over subjects of (error, std) pairs."""
    return float(np.exp(np.mean([np.log(error / std) for error, std in pairs])))
