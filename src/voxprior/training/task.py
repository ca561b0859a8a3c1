"""What a training is of: slices of a volume, complex slices behind k-space, or CT; the loop does not ask."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.volume import VolumePrior
from voxprior.training.config import FitConfig
from voxprior.training.data import WINDOW, held_back, licences, load_ct, load_subjects, modalities
from voxprior.training.enhance import EnhanceConfig
from voxprior.training.examples import Batch, ExampleConfig, Examples
from voxprior.training.kspace import KspaceExamples
from voxprior.training.score import Score
from voxprior.training.slices import KspaceConfig, load_slices
from voxprior.training.volumes import VolumeExampleConfig, VolumeExamples


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

    def validate(self, prior: Any, thorough: bool = False) -> list[Score]:
        """Restore what is held back; ``thorough``: more cases, for the card."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the card says of the data."""
        ...


class HasExamples(Protocol):
    """Settings of a training, of any kind."""

    @property
    def data(self) -> Path:
        """Where the volumes are."""
        ...

    @property
    def examples(self) -> Any:
        """What examples look like."""
        ...


class SliceTask:
    """Thick slices to thin slices."""

    baseline = "cubic"

    def __init__(self, config: FitConfig) -> None:
        assert isinstance(config.examples, ExampleConfig)
        self.config, c = config, config.examples
        self.trained_range = {"voxel_mm": list(c.voxel), "slice_distance_mm": list(c.spacing)}

    @cached_property
    def examples(self) -> Examples:
        """Of the subjects to fit, read when they are asked for."""
        c = self.config
        assert isinstance(c.examples, ExampleConfig) and isinstance(c.prior, SlicePriorConfig)
        return Examples(load_subjects(c.data, ("fit",)), c.examples, c.prior.seen, c.prior.image_std)

    @property
    def protocol(self) -> str:
        """How the figures of a card were measured."""
        from voxprior.training.validate import CROP

        return f"tune subjects, A-P, box profile, {CROP} x {CROP} voxels in plane, after the projection; dB"

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """See :class:`Task`."""
        return self.examples.batch(seed, step, size)

    def diffusing(self, x: Tensor) -> Tensor:
        """All of it."""
        return x

    def validate(self, prior: SlicePrior, thorough: bool = False) -> list[Score]:
        """Mean mode at two or four factors."""
        from voxprior.training.validate import validate

        return validate(prior, held_back(self.config.data, thorough), (2, 3, 5, 8) if thorough else (2, 5))

    def describe(self) -> dict[str, Any]:
        """Subjects and modalities."""
        return modalities(self.config.data)


class KspaceTask:
    """Undersampled k-space to complex slices; outside ``acs_lines`` central lines alone, where they are given."""

    baseline = "the linear reconstruction"
    protocol = (
        "middle axial slice of the tune subjects, 8 simulated coils and their true maps, noise .01 of the image scale, "
        "mean mode after the proximal step; dB"
    )

    def __init__(self, config: FitConfig) -> None:
        assert isinstance(config.examples, KspaceConfig)
        self.config = c = config.examples
        self.slices = load_slices(config.data, c)
        self.examples = KspaceExamples(self.slices, c, config.prior.image_std)
        if c.acs_lines is not None:
            self.baseline = "the noisy input"
            self.protocol = (
                "middle axial slice of the tune subjects, noise sigma (on the image scale) outside the central lines, "
                "removed by one call; dB"
            )
        self.trained_range = {"coils": list(c.coils), "acceleration": list(c.acceleration), "masks": list(c.masks)}

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """See :class:`Task`."""
        return self.examples.batch(seed, step, size)

    def diffusing(self, x: Tensor) -> Tensor:
        """All of it, or what lies outside the central lines along the columns, for every other image the square."""
        if self.config.acs_lines is None:
            return x
        import torch

        from voxprior.diffusion.subspace import highpass
        from voxprior.operators.fourier import fft, ifft

        shape = x.shape[-2], x.shape[-1]
        keep = torch.stack([highpass(shape, self.config.acs_lines, (1, None)[i % 2]) for i in range(len(x))])
        image = ifft(keep.to(x.device) * fft(torch.complex(x[:, 0], x[:, 1]), (-2, -1)), (-2, -1))
        return torch.stack([image.real, image.imag], dim=1)

    def validate(self, prior: SlicePrior, thorough: bool = False) -> list[Score]:
        """Two or six masks."""
        from voxprior.training.validate_kspace import validate_kspace

        return validate_kspace(prior, self.slices.held(), self.config.acs_lines, thorough)

    def describe(self) -> dict[str, Any]:
        """Subjects or files."""
        return self.slices.describe()


