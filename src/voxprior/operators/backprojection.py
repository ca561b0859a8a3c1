"""Filtered back-projection of parallel and fan beams, from any views: the reconstruction that needs no iterations."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.errors import InputError
from voxprior.operators.projection_matrix import ProjectionGeometry

Filter = Literal["ram-lak", "shepp-logan", "cosine", "hann"]
"""The ramp alone, or with a window that falls towards the highest frequency."""

Array = NDArray[np.float64]

MISSING = 2.5
"""A distance of neighbouring views of more than this times the median is a part of the turn that was not measured."""


def filtered_backprojection(y: Tensor, geometry: ProjectionGeometry, filter: Filter = "ram-lak") -> Tensor:
    """Image (slice, row, column), 1/mm, from line integrals ``y`` (slice, view, bin).

    Each view counts for the angle around it; where a part of the turn is missing nothing takes its place. In a fan,
    rays that were measured from both ends share their weight: evenly over a full turn, by Parker's smooth weights over
    half a turn and the fan or more (Parker, Medical Physics 9, 1982; Silver 2000 for wider ranges). Kak and Slaney,
    Principles of computerized tomographic imaging, chapter 3.
    """
    if filter not in get_args(Filter):
        raise InputError(f"--filter {filter} is unknown; give one of {', '.join(get_args(Filter))}")
    views = y if y.dtype == torch.float64 else y.float()
    response, weights = views.new_tensor(_response(geometry, filter)), views.new_tensor(ray_weights(geometry))
    length = 2 * (len(response) - 1)
    filtered = torch.fft.irfft(torch.fft.rfft(views * weights, length) * response, length)[..., : geometry.bins]
    rows, columns = (views.new_tensor(axis) for axis in geometry.axes())
    image = views.new_zeros((y.shape[0], *geometry.shape))
    for v, angle in enumerate(np.radians(geometry.angles)):
        cos, sin = math.cos(angle), math.sin(angle)
        across = rows[:, None] * sin + columns * cos
        along = rows[:, None] * cos - columns * sin
        position, gain = _seen(geometry, across, along)
        image += gain * _interpolate(filtered[:, v], position)
    return image


def view_weights(angles: tuple[float, ...], turn: float) -> Array:
    """Angle in radians that each view stands for, (view,): half the way to either neighbour, modulo ``turn`` degrees.

    A gap of more than :data:`MISSING` times the median was not measured: the views beside it count as elsewhere.
    Views of one angle share.
    """
    wrapped = np.round(np.mod(angles, turn), 6) % turn
    unique, where, counts = np.unique(wrapped, return_inverse=True, return_counts=True)
    gaps = np.diff(np.append(unique, unique[0] + turn))
    usual = float(np.median(gaps))
    gaps = np.where(gaps > MISSING * usual, usual, gaps)
    return np.asarray(np.radians((gaps + np.roll(gaps, 1)) / 2)[where] / counts[where])


def ray_weights(geometry: ProjectionGeometry) -> Array:
    """What each ray is multiplied by before the filter, (view, bin): view angle, redundancy and the fan's cosine."""
    if geometry.source is None or geometry.detector is None:
        return np.repeat(view_weights(geometry.angles, 180.0)[:, None], geometry.bins, axis=1)
    fan = _fan_angles(geometry)
    weights = view_weights(geometry.angles, 360.0)
    covered = float(weights.sum())
    cosine = geometry.source * np.cos(fan)
    usual = float(np.median(weights))
    if covered > 2 * math.pi - usual / 2:
        return np.asarray(weights[:, None] * cosine / 2)
    start = _first(geometry.angles)
    turned = np.radians(np.mod(np.asarray(geometry.angles) - start, 360.0)) + usual / 2
    return np.asarray(weights[:, None] * cosine * _redundancy(turned[:, None], fan, covered))


