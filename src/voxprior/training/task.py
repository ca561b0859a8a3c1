"""What a training is of: slices of a volume, or complex slices behind k-space; the loop does not ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from voxprior.priors.denoiser import SlicePrior
from voxprior.training.config import FitConfig
from voxprior.training.data import Subject
from voxprior.training.examples import Batch, Examples
from voxprior.training.kspace import KspaceConfig, KspaceExamples


class Score(NamedTuple):
    """PSNR in dB (range: 99.9th percentile of the truth) of one held-back case, and of what it must beat."""

    case: str
    psnr: float
    baseline: float
    picture: NDArray[np.float32]


class Task(Protocol):
    """A kind of training: its examples, the part of the image that diffuses, and its validation."""

    baseline: str
    protocol: str
    trained_range: dict[str, Any]

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """Examples of the stream ``seed`` at ``step``."""
        ...

    def diffusing(self, x: Tensor) -> Tensor:
        """The part of images or noise (n, seen, rows, columns) that the process moves."""
        ...

    def validate(self, prior: SlicePrior, subjects: Sequence[Subject], thorough: bool = False) -> list[Score]:
        """Restore held-back subjects; ``thorough``: more cases, for the card."""
        ...


class SliceTask:
    """Thick slices to thin slices."""

    baseline = "cubic"

    def __init__(self, config: FitConfig, subjects: Sequence[Subject]) -> None:
        assert not isinstance(config.examples, KspaceConfig)
        prior = config.prior
        self.examples = Examples(subjects, config.examples, prior.seen, prior.image_std) if subjects else None
        c = config.examples
        self.trained_range = {"voxel_mm": list(c.voxel), "slice_distance_mm": list(c.spacing)}

    @property
    def protocol(self) -> str:
        """How the figures of a card were measured."""
        from voxprior.training.validate import CROP

        return f"tune subjects, A-P, box profile, {CROP} x {CROP} voxels in plane, after the projection; dB"

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """See :class:`Task`."""
        assert self.examples is not None
        return self.examples.batch(seed, step, size)

    def diffusing(self, x: Tensor) -> Tensor:
        """All of it."""
        return x

    def validate(self, prior: SlicePrior, subjects: Sequence[Subject], thorough: bool = False) -> list[Score]:
        """Mean mode at two or four factors."""
        from voxprior.training.validate import validate

        return validate(prior, subjects, (2, 3, 5, 8) if thorough else (2, 5))


class KspaceTask:
    """Undersampled k-space to complex slices; outside ``acs_lines`` central lines alone, where they are given."""

    baseline = "the linear reconstruction"
    protocol = (
        "middle axial slice of the tune subjects, 8 simulated coils and their true maps, noise .01 of the image scale, "
        "mean mode after the proximal step; dB"
    )

    def __init__(self, config: FitConfig, subjects: Sequence[Subject]) -> None:
        assert isinstance(config.examples, KspaceConfig)
        self.config = config.examples
        self.examples = KspaceExamples(subjects, config.examples, config.prior.image_std) if subjects else None
        c = config.examples
        self.trained_range = {"coils": list(c.coils), "acceleration": list(c.acceleration), "masks": list(c.masks)}

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """See :class:`Task`."""
        assert self.examples is not None
        return self.examples.batch(seed, step, size)

    def diffusing(self, x: Tensor) -> Tensor:
        """All of it, or what lies outside the central lines along the columns."""
        if self.config.acs_lines is None:
            return x
        import torch

        from voxprior.diffusion.subspace import highpass

        keep = highpass((x.shape[-2], x.shape[-1]), self.config.acs_lines, 1).to(x.device)
        image = torch.complex(x[:, 0], x[:, 1])
        spectrum = torch.fft.fftshift(torch.fft.fft2(image), dim=(-2, -1)) * keep
        image = torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1)))
        return torch.stack([image.real, image.imag], dim=1)

    def validate(self, prior: SlicePrior, subjects: Sequence[Subject], thorough: bool = False) -> list[Score]:
        """Two or six masks."""
        from voxprior.training.validate_kspace import validate_kspace

        return validate_kspace(prior, subjects, self.config.acs_lines, thorough)


def make_task(config: FitConfig, subjects: Sequence[Subject] = ()) -> Any:
    """The task that the examples of ``config`` belong to; without ``subjects`` it can only validate."""
    return (KspaceTask if isinstance(config.examples, KspaceConfig) else SliceTask)(config, subjects)
