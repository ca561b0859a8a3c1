"""How far a measurement lies from what a slice prior was trained on.

Three things are asked: does the prior's estimate alone, which has not been fitted to the slices, explain them when it
is measured again; how well does the prior remove noise that was put on the slices; and do voxels and slice distance lie
in the trained range. The first two are compared with scans of the training split (Mahalanobis distance of their
logarithms), so that an image that is too easy, such as one that was restored before, counts like one that is too hard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.priors.bound import BoundPrior
from voxprior.priors.plain import unconditional
from voxprior.priors.planes import Slabs

SIGMAS = {"fine": 0.05, "middle": 0.3, "coarse": 1.0}
"""Noise put on the slices, on the priors' scale: it hides texture, edges, and the places of organs."""
FIGURES = ("refit", *(f"{where}_{noise}" for where in ("bright", "whole") for noise in SIGMAS))
"""Misfit of the prior's estimate; denoising errors in bright voxels and in all. On training scans, spoilt ones among
them, these seven tell shuffled blocks best.
"""
SLABS = 5
"""Slabs of either kind that are looked at: enough for a figure, and a tenth of a restoration's time."""
MIDDLE = (0.3, 0.7)
"""Part of an axis that they are taken from."""
BRIGHT = 0.1
"""Voxels below this on the priors' scale are background."""
LEAST = 1e-6
SHRINKAGE = 0.1
"""Part by which covariances of the figures are taken down: few scans tell little of them."""
TOLERATED = 0.1
"""Logarithm outside the trained range that weighs like one standard deviation."""
SEED = 20
BLUNT = 1e3


@dataclass(frozen=True)
class Familiar:
    """What scans of the training split look like to a prior.

    ``mean`` (figure,) and ``precision`` (figure, figure): of the logarithms of :data:`FIGURES`. ``threshold``: the
    score that ``share`` of ``subjects`` left out in turn stay below.
    """

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    threshold: float
    share: float
    subjects: int

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values, and the names of the figures."""
        return {**asdict(self), "figures": list(FIGURES)}


def familiar_of(card: Mapping[str, Any]) -> Familiar | None:
    """What the card of weights says of scans that they know; None if it was never calibrated.

    Nor is it if that was for other figures.
    """
    values = card.get("familiar")
    if values is None or values.get("figures") != list(FIGURES):
        return None
    rows = tuple(tuple(row) for row in values["precision"])
    return Familiar(tuple(values["mean"]), rows, values["threshold"], values["share"], values["subjects"])


@torch.no_grad()
def figures(bound: BoundPrior) -> dict[str, float]:
    """Relative misfit of the prior's estimate alone, and its denoising errors in units of the noise; all positive."""
    errors = [_denoising(bound, sigma) for sigma in SIGMAS.values()]
    return dict(zip(FIGURES, (_refit(bound), *(e[0] for e in errors), *(e[1] for e in errors)), strict=True))


def outside(card: Mapping[str, Any], bound: BoundPrior) -> float:
    """Largest distance, natural logarithm, of voxels or slice distance from the trained range of ``card``; 0 inside."""
    trained = card.get("trained_range", {})
    axis = bound.slices.axis
    planar = [v for a, v in enumerate(bound.frame.voxel) if a != axis]
    pairs = [(v, trained.get("voxel_mm")) for v in (*planar, bound.slices.fine_spacing)]
    pairs.append((bound.slices.spacing, trained.get("slice_distance_mm")))
    beyond = [max(math.log(low_high[0] / v), math.log(v / low_high[1])) for v, low_high in pairs if low_high]
    return max(0.0, *beyond) if beyond else 0.0


def score(found: Mapping[str, float], beyond: float, known: Familiar) -> float:
    """Distance of ``found`` from ``known``, standard deviations a figure, and that of the header, in quadrature."""
    d = _logs(found) - np.array(known.mean)
    return math.sqrt(float(d @ np.array(known.precision) @ d) / len(FIGURES) + (beyond / TOLERATED) ** 2)


def fit(found: Sequence[Mapping[str, float]]) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Mean and precision of the logarithms of the figures of several scans, the covariance shrunk."""
    logs = np.stack([_logs(one) for one in found])
    spread = np.cov(logs, rowvar=False)
    spread = (1 - SHRINKAGE) * spread + SHRINKAGE * np.diag(np.diag(spread))
    rows = np.linalg.inv(spread)
    return tuple(float(v) for v in logs.mean(0)), tuple(tuple(float(v) for v in row) for row in rows)


def _logs(found: Mapping[str, float]) -> NDArray[np.float64]:
    return np.log([min(max(found[name], LEAST), BLUNT) for name in FIGURES])


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


def _denoising(bound: BoundPrior, sigma: float) -> tuple[float, float]:
    """Rms error, in its units, of removing noise ``sigma`` from the middle slices: of bright voxels, of their box."""
    axis = bound.slices.axis
    y = bound.measurement.y
    slab = bound.prior.config.slab
    start = _starts(y.shape[axis + 1], slab, SLABS * slab)[0]
    y = y.narrow(axis + 1, start, min(SLABS * slab, y.shape[axis + 1]))
    voxel = list(bound.frame.voxel)
    voxel[axis] = min(v for a, v in enumerate(voxel) if a != axis)  # the prior knows only neighbours that are near
    affine = np.eye(4)
    affine[:3, :3] = 0
    for a, world in enumerate(bound.frame.world):
        affine[world, a] = voxel[a]
    denoise = unconditional(bound.prior, tuple(y.shape[1:]), axis, affine, voxels=bound.voxels)
    noise = SeededNoise(SEED)(0, 0, tuple(y.shape[1:])).to(y)[None]
    error = denoise(y + sigma * noise, sigma) - y
    bright = y.abs() > BRIGHT
    if not bool(bright.any()):
        bright = torch.ones_like(bright)
    found = bright.nonzero()  # how much air a field of view has says nothing: what lies around the head is left out
    box = tuple(slice(int(low), int(high) + 1) for low, high in zip(found.amin(0), found.amax(0), strict=True))
    inside: Tensor = error[bright]
    return float(inside.square().mean().sqrt()) / sigma, float(error[box].square().mean().sqrt()) / sigma


def _starts(count: int, slab: int, length: int | None = None) -> list[int]:
    """First slices of slabs from the middle of an axis; of one slab of ``length`` in its very middle, if given."""
    if length is not None:
        return [max(0, (count - length) // 2)]
    low, high = (int(part * max(0, count - slab)) for part in MIDDLE)
    return sorted({int(v) for v in np.linspace(low, high, SLABS)})
