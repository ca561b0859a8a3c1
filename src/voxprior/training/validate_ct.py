"""Validation of a CT prior: held-back slices from few views, against total variation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.io.sinogram import MU_WATER
from voxprior.methods.ct import Problem, Settings
from voxprior.operators.base import Measurement
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.operators.tomography import Tomography
from voxprior.priors.denoiser import SlicePrior
from voxprior.training.data import Subject
from voxprior.training.score import Score, scored

SLICES = 4
"""Held-back slices that are reconstructed, from the middle of those of a subject."""


def held_views(subject: Subject, views: int, turn: float = 180.0) -> tuple[Tensor, Measurement]:
    """Middle slices of ``subject`` (1, *space) in 1/mm, and their noise-free views."""
    first = (subject.image.shape[2] - SLICES) // 2
    truth = np.ascontiguousarray(subject.image[:, :, first : first + SLICES]) * np.float32(MU_WATER)
    shape, pixel = (truth.shape[0], truth.shape[1]), (subject.voxel[0], subject.voxel[1])
    width = min(pixel)
    bins = math.ceil(math.hypot(shape[0] * pixel[0], shape[1] * pixel[1]) / width) + 1
    angles = tuple(turn * k / views for k in range(views))
    operator = Tomography(ProjectionGeometry(shape, pixel, angles, bins, width), truth.shape, 2)
    x = torch.from_numpy(truth)[None]
    return x, Measurement(operator, operator.apply(x), None, np.diag([*subject.voxel, 1.0]))


def validate_ct(prior: SlicePrior, subjects: Sequence[Subject], views: Sequence[int]) -> list[Score]:
    """Mean mode at each number of views."""
    return [_score(prior, subject, n) for subject in subjects for n in views]


@torch.no_grad()
def _score(prior: SlicePrior, subject: Subject, views: int) -> Score:
    truth, measurement = held_views(subject, views)
    assert isinstance(measurement.operator, Tomography)
    problem = Problem(prior, measurement, measurement.operator, Settings(), SeededNoise(0))
    found = problem.mean(Settings(steps=12), SeededNoise(0), None)["mean"]
    return scored(f"{subject.name} {views} views", truth[0], found, problem.first[0])
