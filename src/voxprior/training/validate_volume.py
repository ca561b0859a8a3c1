"""Validation of a volume prior: blocks of the held-back subjects restored in one call, against cubic interpolation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from voxprior.operators.base import Measurement
from voxprior.operators.profiles import interpolation_matrix
from voxprior.operators.separable import Separable, along
from voxprior.priors.volume import VolumePrior
from voxprior.priors.volume_bound import BoundVolume
from voxprior.training.data import Subject
from voxprior.training.score import Score, scored
from voxprior.volume import SliceGeometry

CROP = 96
"""Most voxels of a validation block in the directions that are not cut into slices."""
IN_PLANE = 1
"""A factor that stands for twice in plane: no slices."""


def validate_volume(prior: VolumePrior, subjects: Sequence[Subject], factors: Sequence[int]) -> list[Score]:
    """Mean mode of each subject, thickened along A-P (box) by each factor; 1: twice coarser along both other axes."""
    return [_score(prior, subject, factor) for subject in subjects for factor in factors]


def block(subject: Subject, factor: int) -> tuple[torch.Tensor, tuple[SliceGeometry, ...]]:
    """The middle of a volume (1, i, j, k), and what makes it coarse: slices along A-P, or twice along L-R and A-P."""
    image, even = subject.image, [n - n % max(factor, 2) for n in subject.image.shape]
    size = [n if a == 1 and factor != IN_PLANE else min(n, CROP) for a, n in enumerate(even)]
    starts = [(n - k) // 2 for n, k in zip(image.shape, size, strict=True)]
    cut = tuple(slice(s, s + k) for s, k in zip(starts, size, strict=True))
    truth = torch.from_numpy(np.ascontiguousarray(image[cut]))[None]
    coarse = ((1, factor),) if factor != IN_PLANE else ((0, 2), (1, 2))
    axes = [
        SliceGeometry(a, size[a] // f, f * subject.voxel[a], f * subject.voxel[a], size[a], subject.voxel[a])
        for a, f in coarse
    ]
    return truth, tuple(axes)


@torch.no_grad()
def _score(prior: VolumePrior, subject: Subject, factor: int) -> Score:
    truth, axes = block(subject, factor)
    counts = {g.axis: g.count for g in axes}
    operator = Separable.from_axes(axes, tuple(counts.get(a, n) for a, n in enumerate(truth.shape[1:])))
    y = operator.apply(truth)
    bound = BoundVolume(prior, Measurement(operator, y, None, np.diag([*subject.voxel, 1.0])))
    restored = operator.prox(bound.leave(restore(bound)), y, 0.0)
    cubic = y
    for g in axes:
        cubic = along(cubic, interpolation_matrix(g, 3), g.axis)
    case = f"{subject.name} in plane" if factor == IN_PLANE else f"{subject.name} x{factor}"
    return scored(case, truth[0], restored[0], cubic[0])


def restore(bound: BoundVolume) -> torch.Tensor:
    """One call: the mean estimate, or of a published process, which has none, the denoiser at the top of its grid."""
    config = bound.prior.config
    if bound.prior.path is None:
        return bound.mean()[0]
    noise = torch.randn(bound.m.shape, generator=torch.Generator().manual_seed(0))
    return bound.call(config.sigma_max * noise, config.sigma_max)[0]
