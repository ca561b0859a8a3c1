"""What a slice prior makes of thick slices or coarse voxels, in figures; :mod:`voxprior.priors.familiarity` judges.

Three things are asked: how well does the prior remove noise that was put on the slices as they were given; of thick
slices also, does the prior's estimate alone, which has not been fitted to them, explain them when it is measured again;
and do voxels and slice distance lie in the trained range.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.priors.bound import BoundPrior, Frame
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.familiarity import LEAST, beyond
from voxprior.priors.grid import BoundGrid
from voxprior.priors.plain import unconditional
from voxprior.priors.planes import Slabs

SIGMAS = {"fine": 0.05, "middle": 0.3, "coarse": 1.0}
"""Noise put on the image, on the priors' scale: it hides texture, edges, and the places of organs."""
DENOISED = tuple(f"{where}_{noise}" for where in ("bright", "whole") for noise in SIGMAS)
"""Denoising errors in bright voxels and in all."""
FIGURES = ("refit", *DENOISED)
"""Misfit of the prior's estimate, and the denoising errors. On training scans, spoilt ones among them, these seven tell
shuffled blocks best.
"""
SLABS = 5
"""Slabs of either kind that are looked at: enough for a figure, and a tenth of a restoration's time."""
MIDDLE = (0.3, 0.7)
"""Part of an axis that they are taken from."""
BRIGHT = 0.1
"""Voxels below this on the priors' scale are background."""
SEED = 20


@torch.no_grad()
def slice_figures(bound: BoundPrior) -> dict[str, float]:
    """:data:`FIGURES`: relative misfit, and denoising errors in units of the noise."""
    axis, voxel = bound.slices.axis, list(bound.frame.voxel)
    voxel[axis] = min(v for a, v in enumerate(voxel) if a != axis)  # the prior knows only neighbours that are near
    placed = bound.frame._replace(voxel=(voxel[0], voxel[1], voxel[2]))
    return {"refit": _refit(bound), **_denoised(bound.prior, bound.measurement.y, axis, placed, bound.voxels)}


@torch.no_grad()
def voxel_figures(prior: SlicePrior, bound: BoundGrid) -> dict[str, float]:
    """:data:`DENOISED` of coarse voxels, by a ``prior`` of slices that asks for no measurement.

    The prior behind ``bound`` was never trained without one. Nor is its own misfit asked for: in training scans it
    tells nothing that these do not, and varies most.
    """
    normal = bound.planes("one")[0].normal
    voxel = [bound.axes[a].spacing if a in bound.axes else v for a, v in enumerate(bound.frame.voxel)]
    voxel[normal] = min(v for a, v in enumerate(voxel) if a != normal)
    placed = bound.frame._replace(voxel=(voxel[0], voxel[1], voxel[2]))
    return _denoised(prior, bound.measurement.y, normal, placed, bound.voxels)


def outside_slices(card: Mapping[str, Any], bound: BoundPrior) -> float:
    """Largest distance, natural logarithm, of voxels or slice distance from the trained range of ``card``; 0 inside."""
    trained = card.get("trained_range", {})
    planar = [v for a, v in enumerate(bound.frame.voxel) if a != bound.slices.axis]
    pairs = [(v, trained.get("voxel_mm")) for v in (*planar, bound.slices.fine_spacing)]
    return beyond([*pairs, (bound.slices.spacing, trained.get("slice_distance_mm"))])


def outside_voxels(card: Mapping[str, Any], bound: BoundGrid) -> float:
    """The same of fine voxels and of the factor."""
    trained = card.get("trained_range", {})
    factors = [(g.spacing / g.fine_spacing, trained.get("factor")) for g in bound.axes.values()]
    return beyond([*((v, trained.get("voxel_mm")) for v in bound.frame.voxel), *factors])


def errors(error: Tensor, image: Tensor, sigma: float) -> tuple[float, float]:
    """Rms ``error`` of an ``image`` of the same shape, both on the priors' scale, over ``sigma``.

    Of bright voxels, and of their box: how much air a field of view has says nothing, so what lies around the head is
    left out.
    """
    bright = image.abs() > BRIGHT
    if not bool(bright.any()):
        bright = torch.ones_like(bright)
    found = bright.nonzero()
    box = tuple(slice(int(low), int(high) + 1) for low, high in zip(found.amin(0), found.amax(0), strict=True))
    inside: Tensor = error[bright]
    return float(inside.abs().square().mean().sqrt()) / sigma, float(error[box].abs().square().mean().sqrt()) / sigma


def named(each: list[tuple[float, float]]) -> dict[str, float]:
    """:data:`DENOISED` from the :func:`errors` at each of :data:`SIGMAS`."""
    return dict(zip(DENOISED, (*(e[0] for e in each), *(e[1] for e in each)), strict=True))


def _denoised(prior: SlicePrior, y: Tensor, normal: int, placed: Frame, voxels: int) -> dict[str, float]:
    """Errors of removing noise from the middle slices of ``y`` (1, *space), those normal to array axis ``normal``."""
    count = min(SLABS * prior.config.slab, y.shape[normal + 1])
    y = y.narrow(normal + 1, (y.shape[normal + 1] - count) // 2, count)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for a, world in enumerate(placed.world):
        affine[world, a] = placed.voxel[a]
    denoise = unconditional(prior, tuple(y.shape[1:]), normal, affine, voxels=voxels)
    noise = SeededNoise(SEED)(0, 0, tuple(y.shape[1:])).to(y)[None]
    return named([errors(denoise(y + sigma * noise, sigma) - y, y, sigma) for sigma in SIGMAS.values()])


def _refit(bound: BoundPrior) -> float:
    normal, axis = bound.normals[0], bound.slices.axis
    slabs = bound.slabs(normal)
    start = _starts(bound.m.shape[normal + 1], slabs.slab)
    sample = [0] * len(start)
    k = len(start)
    m = slabs.cut(bound.m, sample, start)
    spread = torch.full((k,), bound.way.residual).to(m)
    phase = torch.from_numpy(bound.way.phase).to(m)[None].expand(k, -1, -1)
    mean = bound.prior.regress(m, phase, spread, bound.vector(normal).expand(k, -1)).mean
    matrix = torch.from_numpy(bound.slices.matrix()).to(mean)
    y = Slabs(normal, axis, slabs.slab).cut(bound.measurement.y, sample, start)
    again = torch.einsum("sf,nkfc->nksc", matrix, mean)
    return float((again - y).norm() / y.norm().clamp_min(LEAST))


def _starts(count: int, slab: int) -> list[int]:
    """First slices of slabs from the middle of an axis."""
    low, high = (int(part * max(0, count - slab)) for part in MIDDLE)
    return sorted({int(v) for v in np.linspace(low, high, SLABS)})
