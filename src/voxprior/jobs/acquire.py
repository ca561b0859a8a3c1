"""What was measured of a slice or a volume, made ready for a method: coils mixed, sensitivities and noise known."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.kspace.file import Complex
from voxprior.io.verification import NoiseSource
from voxprior.jobs.map_check import MapCheck, check_maps, read_out
from voxprior.jobs.options import ReconOptions
from voxprior.operators.coil_noise import corner_noise, whitening
from voxprior.operators.coils import compress, root_sum_of_squares
from voxprior.operators.espirit import espirit
from voxprior.operators.fourier import ifft
from voxprior.operators.masks import Mask

ESPIRIT_OPTIONS = ("calibration", "kernel", "threshold", "crop")
MAPS_FLOOR = 1e-6
"""Where the root sum of squares of given maps is below this part of its maximum, no coil is taken to see anything."""
MAPS_NOISE = 2.0
"""Least noise that methods are told of, in units of what found maps leave times the part of k-space that is missing.
Data of less noise, taken at their word, are explained by aliasing: heads without noise (8 coils, R = 4) then come out 8
to 30 dB worse than zero-filled. At 1 there is still a loss of 5 dB, at 3 well sampled data lose 2 (tune subjects).
"""


@dataclass(frozen=True, eq=False)
class Receiver:
    """What is known of the coils before the data: ``whitening`` (coil, coil) or None, and the noise after it.

    ``noise``: std of a real component of a sample, in input units; None where the data must tell.
    """

    whitening: Complex | None
    noise: float | None
    source: NoiseSource


@dataclass(frozen=True, eq=False)
class Acquired:
    """Data ``y`` (coil, *space), zero outside of ``mask``, of coils with ``maps`` (coil, *space), sum |maps|^2 = 1.

    ``matrix`` (coil, input coil) made y of the input's coils. ``noise``: std of a real component of a sample, or None.
    ``told``: the noise for methods, which is not below what maps that were found leave unexplained. ``warnings``: what
    is wrong with these.
    """

    y: Complex
    mask: Mask
    maps: Complex
    matrix: Complex
    noise: float | None
    source: NoiseSource
    told: float | None
    warnings: tuple[str, ...] = ()


def receiver(noise: Complex | None, options: ReconOptions) -> Receiver:
    """What the noise scan (coil, samples), or None, and ``options`` say of the coils.

    The whitening matrix is scaled to determinant 1, so that the image stays in input units: the noise after it is the
    geometric mean of the principal noise levels of the coils.
    """
    if noise is None:
        return Receiver(None, options.noise, "unknown" if options.noise is None else "given")
    matrix = whitening(noise).astype(np.complex128)
    gain = float(np.exp(np.linalg.slogdet(matrix)[1] / len(matrix)))
    level = 1 / gain if options.noise is None else options.noise
    return Receiver((matrix / gain).astype(np.complex64), level, "given")


def acquire(kspace: Complex, mask: Mask, maps: Complex | None, coils: Receiver, options: ReconOptions) -> Acquired:
    """The part of ``kspace`` (coil, *space) that ``mask`` keeps; slices and volumes alike.

    ``maps`` (coil, *space): sensitivities in any scale; None: ESPIRiT finds them in the data. Raises
    :class:`InputError` where calibration fails.
    """
    y, matrix = _mixed(kspace * mask.keep, coils, options.coils)
    found = _calibrated(y, mask.keep, options) if maps is None else _given(maps, matrix)
    noise, source = coils.noise, coils.source
    if noise is None:
        noise = _noise(y, mask.keep)
        source = "unknown" if noise is None else "kspace"
    check = check_maps(y, mask.keep, found, noise) if maps is None else MapCheck()
    least = MAPS_NOISE * (1 - 1 / mask.acceleration) * check.std
    told = least if least > (noise or 0.0) else noise
    return Acquired(y, mask, found, matrix, noise, source, told, check.doubts)


def references(kspace: Complex, acquired: Acquired) -> tuple[Complex, NDArray[np.float32]]:
    """What fully sampled ``kspace`` (coil, *space) shows: coils combined by the maps, and by root sum of squares."""
    dims = tuple(range(1, kspace.ndim))
    mixed = ifft(torch.from_numpy(mix(acquired.matrix, kspace)), dims)
    combined = (torch.from_numpy(acquired.maps).conj() * mixed).sum(0)
    return combined.numpy(), root_sum_of_squares(ifft(torch.from_numpy(kspace), dims), 0).numpy()


def mix(matrix: Complex, kspace: Complex) -> Complex:
    """``matrix`` (coil, input coil) times ``kspace`` (input coil, *space)."""
    return np.ascontiguousarray(np.tensordot(matrix, kspace, axes=1), dtype=np.complex64)


def _mixed(kspace: Complex, coils: Receiver, count: int | None) -> tuple[Complex, Complex]:
    """Pre-whitened and compressed data, and the matrix (coil, input coil) that does both."""
    matrix = np.eye(len(kspace), dtype=np.complex64) if coils.whitening is None else coils.whitening
    if coils.whitening is None and (count is None or count == len(kspace)):
        return np.ascontiguousarray(kspace), matrix
    y = mix(matrix, kspace)
    if count is not None:
        matrix = compress(torch.from_numpy(y)[None], count)[1].resolve_conj().numpy() @ matrix
        y = mix(matrix, kspace)
    return y, matrix


def _given(maps: Complex, matrix: Complex) -> Complex:
    """``maps`` as the mixed coils see them, with a sum of squares of 1 where there is any."""
    seen = mix(matrix, maps)
    total = np.sqrt(np.square(np.abs(seen)).sum(axis=0))
    there = total > MAPS_FLOOR * total.max()
    normalised: Complex = (seen * np.where(there, 1 / np.where(there, total, 1), 0)).astype(np.complex64)
    return normalised


def _calibrated(y: Complex, keep: NDArray[np.bool_], options: ReconOptions) -> Complex:
    chosen = {n: getattr(options, n) for n in ESPIRIT_OPTIONS if getattr(options, n) is not None}
    data = torch.from_numpy(y)
    if keep.ndim == 2:
        return espirit(data[None], **chosen)[0].numpy()
    axis = read_out(keep)
    if axis is None:
        raise InputError("the mask of the volume changes along all axes: maps cannot be found; give them by --maps")
    hybrid = ifft(data, (axis + 1,)).movedim(axis + 1, 0)
    maps = espirit(hybrid.contiguous(), **chosen)
    for before, here in pairwise(maps):  # each slice has a phase of its own: join them
        overlap = (before.conj() * here).sum()
        if overlap != 0:
            here.mul_(overlap.conj() / overlap.abs())
    return np.ascontiguousarray(maps.movedim(0, axis + 1).numpy())


def _noise(y: Complex, keep: NDArray[np.bool_]) -> float | None:
    """Noise std at the edge of k-space; of a volume the median of three slices across the read-out."""
    if keep.ndim == 2:
        levels = [corner_noise(y, keep)]
    else:
        axis = read_out(keep)
        if axis is None:
            return None
        hybrid = ifft(torch.from_numpy(y), (axis + 1,)).numpy()
        places = [keep.shape[axis] * part // 4 for part in (1, 2, 3)]
        levels = [corner_noise(hybrid.take(place, axis + 1), keep.take([0], axis).squeeze(axis)) for place in places]
    level = float(np.median(levels))
    return level if np.isfinite(level) and level > 0 else None
