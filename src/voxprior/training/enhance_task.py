"""Coarse voxels in the slice to fine ones, and a weak field to a strong one."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from torch import Tensor

from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.training.config import FitConfig
from voxprior.training.data import held_back, load_subjects, modalities
from voxprior.training.enhance import EnhanceConfig, EnhanceExamples
from voxprior.training.examples import Batch
from voxprior.training.score import Score


class EnhanceTask:
    """See :class:`voxprior.training.task.Task`."""

    baseline = "cubic"
    protocol = (
        "tune subjects, L-R and A-P coarse by 2, middle 32 axial slices, mean mode of the axial slices, after the "
        "projection where the degradation is linear; gain over cubic interpolation; dB"
    )

    def __init__(self, config: FitConfig) -> None:
        assert isinstance(config.examples, EnhanceConfig)
        self.config, self.settings = config, config.examples
        self.trained_range = {"voxel_mm": list(self.settings.voxel), "factor": list(self.settings.factor)}

    @cached_property
    def examples(self) -> EnhanceExamples:
        """Of the subjects to fit, read when they are asked for."""
        prior = self.config.prior
        assert isinstance(prior, SlicePriorConfig)
        return EnhanceExamples(load_subjects(self.config.data, ("fit",)), self.settings, prior)

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """See :class:`voxprior.training.task.Task`."""
        return self.examples.batch(seed, step, size)

    def diffusing(self, x: Tensor) -> Tensor:
        """All of it."""
        return x

    def validate(self, prior: SlicePrior, thorough: bool = False) -> list[Score]:
        """Mean mode for a box and a weak field; ``thorough``: for truncated k-space too."""
        from voxprior.training.validate_enhance import validate_enhance

        cases = ("box", "kspace", "1.5t") if thorough else ("box", "1.5t")
        return validate_enhance(prior, held_back(self.config.data, thorough), cases)

    def describe(self) -> dict[str, Any]:
        """Subjects and modalities."""
        return modalities(self.config.data)
