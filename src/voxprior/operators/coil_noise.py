"""Noise of the receive coils: its covariance from a noise scan, its level from the edge of what was measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voxprior.errors import InputError

Complex = NDArray[np.complexfloating]

EDGE = 1 / 16  # of the field of view, at each end of the read-out: air in most scans
AS_FAINT = 1.1  # times the faintest level: medians of the few samples at an edge differ by some per cent
DIMENSIONS = 32  # length of the vectors in which signal and noise are told apart
RAYLEIGH_MEDIAN = np.sqrt(2 * np.log(2))  # median magnitude of complex noise of std 1 per real component
FEWEST_LINES = 8  # below that many lines the halves of the estimate hold too little


def whitening(noise: NDArray[np.complexfloating]) -> NDArray[np.complex64]:
    """Matrix W (coil, coil) such that the coils of ``W y`` have uncorrelated noise of std 1 per real component.

    ``noise``: samples (coil, samples) taken without signal, mean 0. W is the inverse of the Cholesky factor of
    ``noise noise^H / (2 samples)``. Raises :class:`InputError` where the samples do not determine it.
    """
    coils, samples = noise.shape
    if samples < 2 * coils or not np.isfinite(noise).all():
        raise InputError(f"the noise scan has {samples} samples of {coils} coils; give {2 * coils} or more, all finite")
    wide = noise.astype(np.complex128)
    covariance = wide @ wide.conj().T / (2 * samples)
    level = np.sqrt(covariance.diagonal().real)
    silent = np.flatnonzero(level <= 1e-6 * level.max())
    if len(silent):
        raise InputError(f"the noise scan of coil {silent[0]} is zero; leave that coil out of noise scan and k-space")
    try:
        factor = np.linalg.cholesky(covariance / np.outer(level, level))
    except np.linalg.LinAlgError:
        raise InputError("two coils of the noise scan are copies of each other; leave one of them out") from None
    return np.asarray(np.linalg.inv(factor) / level, np.complex64)


def noise_samples(kspace: Complex, mask: NDArray[np.bool_]) -> Complex:
    """Samples (coil, samples) of k-space (coil, y, x) with as little signal as can be had without a noise scan.

    The outermost samples, or, where whole lines were measured, the outer half of them at either end of the read-out in
    image space, where air lies; of these the faintest and what is as faint. They serve :func:`whitening`.
    """
    order = np.argsort(-_radius(mask)[mask], kind="stable")
    found = [kspace[:, mask][:, order[: max(len(order) // 50, 64 * len(kspace))]]]
    for data, kept in _readouts(kspace, mask):
        lines = np.flatnonzero(kept.all(0))
        outer = lines[np.argsort(-np.abs(lines - kept.shape[1] // 2), kind="stable")][: len(lines) // 2]
        hybrid = np.fft.ifft(np.fft.ifftshift(data[:, :, outer], axes=1), axis=1, norm="ortho")
        hybrid = np.fft.fftshift(hybrid, axes=1)
        width = max(1, round(EDGE * kept.shape[0]))
        found += [hybrid[:, :width].reshape(len(kspace), -1), hybrid[:, -width:].reshape(len(kspace), -1)]
    level = [float(np.median(np.abs(samples))) for samples in found]
    return np.concatenate([s for s, m in zip(found, level, strict=True) if m <= AS_FAINT * min(level)], axis=1)


def corner_noise(kspace: Complex, mask: NDArray[np.bool_]) -> float:
    """Noise std per real component of k-space (coil, y, x) whose coils have equal, uncorrelated noise; ``mask`` (y, x).

    Signal in the outer k-space is a mix of few patterns over coils and neighbours along a line, since sensitivities
    are smooth and air surrounds the head; noise is not. So the level is read where there is no signal: along the
    eigenvectors of the least eigenvalues, found in one half of the samples, evaluated in the other, by the median. One
    to four coils measured at scattered points have no such pattern; there the figure is an upper bound.
    """
    levels = [_faintest(*halves) for halves in _vectors(kspace, mask)]
    return float(min(levels))


def _vectors(kspace: Complex, mask: NDArray[np.bool_]) -> Iterator[tuple[Complex, Complex]]:
    """Vectors of coils and neighbours far out in k-space, (dimension, samples), in two halves that share no sample."""
    coils = len(kspace)
    lined = False
    for data, kept in _readouts(kspace, mask):
        lined = True
        lines = np.flatnonzero(kept.all(0))
        taps = min(-(-DIMENSIONS // coils), kept.shape[0] // 4)
        windows = sliding_window_view(data[:, :, lines], taps, axis=1)
        radius = sliding_window_view(_radius(kept)[:, lines], taps, axis=0).mean(-1)
        far = radius >= np.median(radius)
        even = np.arange(len(lines)) % 2 == 0
        first, second = (windows[:, far & half].transpose(0, 2, 1).reshape(coils * taps, -1) for half in (even, ~even))
        yield first, second
    if not lined:
        order = np.argsort(-_radius(mask)[mask], kind="stable")
        outer = kspace[:, mask][:, order[: max(len(order) // 8, 16 * coils)]]
        yield outer[:, ::2], outer[:, 1::2]


def _faintest(first: Complex, second: Complex) -> float:
    """Noise std of ``second`` along the directions in which ``first`` has the least energy, and the reverse."""
    least = max(1, len(first) // 8)
    found = []
    for known, asked in ((first, second), (second, first)):
        directions = np.linalg.eigh(known @ known.conj().T)[1][:, :least]
        found.append(np.abs(directions.conj().T @ asked).ravel())
    return float(np.median(np.concatenate(found)) / RAYLEIGH_MEDIAN)


def _readouts(kspace: Complex, mask: NDArray[np.bool_]) -> Iterator[tuple[Complex, NDArray[np.bool_]]]:
    """K-space and mask turned so that whole lines were measured along axis y, for each axis for which that holds."""
    for data, kept in ((kspace, mask), (kspace.swapaxes(1, 2), mask.T)):
        whole = kept.all(0)
        if whole.sum() >= FEWEST_LINES and (whole == kept.any(0)).all():
            yield data, kept


def _radius(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance from the centre of k-space, 1 at the edge of each axis."""
    y, x = ((np.arange(n) - n // 2) / max(n / 2, 1) for n in mask.shape)
    return np.asarray(np.hypot(y[:, None], x))
