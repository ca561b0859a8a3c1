"""A slice prior without a measurement: a denoiser of volumes from their slices, in the units and the order of an array.

The network is the same that restores slices: with m = 0, a blank phase and the std of images about zero in the place of
the expected error, as it was trained for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, Denoiser
from voxprior.diffusion.parameterisation import Rescaled
from voxprior.priors.bound import Frame, frame
from voxprior.priors.complex import describe_coils
from voxprior.priors.condition import describe
from voxprior.priors.denoiser import Denoised, SlicePrior
from voxprior.priors.planes import SlabDenoiser, Slabs, slicewise
from voxprior.priors.portion import VOXELS_AT_ONCE

UNPLACED = Frame((), (0, 1, 2), (1.0, 1.0, 1.0), True)
"""Of an image without a place in a patient: nothing is flipped, voxels of 1 mm, no anatomical plane."""


def is_complex(prior: SlicePrior) -> bool:
    """Whether the prior is of complex slices, whose two parts are the slab, and not of real ones."""
    return prior.config.slab == 2 and prior.config.halo == 0


@dataclass(frozen=True)
class Single:
    """The denoiser of slices x (sample, row, column) from one of volumes (sample, 1, row, column)."""

    denoiser: Denoiser

    @property
    def sigma_range(self) -> tuple[float, float]:
        """As that of the volumes."""
        return self.denoiser.sigma_range

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D of x (sample, row, column)."""
        return self.denoiser(x[:, None], sigma)[:, 0]

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D))."""
        d, gradient = self.denoiser.pullback(x[:, None], sigma, lambda d: cotangent(d[:, 0])[:, None])
        return d[:, 0], gradient[:, 0]


def unconditional(
    prior: SlicePrior,
    shape: tuple[int, ...],
    normal: int,
    affine: NDArray[np.float64] | None = None,
    scale: float = 1.0,
    voxels: int = VOXELS_AT_ONCE,
) -> Rescaled:
    """D(x, sigma) of volumes x (sample, *shape) from their slices normal to array axis ``normal``.

    ``affine``: of the grid, 4 x 4; the network sees slices in RAS order and is told their plane, which it is not where
    there is no affine or the grid is oblique. ``scale``: image units per unit of the prior's intensities (the 99th
    percentile of the foreground). ``voxels``: slice voxels of one network call. Complex volumes for a prior of complex
    slices, real ones for the others.
    """
    if is_complex(prior):
        slabs, denoise = Slabs(normal, 0 if normal != 0 else 1), _complex(prior)
    else:
        slabs, denoise = _real(prior, normal, affine, _mean)
    return _volumes(prior, shape, slabs, denoise, scale, voxels)


def deviation(
    prior: SlicePrior,
    shape: tuple[int, ...],
    normal: int,
    affine: NDArray[np.float64] | None = None,
    scale: float = 1.0,
    voxels: int = VOXELS_AT_ONCE,
) -> Rescaled:
    """The std of x0 about D(x, sigma), where :func:`unconditional` gives D; of real slices."""
    return _volumes(prior, shape, *_real(prior, normal, affine, _std), scale, voxels)


def _volumes(
    prior: SlicePrior, shape: tuple[int, ...], slabs: Slabs, denoise: SlabDenoiser, scale: float, voxels: int
) -> Rescaled:
    config, area = prior.config, math.prod(shape) // shape[slabs.axis]
    batch = max(1, voxels // (area * config.slab))
    return Rescaled(slicewise(denoise, slabs, (config.sigma_min, config.sigma_max), batch), scale)


def _mean(found: Denoised) -> Tensor:
    return found.mean


def _std(found: Denoised) -> Tensor:
    return found.std


def _real(
    prior: SlicePrior, normal: int, affine: NDArray[np.float64] | None, part: Callable[[Denoised], Tensor]
) -> tuple[Slabs, SlabDenoiser]:
    rows = 0 if normal != 0 else 1
    place = UNPLACED if affine is None else frame(affine)
    columns = 3 - normal - rows
    plane = None if place.oblique else (place.world[rows], place.world[columns])
    voxel = (place.voxel[rows], place.voxel[columns], place.voxel[normal])
    vector = torch.from_numpy(describe(None, voxel, plane))
    turned = [d for d, axis in enumerate((normal, rows, columns), 1) if axis in place.flips]

    def denoise(slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
        x = slabs.flip(turned)
        phase = torch.zeros(1, 2, x.shape[2], dtype=x.dtype, device=x.device)
        m = torch.zeros(1, dtype=x.dtype, device=x.device).expand(x.shape)
        return part(_ask(prior, x, m, phase, sigma, vector)).flip(turned)

    return Slabs(normal, rows, prior.config.slab, prior.config.halo), denoise


def _complex(prior: SlicePrior) -> SlabDenoiser:
    vector = torch.from_numpy(describe_coils(None, 0, 0.0))

    def denoise(slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
        x = torch.cat([slabs.real, slabs.imag], dim=1)
        phase = torch.zeros(1, 2, x.shape[2], dtype=x.dtype, device=x.device)
        mean = _ask(prior, x, torch.zeros_like(x), phase, sigma, vector).mean
        return torch.complex(mean[:, :1], mean[:, 1:])

    return denoise


def _ask(prior: SlicePrior, x: Tensor, m: Tensor, phase: Tensor, sigma: float, vector: Tensor) -> Denoised:
    n = x.shape[0]
    numbers: list[Any] = [torch.full((n,), v, dtype=x.dtype, device=x.device) for v in (sigma, prior.config.image_std)]
    told = vector.to(x.device, x.dtype).expand(n, -1)
    found: Denoised = prior(x, m, phase.expand(n, -1, -1), *numbers, told)
    return Denoised(found.mean.to(x.dtype), found.std.to(x.dtype))
