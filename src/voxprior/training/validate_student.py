"""Validation of a one-step student: its error and its sharpness on the held-back subjects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from voxprior.diffusion.noise import SeededNoise
from voxprior.metrics.sharpness import high_frequency_ratio
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.student import StudentConfig, one_call
from voxprior.priors.volume import VolumePrior
from voxprior.priors.volume_bound import BoundVolume
from voxprior.training.data import Subject
from voxprior.training.score import decibels
from voxprior.training.validate_volume import block


class StudentScore(NamedTuple):
    """PSNR in dB (range: 99.9th percentile of the truth) and high-frequency energy ratio after the projection."""

    case: str
    psnr: float
    high_frequency_ratio: float


@torch.no_grad()
def validate_student(
    student: StudentConfig, prior: VolumePrior, subjects: Sequence[Subject], factors: Sequence[int]
) -> list[StudentScore]:
    """One-step restorations of blocks thickened along A-P (box) by each factor."""
    return [_score(student, prior, subject, factor) for subject in subjects for factor in factors]


def _score(student: StudentConfig, prior: VolumePrior, subject: Subject, factor: int) -> StudentScore:
    truth, axes = block(subject, factor)
    operator = Separable.from_axes(axes, tuple(axes[0].count if a == 1 else n for a, n in enumerate(truth.shape[1:])))
    y = operator.apply(truth)
    bound = BoundVolume(prior, Measurement(operator, y, None, np.diag([*subject.voxel, 1.0])))
    noise = SeededNoise(0)(0, -1, tuple(bound.m.shape))
    restored = operator.prox(bound.leave(one_call(bound, student, noise)[0]), y, 0.0)
    ratio = high_frequency_ratio(restored[0].numpy(), truth[0].numpy(), 1, factor)
    return StudentScore(f"{subject.name} x{factor}", round(decibels(restored, truth), 3), round(ratio, 4))