def _first(angles: tuple[float, ...]) -> float:
    """The angle after the widest gap, degrees: where a turn that is not full begins."""
    unique = np.unique(np.mod(angles, 360.0))
    gaps = np.diff(np.append(unique, unique[0] + 360.0))
    return float(unique[(int(gaps.argmax()) + 1) % len(unique)])


def _redundancy(turned: Array, fan: Array, covered: float) -> Array:
    """Share of each ray among those that measured the same line; the opposite of (b, g) is (b + pi - 2 g, -g)."""
    delta = (covered - math.pi) / 2
    if delta < float(np.abs(fan).max()):  # too short for smooth weights: many lines were not measured at all
        opposite = turned + math.pi - 2 * fan
        measured = [(o > 0) & (o < covered) for o in (opposite, opposite - 2 * math.pi)]
        return np.where(measured[0] | measured[1], 0.5, 1.0)
    rise = np.clip(turned / np.maximum(delta + fan, 1e-9), 0, 2)
    fall = np.clip((math.pi + 2 * delta - turned) / np.maximum(delta - fan, 1e-9), 0, 2)
    return np.asarray((np.sin(math.pi / 4 * rise) * np.sin(math.pi / 4 * fall)) ** 2)


def _fan_angles(g: ProjectionGeometry) -> Array:
    """Angle of each bin's ray to the central one, radians."""
    assert g.detector is not None
    return np.arctan2(g.positions, g.detector) if g.beam == "fan-flat" else g.positions / g.detector


def _response(g: ProjectionGeometry, filter: Filter) -> Array:
    """Transfer function of the ramp on the detector scaled to the centre, for a real transform of the padded bins.

    The ramp is the transform of its band-limited kernel, so that the mean of the image is right.
    """
    step = g.bin_width
    length = 1 << (2 * g.bins - 1).bit_length()
    n = np.minimum(np.arange(length), length - np.arange(length)).astype(np.float64)
    if g.source is not None and g.detector is not None:
        step *= (g.source if g.beam == "fan-flat" else 1.0) / g.detector
    spread = np.sin(n * step) if g.beam == "fan-arc" else n * step
    odd = (n % 2 == 1) & (n < g.bins)  # farther bins have nothing to do with each other
    kernel = np.where(odd, -1 / (math.pi * np.where(odd, spread, 1.0)) ** 2, 0.0)
    kernel[0] = 1 / (4 * step**2)
    frequency = np.arange(length // 2 + 1) / (length // 2)
    window = {
        "ram-lak": np.ones_like(frequency),
        "shepp-logan": np.sinc(frequency / 2),
        "cosine": np.cos(math.pi * frequency / 2),
        "hann": (1 + np.cos(math.pi * frequency)) / 2,
    }[filter]
    return np.asarray(np.fft.rfft(kernel).real * window * step)


def _seen(g: ProjectionGeometry, across: Tensor, along: Tensor) -> tuple[Tensor, Tensor | float]:
    """Where pixels lie on the detector, in bins from the first, and what they take of it there."""
    gain: Tensor | float = 1.0
    at = across
    if g.source is not None and g.detector is not None:
        depth = along + g.source
        if g.beam == "fan-flat":
            at, gain = g.detector * across / depth, g.source / depth**2
        else:
            at, gain = g.detector * torch.atan2(across, depth), 1 / (across**2 + depth**2)
    return (at - float(g.positions[0])) / g.bin_width, gain


def _interpolate(line: Tensor, position: Tensor) -> Tensor:
    """Linear interpolation of ``line`` (slice, bin) at ``position`` (row, column) in bins; 0 beyond the ends."""
    padded = torch.nn.functional.pad(line, (1, 1))
    at = (position + 1).clamp(0, line.shape[-1] + 1 - 1e-4)
    index = at.long()
    low, high = (padded[:, i.flatten()].reshape(-1, *position.shape) for i in (index, index + 1))
    return torch.lerp(low, high, (at - index).expand_as(low))
