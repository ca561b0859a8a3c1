"""Validation by reconstruction: what a checkpoint does to held-back subjects, against cubic interpolation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from voxprior.operators.base import Measurement
from voxprior.operators.profiles import interpolation_matrix
from voxprior.operators.separable import Separable, along
from voxprior.priors.bound import BoundPrior
from voxprior.priors.denoiser import SlicePrior
from voxprior.training.data import Subject
from voxprior.training.score import Score, scored
from voxprior.volume import SliceGeometry

CROP = 80
"""In-plane voxels of a validation block; the slice axis is taken whole."""


def validate(prior: SlicePrior, subjects: Sequence[Subject], factors: Sequence[int] = (2, 5)) -> list[Score]:
    """Restore a block of each subject, thickened ``factor`` times along A-P (box profile)."""
    return [_score(prior, subject, factor) for subject in subjects for factor in factors]


def block(subject: Subject, factor: int) -> tuple[torch.Tensor, SliceGeometry]:
    """The middle of a volume (1, i, j, k), and a geometry that thickens it along A-P."""
    image = subject.image
    count = image.shape[1] // factor
    cut = [slice(max(0, (n - CROP) // 2), max(0, (n - CROP) // 2) + CROP) for n in image.shape]
    truth = torch.from_numpy(np.ascontiguousarray(image[cut[0], : count * factor, cut[2]]))[None]
    step = subject.voxel[1]
    return truth, SliceGeometry(1, count, step * factor, step * factor, count * factor, step)


@torch.no_grad()
def _score(prior: SlicePrior, subject: Subject, factor: int) -> Score:
    truth, g = block(subject, factor)
    operator = Separable({1: g.matrix()}, tuple(truth.shape[1:]), (g,))
    y = operator.apply(truth)
    bound = BoundPrior(prior, Measurement(operator, y, None, np.diag([*subject.voxel, 1.0])))
    mean, _, _ = bound.mean()
    restored = operator.prox(bound.leave(mean), y, 0.0)
    cubic = along(y, interpolation_matrix(g, 3), 1)
    return scored(f"{subject.name} x{factor}", truth[0], restored[0], cubic[0])
