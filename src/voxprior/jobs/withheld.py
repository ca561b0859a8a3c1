"""The error of a reconstruction, measured on the scan itself: samples that are withheld, and foretold by the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from voxprior.jobs.intervals import std_along
from voxprior.methods.result import Result
from voxprior.operators.base import Measurement
from voxprior.operators.fourier import Fourier, fft

CHECKED = 4
"""Slices of a stack whose error is measured; the others have that of the one before."""
EVERY = 4
"""One measured place of so many is withheld, counted from the centre outwards."""
FAR = 5.0
"""Mean distance from measured places, over that of the withheld ones, up to which those never measured are like them:
.4 to 4.4 for lines and points, 14 and more where a large part of k-space was left out in one piece.
"""
GROUPS = 12
"""Of withheld places of like distance from the centre, over which the energy of the error is averaged."""
LEAST_GROUPS = 3
"""From which on the fall of that energy with the distance is fitted; with less it is that of heads."""
STEEPEST, OF_HEADS = 4.0, 2.0
"""Largest power of the distance with which the energy may fall, and that of heads."""
FLOOR = 0.05
"""Least energy of a group in units of that of the noise: below it the difference is chance."""


def withheld_scale(result: Result, measurement: Measurement, estimate: Callable[[Measurement], Tensor]) -> float | None:
    """The error of ``result``, see :func:`withheld_error`, over the std that the method gave; None without one."""
    std = std_along(result)
    error = None if std is None else withheld_error(measurement, estimate)
    return None if std is None or error is None else error / max(float(std.square().mean().sqrt()), 1e-30)


def withheld_error(measurement: Measurement, reconstruct: Callable[[Measurement], Tensor]) -> float | None:
    """Root mean square of a real component of the error over the field of view, in units of the image.

    ``reconstruct``: a k-space measurement to its image (*space). A quarter of the outer places of k-space is taken from
    it; what it makes of them, less the noise, is the energy of the error by distance from the centre, as a power law,
    and that energy summed over the places that were never measured is the error's (Parseval). None where too few places
    lie outside of the centre, or are like those that were never measured. The image from all samples errs by somewhat
    less, since gaps are narrower there.
    """
    operator = measurement.operator
    assert isinstance(operator, Fourier)
    keep = operator.mask.numpy(force=True)
    distance = _distance(keep.shape, operator.changing)
    places = _withhold(keep, distance, operator.changing)
    if places is None:
        return None
    left = torch.from_numpy(keep & ~places).to(operator.mask.device)
    told = Fourier(left, operator.maps, operator.axes, operator.plan, operator.tolerance)
    image = reconstruct(replace(measurement, operator=told, y=measurement.y * left))
    energy = _energy(operator, image.to(measurement.y), measurement.y)
    sigma = float(measurement.sigma) if isinstance(measurement.sigma, int | float) else 0.0
    coils = 1 if operator.maps is None else operator.maps.shape[-1 - operator.mask.ndim]
    never = ~keep
    total = _foretold(energy - 2 * coils * sigma**2, FLOOR * 2 * coils * sigma**2, distance, places)[never].sum()
    return math.sqrt(float(total) / keep.size / 2)


def _distance(shape: tuple[int, ...], changing: tuple[int, ...]) -> NDArray[np.float64]:
    """Of each place from the centre of k-space along the axes on which the mask changes; 1 at their ends."""
    squares = np.zeros(shape)
    for axis in changing:
        n = shape[axis]
        place = (np.arange(n) - n // 2) / (n / 2)
        squares += np.square(place).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.sqrt(squares)


def _withhold(
    keep: NDArray[np.bool_], distance: NDArray[np.float64], changing: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Every fourth measured place beyond the complete centre, whole lines where whole lines are measured.

    None where they are too few, or lie among measured ones while those never measured lie far from all.
    """
    if keep.all():
        return None
    centre = distance[~keep].min()
    constant = tuple(a for a in range(keep.ndim) if a not in changing)
    pattern, radius = (values.min(axis=constant) for values in (keep, distance))
    outer = np.flatnonzero(pattern & (radius > centre))
    if len(outer) < EVERY:
        return None
    order = outer[np.argsort(radius.ravel()[outer], kind="stable")]
    chosen = np.zeros(pattern.size, dtype=bool)
    chosen[order[1::EVERY]] = True
    away = distance_transform_edt(~pattern | chosen.reshape(pattern.shape))
    if away[~pattern].mean() > FAR * away[chosen.reshape(pattern.shape)].mean():
        return None
    whole = np.expand_dims(chosen.reshape(pattern.shape), constant)
    return np.broadcast_to(whole, keep.shape)


def _energy(operator: Fourier, image: Tensor, y: Tensor) -> NDArray[np.float64]:
    """|F S x - y|^2, summed over coils, (*space)."""
    dims = tuple(a - operator.mask.ndim for a in operator.axes)
    seen = fft(image[None] if operator.maps is None else operator.maps * image, dims)
    missed = (seen - y.reshape(seen.shape)).abs().square().numpy(force=True).astype(np.float64)
    return np.asarray(missed.sum(0))


def _foretold(
    energy: NDArray[np.float64], least: float, distance: NDArray[np.float64], places: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Energy at each distance, as the power law of ``energy`` at ``places``, of the same mean there."""
    at, found = distance[places], energy[places]
    edges = np.quantile(at, np.linspace(0, 1, GROUPS + 1))
    group = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, GROUPS - 1)
    used = np.unique(group)
    radius = np.array([at[group == g].mean() for g in used])
    mean = np.array([max(float(found[group == g].mean()), least, np.finfo(np.float64).tiny) for g in used])
    slope = -OF_HEADS
    if len(used) >= LEAST_GROUPS:
        design = np.stack([np.ones_like(radius), np.log(radius)], axis=1)
        slope = float(np.clip(np.linalg.lstsq(design, np.log(mean), rcond=None)[0][1], -STEEPEST, 0))
    law = np.maximum(distance, radius.min() / 2) ** slope
    return np.asarray(law * mean.mean() / (radius**slope).mean())
