"""A slice prior without a measurement: a denoiser of volumes from their slices, in the units and the order of an array.

The network is the same that restores slices: with m = 0, a blank phase and the std of images about zero in the place of
the expected error, as it was trained for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.parameterisation import Rescaled
from voxprior.priors.bound import VOXELS_AT_ONCE, Frame, frame
from voxprior.priors.complex import describe_coils
from voxprior.priors.condition import describe
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.planes import SlabDenoiser, Slabs, slicewise

UNPLACED = Frame((), (0, 1, 2), (1.0, 1.0, 1.0), True)
"""Of an image without a place in a patient: nothing is flipped, voxels of 1 mm, no anatomical plane."""


def is_complex(prior: SlicePrior) -> bool:
    """Whether the prior is of complex slices, whose two parts are the slab, and not of real ones."""
    return prior.config.slab == 2 and prior.config.halo == 0


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
    rows = 0 if normal != 0 else 1
    config, area = prior.config, math.prod(shape) // shape[normal]
    if is_complex(prior):
        slabs, denoise = Slabs(normal, rows), _complex(prior)
    else:
        slabs, denoise = Slabs(normal, rows, config.slab, config.halo), _real(prior, normal, rows, affine)
    batch = max(1, voxels // (area * config.slab))
    return Rescaled(slicewise(denoise, slabs, (config.sigma_min, config.sigma_max), batch), scale)


def _real(prior: SlicePrior, normal: int, rows: int, affine: NDArray[np.float64] | None) -> SlabDenoiser:
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
        return _ask(prior, x, m, phase, sigma, vector).flip(turned)

    return denoise


def _complex(prior: SlicePrior) -> SlabDenoiser:
    vector = torch.from_numpy(describe_coils(None, 0, 0.0))

    def denoise(slabs: Tensor, sigma: float, start: list[int], sample: list[int]) -> Tensor:
        x = torch.cat([slabs.real, slabs.imag], dim=1)
        phase = torch.zeros(1, 2, x.shape[2], dtype=x.dtype, device=x.device)
        mean = _ask(prior, x, torch.zeros_like(x), phase, sigma, vector)
        return torch.complex(mean[:, :1], mean[:, 1:])

    return denoise


def _ask(prior: SlicePrior, x: Tensor, m: Tensor, phase: Tensor, sigma: float, vector: Tensor) -> Tensor:
    n = x.shape[0]
    numbers: list[Any] = [torch.full((n,), v, dtype=x.dtype, device=x.device) for v in (sigma, prior.config.image_std)]
    told = vector.to(x.device, x.dtype).expand(n, -1)
    mean: Tensor = prior(x, m, phase.expand(n, -1, -1), *numbers, told).mean
    return mean.to(x.dtype)
