"""Validation of in-plane super-resolution on held-back subjects, against cubic interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.operators.base import Measurement
from voxprior.operators.decimation import Refinement, decimate, decimation, profile_of
from voxprior.operators.field import simulate_field
from voxprior.operators.profiles import interpolation_matrix
from voxprior.operators.separable import Separable, along
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.grid import BoundGrid
from voxprior.training.data import Subject
from voxprior.training.score import Score, scored

SLICES = 32
"""Slices of a validation block; in plane it is whole."""
COARSE = (0, 1)
"""Array axes that are made coarse: those with true fine resolution in every tune subject."""


def validate_enhance(prior: SlicePrior, subjects: Sequence[Subject], cases: Sequence[str]) -> list[Score]:
    """Restore a block of each subject that is coarse by 2 along two axes; ``cases``: degradations."""
    return [_score(prior, subject, case) for subject in subjects for case in cases]


def block(subject: Subject, case: str) -> tuple[torch.Tensor, Measurement]:
    """The middle slices of a volume (1, i, j, k), and what is measured of them."""
    image = subject.image
    first = max(0, (image.shape[2] - SLICES) // 2)
    shape = image.shape[0] // 2, image.shape[1] // 2, min(SLICES, image.shape[2])
    truth = np.ascontiguousarray(image[: 2 * shape[0], : 2 * shape[1], first : first + shape[2]])
    spacing = 2 * subject.voxel[0], 2 * subject.voxel[1], subject.voxel[2]
    axes = decimation(shape, spacing, Refinement(COARSE, 2.0, profile_of(case)))
    operator = Separable.from_axes(axes, shape)
    if case == "1.5t":
        y: NDArray[Any] = simulate_field(truth, np.random.default_rng(0), measure=lambda x: decimate(x, axes))
    else:
        y = decimate(truth, axes)
    measured = torch.from_numpy(y.astype(np.float32))[None]
    return torch.from_numpy(truth)[None], Measurement(operator, measured, None, np.diag([*subject.voxel, 1.0]))


@torch.no_grad()
def _score(prior: SlicePrior, subject: Subject, case: str) -> Score:
    truth, measurement = block(subject, case)
    operator, y = measurement.operator, measurement.y
    assert isinstance(operator, Separable)
    bound = BoundGrid(prior, measurement, case)
    mean, _, _ = bound.mean(bound.planes("one"))
    restored = bound.leave(mean) if case == "1.5t" else operator.prox(bound.leave(mean), y, 0.0)
    cubic = y
    for g in operator.axes:
        cubic = along(cubic, interpolation_matrix(g, 3), g.axis)
    return scored(f"{subject.name} {case}", truth[0], restored[0], cubic[0])