class CtTask:
    """X-ray views to slices, by a prior that is told no views."""

    baseline = "tv"
    protocol = (
        "slices of the top fifth of the training volume (the same subject), noise-free views over 180 degrees, mean "
        "mode of 12 calls, gain over total variation as it comes; range: 99.9th percentile of the truth; dB"
    )

    def __init__(self, config: FitConfig) -> None:
        assert isinstance(config.examples, ExampleConfig)
        self.config, c = config, config.examples
        self.trained_range = {"voxel_mm": list(c.voxel), "hu": list(WINDOW)}

    @cached_property
    def examples(self) -> Examples:
        """Of the CT volumes and the share of MR volumes that the settings ask for."""
        c = self.config
        assert isinstance(c.examples, ExampleConfig) and isinstance(c.prior, SlicePriorConfig)
        subjects = load_ct(c.data, ("fit",))
        if c.examples.ct < 1:
            subjects += load_subjects(c.data, ("fit",))
        return Examples(subjects, c.examples, c.prior.seen, c.prior.image_std)

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """See :class:`Task`."""
        return self.examples.batch(seed, step, size)

    def diffusing(self, x: Tensor) -> Tensor:
        """All of it."""
        return x

    def validate(self, prior: SlicePrior, thorough: bool = False) -> list[Score]:
        """Mean mode at one or three numbers of views."""
        from voxprior.training.validate_ct import validate_ct

        return validate_ct(prior, load_ct(self.config.data, ("tune",)), (18, 36, 60) if thorough else (36,))

    def describe(self) -> dict[str, Any]:
        """CT and MR volumes."""
        c = self.config.examples
        assert isinstance(c, ExampleConfig)
        ct = {"ct": [s.name for s in load_ct(self.config.data, ("fit",))], "held_back": "top fifth of the slices of ct"}
        if c.ct == 1:
            return {"split": "train", **ct, "licences": licences(self.config.data, "ct/")}
        both = licences(self.config.data, "ct/", "train/", "labels/")
        return {**modalities(self.config.data), **ct, "share_of_ct": c.ct, "licences": both}


class VolumeTask:
    """Coarse volumes to fine volumes: thick slices, and volumes that are coarse in plane."""

    baseline = "cubic"
    protocol = (
        "tune subjects, blocks of at most 96 voxels across, thick slices along A-P, or twice coarser along L-R and A-P "
        "(in plane), box profile, one call, after the projection; dB"
    )

    def __init__(self, config: HasExamples) -> None:
        assert isinstance(config.examples, VolumeExampleConfig)
        self.config = config
        factors, in_plane = config.examples.factors, config.examples.in_plane
        self.trained_range = {"slices_to_voxels": [min(factors), max(factors)]}
        if in_plane > 0:
            self.trained_range["in_plane"] = [2, 2]

    @cached_property
    def examples(self) -> VolumeExamples:
        """Of the subjects to fit, read when they are asked for."""
        assert isinstance(self.config.examples, VolumeExampleConfig)
        return VolumeExamples(load_subjects(self.config.data, ("fit",)), self.config.examples)

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """See :class:`Task`."""
        return self.examples.batch(seed, step, size)

    def diffusing(self, x: Tensor) -> Tensor:
        """All of it."""
        return x

    def validate(self, prior: VolumePrior, thorough: bool = False) -> list[Score]:
        """One call at two or five factors, and in plane."""
        from voxprior.training.validate_volume import IN_PLANE, validate_volume

        factors = (IN_PLANE, 2, 3, 4, 5, 8) if thorough else (IN_PLANE, 4, 8)
        return validate_volume(prior, held_back(self.config.data, thorough), factors)

    def describe(self) -> dict[str, Any]:
        """Subjects and modalities."""
        return modalities(self.config.data)


def make_task(config: FitConfig) -> Any:
    """The task that the examples of ``config`` belong to."""
    if isinstance(config.examples, KspaceConfig):
        return KspaceTask(config)
    if isinstance(config.examples, EnhanceConfig):
        from voxprior.training.enhance_task import EnhanceTask

        return EnhanceTask(config)
    if isinstance(config.examples, VolumeExampleConfig):
        return VolumeTask(config)
    return (CtTask if config.examples.ct > 0 else SliceTask)(config)
