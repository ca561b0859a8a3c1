"""Matrices along the slice axis, in numpy alone, so that a result can be verified without torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.special import erf

from voxprior.volume import KSPACE, SliceGeometry

Array = NDArray[np.float64]

SLR_TIME_BANDWIDTH = 4.0
"""Time-bandwidth product of the excitation whose slice profile the ``slr`` preset follows."""
NYQUIST_SLACK = 1e-6
"""Part of a coefficient's distance by which one may miss the Nyquist frequency of the slices and still count as it."""


def slice_centres(g: SliceGeometry) -> Array:
    """Positions of the slice centres about the middle of the stack, mm, (count,)."""
    return np.asarray((np.arange(g.count) - (g.count - 1) / 2) * g.spacing, dtype=np.float64)


def fine_centres(g: SliceGeometry) -> Array:
    """Positions of the fine voxel centres about the middle of the stack, mm, (fine_count,)."""
    return np.asarray((np.arange(g.fine_count) - (g.fine_count - 1) / 2) * g.fine_spacing, dtype=np.float64)


def slice_matrix(g: SliceGeometry) -> Array:
    """What each slice averages over fine voxels, (count, fine_count); rows sum to 1.

    ``(A x)_k = sum_j x_j * integral of h(z - z_k) over voxel j``, with the image taken as constant in a fine voxel.
    With the profile ``kspace`` it is :func:`truncation_matrix`.
    """
    if g.profile == KSPACE:
        return truncation_matrix(g)
    edges = fine_centres(g)[None, :] - slice_centres(g)[:, None]
    half = g.fine_spacing / 2
    below = cumulative(g.profile, g.thickness)
    weights = below(edges + half) - below(edges - half)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)


def truncation_matrix(g: SliceGeometry) -> Array:
    """Fine voxels seen through the centre of k-space, (count, fine_count); real, rows sum to 1.

    With N fine voxels s mm apart and slices S mm apart, ``(A x)_i = (1/N) sum_m w_m X_m exp(2 pi 1j m z_i / (N s))``: X
    is the Fourier transform of x about the middle, m the whole numbers up to N s / (2 S), and the sum is read at the
    slice centres z_i. For N s = count S these are the central ``count`` of N coefficients, exactly. w = 1, but 1/2 at
    both m = +-count/2 of an even count: what is measured there is one of the two, and the real part of the image that
    it makes is the mean of both.
    """
    limit = g.fine_count * g.fine_spacing / (2 * g.spacing)
    m = np.arange(1, int(np.floor(limit + NYQUIST_SLACK)) + 1)
    weight = np.where(m > limit - NYQUIST_SLACK, 0.5, 1.0)
    distance = (slice_centres(g)[:, None] - fine_centres(g)[None, :]) / (g.fine_count * g.fine_spacing)
    waves = np.cos(2 * np.pi * m * distance[:, :, None]) @ weight
    return np.asarray((1 + 2 * waves) / g.fine_count, dtype=np.float64)


def interpolation_matrix(g: SliceGeometry, order: int) -> Array:
    """Spline interpolation from slice centres to fine centres, (fine_count, count).

    ``order``: 0 nearest, 1 linear, 3 cubic B-spline (natural ends). Beyond the outer centres the edge slice is held.
    """
    source, target = slice_centres(g), fine_centres(g)
    inside = np.clip(target, source[0], source[-1])
    identity = np.eye(g.count)
    if order == 0:
        nearest = np.clip(np.rint((inside - source[0]) / g.spacing - 1e-9), 0, g.count - 1).astype(int)
        return np.asarray(identity[nearest], dtype=np.float64)
    degree = min(order, g.count - 1)
    if degree == 3:
        return np.asarray(make_interp_spline(source, identity, k=3, bc_type="natural")(inside), dtype=np.float64)
    return np.asarray(make_interp_spline(source, identity, k=1)(inside), dtype=np.float64)


def gaussian_process_matrix(g: SliceGeometry, length: float, noise: float) -> tuple[Array, Array]:
    """Best linear estimate of the fine voxels from the slices, (fine_count, count), and its std, (fine_count,).

    Prior: a constant of large variance plus a stationary process of unit variance and correlation
    ``exp(-|d| / length)``, ``length`` in mm; ``noise``: std of a slice value in units of the process's std.
    ``M = C A' (A C A' + noise^2)^-1``. It explains the slices whatever their profile, gap or overlap.
    """
    a = slice_matrix(g)
    z = fine_centres(g)
    covariance = np.exp(-np.abs(z[:, None] - z[None, :]) / length) + 100.0
    gain = np.linalg.solve(a @ covariance @ a.T + noise**2 * np.eye(g.count), a @ covariance).T
    variance = np.diag(covariance) - np.einsum("jk,kj->j", gain, a @ covariance)
    return np.asarray(gain), np.asarray(np.sqrt(np.maximum(variance, 0)))


def cumulative(profile: str | tuple[float, ...], width: float) -> Callable[[Array], Array]:
    """Integral of the unit-area profile from minus infinity to u (mm)."""
    if profile == "box":
        return lambda u: np.clip(u / width + 0.5, 0, 1)
    if profile == "gaussian":
        scale = width / (2 * np.sqrt(2 * np.log(2)))
        return lambda u: 0.5 * (1 + erf(u / (scale * np.sqrt(2))))
    samples = np.asarray(_slr_samples() if profile == "slr" else profile, dtype=np.float64)
    position = np.linspace(-1, 1, len(samples)) * width
    area = np.concatenate([[0.0], np.cumsum((samples[1:] + samples[:-1]) / 2 * np.diff(position))])
    return lambda u: np.interp(u, position, area / area[-1])


@lru_cache(maxsize=1)
def _slr_samples() -> tuple[float, ...]:
    """Slice profile of a small-tip Hamming-windowed sinc pulse, |transform|, full width at half maximum = thickness.

    The small-tip limit of the Shinnar-Le Roux design: flat top, sloped edges, small ripple.
    """
    time = np.linspace(-0.5, 0.5, 801)
    pulse = np.sinc(SLR_TIME_BANDWIDTH * time) * (0.54 + 0.46 * np.cos(2 * np.pi * time))
    frequency = np.linspace(-1.0, 1.0, 401) * SLR_TIME_BANDWIDTH
    response = np.abs(np.cos(2 * np.pi * frequency[:, None] * time[None, :]) @ pulse)
    response /= response.max()
    half = np.interp(0.5, response[200:][::-1], np.abs(frequency[200:][::-1]))
    return tuple(np.interp(np.linspace(-1, 1, 201) * 2 * half, frequency, response, left=0.0, right=0.0))
