"""A block of slices of one coil under one mask, without noise: for methods that look across the slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.noise import Noise, SeededNoise
from voxprior.evaluate.directions import array_axis
from voxprior.evaluate.manifest import checked
from voxprior.evaluate.recon.acquire import SLICE, Image, Problem, acquire, undersample
from voxprior.evaluate.recon.protocols import Case
from voxprior.io.nifti import read_volume
from voxprior.methods.result import Progress, Result
from voxprior.metrics import foreground
from voxprior.operators.base import Compose, Measurement
from voxprior.operators.fourier import Fourier, RealImage, fft
from voxprior.operators.masks import Mask, make_mask


@dataclass(frozen=True, eq=False)
class Stack:
    """``parts``: the slices as problems of their own, of one mask. ``affine``: of the volume (slice, y, x)."""

    parts: tuple[Problem, ...]
    affine: NDArray[np.float64]

    @property
    def y(self) -> NDArray[np.complex64]:
        """Of the first slice, (coil, y, x)."""
        return self.parts[0].y

    @property
    def maps(self) -> NDArray[np.complex64]:
        """Of every slice, (coil, y, x)."""
        return self.parts[0].maps

    @property
    def mask(self) -> Mask:
        """Of every slice."""
        return self.parts[0].mask

    @property
    def noise(self) -> float | None:
        """As the methods are told."""
        return self.parts[0].noise

    @property
    def seconds_maps(self) -> float:
        """The one coil is uniform: nothing is to be found."""
        return 0.0

    @property
    def truth(self) -> Image:
        """(slice, y, x)."""
        return np.stack([part.truth for part in self.parts if part.truth is not None])

    @property
    def object(self) -> NDArray[np.bool_]:
        """(slice, y, x)."""
        return np.stack([part.object for part in self.parts if part.object is not None])

    def measurement(self) -> Measurement:
        """All slices as one volume."""
        keep = torch.from_numpy(self.mask.keep).expand(len(self.parts), *self.mask.keep.shape)
        y = torch.from_numpy(np.concatenate([part.y for part in self.parts]))
        return Measurement(Fourier(keep, axes=(1, 2)), y[None], self.noise, self.affine)


def pose(data: Path, case: Case) -> Problem | Stack:
    """The problem of ``case``, read anew; raises :class:`InputError` as its parts do."""
    return stack(data, case) if case.slices > 1 else undersample(acquire(data, case), case)


def stack(data: Path, case: Case) -> Stack:
    """Slices about the one with most foreground, normal to the case's direction; all of them in one intensity."""
    volume = read_volume(checked(data, case.file, case.sha256))
    axis = array_axis(volume, case.direction)
    voxels = np.moveaxis(np.array(volume.data, dtype=np.float32).clip(0), axis, 0)
    inside = foreground(voxels)
    best = int(inside.sum(axis=(1, 2)).argmax())
    first = int(np.clip(best - case.slices // 2, 0, max(0, len(voxels) - case.slices)))
    window = slice(first, first + case.slices)
    mask = make_mask(case.mask, (voxels.shape[1], voxels.shape[2]), case.acceleration, case.acs)
    maps = np.ones((1, *mask.keep.shape), np.complex64)
    parts = []
    for truth, seen in zip(voxels[window], inside[window], strict=True):
        y = fft(torch.from_numpy(truth.astype(np.complex64))[None], SLICE).numpy() * mask.keep
        parts.append(Problem(y, maps, mask, 0.0, 0.0, np.ascontiguousarray(truth), seen))
    affine = volume.affine.copy()
    affine[:, :3] = volume.affine[:, [axis, *(a for a in range(3) if a != axis)]]
    return Stack(tuple(parts), affine)


def reconstruct(method: Any, options: Any, problem: Problem | Stack, seed: int) -> Result:
    """Run ``method``: on a stack as a whole where it takes one (``whole_stacks``), else slice by slice.

    The calls of a stack are those of one slice: a call is a pass over the volume.
    """
    if not isinstance(problem, Stack) or getattr(method, "whole_stacks", False):
        result: Result = method(problem.measurement(), options, SeededNoise(seed))
        return result
    found = [
        method(part.measurement(), options, SeededNoise(seed + number)) for number, part in enumerate(problem.parts)
    ]
    return Result(
        torch.stack([r.mean for r in found]),
        _joined(found, lambda r: r.std, 0),
        _joined(found, lambda r: r.samples, 1),
        calls=max(r.calls for r in found),
        weights=found[0].weights,
    )


def _joined(found: list[Result], part: Callable[[Result], Tensor | None], axis: int) -> Tensor | None:
    given = [value for r in found if (value := part(r)) is not None]
    return torch.stack(given, axis) if len(given) == len(found) else None


class ToldReal:
    """A method of stacks that is told that the image is real, as in the paper of TPDM: ``A`` after ``RealImage``."""

    whole_stacks = True

    def __init__(self, method: Any) -> None:
        self.method, self.name = method, f"{method.name}-real"
        self.Options, self.citation = method.Options, method.citation

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """The real volume behind one stack."""
        operator = Compose(measurement.operator, RealImage())
        real = Measurement(operator, measurement.y, measurement.sigma, measurement.affine)
        result: Result = self.method(real, options, rng, progress)
        return result
