"""k-space to image, in memory: coils, sensitivities and noise, the measurement, the method, and its maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.errors import InputError
from voxprior.io.kspace_certificate import misfit
from voxprior.io.verification import NoiseSource
from voxprior.jobs.intervals import interval
from voxprior.jobs.job import Run, peak_memory, run_method
from voxprior.jobs.options import ReconOptions
from voxprior.methods.result import Progress
from voxprior.operators.base import Measurement, null_space
from voxprior.operators.coil_noise import corner_noise, whitening
from voxprior.operators.coils import compress, root_sum_of_squares
from voxprior.operators.espirit import espirit
from voxprior.operators.fourier import Fourier, ifft
from voxprior.operators.masks import Mask

Complex = NDArray[np.complex64]
Real = NDArray[np.float32]

ESPIRIT_OPTIONS = ("calibration", "kernel", "threshold", "crop")
MAPS_FLOOR = 1e-6
"""Where the root sum of squares of given maps is below this part of its maximum, no coil is taken to see anything."""


@dataclass(frozen=True, eq=False)
class Receiver:
    """What is known of the coils before the data: ``whitening`` (coil, coil) or None, and the noise after it.

    ``noise``: std of a real component of a sample, in input units; None where the data must tell.
    """

    whitening: Complex | None
    noise: float | None
    source: NoiseSource


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """An image (*space) from k-space with its maps, in input units, and what the sidecar tells of the run.

    ``interval``: lower and upper bound of 90 % of the magnitude, (2, *space), or None without a ``std`` (of a real
    component). ``invented``: what the data do not determine. ``samples``: (sample, *space), possibly none. ``plain``:
    zero-filled; ``unexplained``: root sum of squares of the coil images of y - A x. ``maps`` (coil, *space), ``mask``
    and ``matrix`` (coil, input coil): the operator. ``missed``, ``energy``: squares of A x - y and y, a coil.
    """

    image: Complex
    std: Real | None
    interval: Real | None
    invented: Complex
    samples: Complex
    plain: Complex
    unexplained: Real
    maps: Complex
    mask: Mask
    matrix: Complex
    missed: NDArray[np.float64]
    energy: NDArray[np.float64]
    noise: float | None
    noise_source: NoiseSource
    seconds: float
    peak_memory: int | None
    calls: int
    weights: Mapping[str, str] | None
    notes: Mapping[str, Any]
    warnings: tuple[str, ...]


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


def reconstruct_slice(
    kspace: Complex,
    mask: Mask,
    maps: Complex | None,
    coils: Receiver,
    options: ReconOptions,
    progress: Progress | None = None,
    part: int = 0,
) -> Reconstructed:
    """Reconstruct ``kspace`` (coil, *space), of which ``mask`` is used; slices and volumes alike.

    ``maps`` (coil, *space): sensitivities in any scale; None: ESPIRiT finds them in the data. ``part``: number of the
    slice. Raises :class:`InputError` where calibration fails, and for options that do not belong together.
    """
    y, matrix = _mixed(kspace * mask.keep, coils, options.coils)
    found = _calibrated(y, mask.keep, options) if maps is None else _given(maps, matrix)
    noise, source = coils.noise, coils.source
    if noise is None:
        noise = _noise(y, mask.keep)
        source = "unknown" if noise is None else "kspace"
    measurement = _measurement(y, mask.keep, found, noise)
    run = run_method("recon", measurement, options, progress, part)
    return _with_maps(measurement, run, mask, found, matrix, source)


def _measurement(y: Complex, keep: NDArray[np.bool_], maps: Complex, noise: float | None) -> Measurement:
    """The operator and the data; one uniform coil is an operator without maps, whose proximal point is a formula."""
    mask, data = torch.from_numpy(keep), torch.from_numpy(y)
    if len(maps) == 1 and (maps == 1).all():
        return Measurement(Fourier(mask), data, noise)
    return Measurement(Fourier(mask, torch.from_numpy(maps)), data[None], noise)


def references(kspace: Complex, matrix: Complex, maps: Complex) -> tuple[Complex, Real]:
    """What fully sampled ``kspace`` (coil, *space) shows: coils combined by ``maps``, and by root sum of squares.

    ``matrix``, ``maps``: of a :class:`Reconstructed` of the same slice.
    """
    dims = tuple(range(1, kspace.ndim))
    mixed = ifft(torch.from_numpy(_mix(matrix, kspace)), dims)
    combined = (torch.from_numpy(maps).conj() * mixed).sum(0)
    return combined.numpy(), root_sum_of_squares(ifft(torch.from_numpy(kspace), dims), 0).numpy()


def _mixed(kspace: Complex, coils: Receiver, count: int | None) -> tuple[Complex, Complex]:
    """Pre-whitened and compressed data, and the matrix (coil, input coil) that does both."""
    matrix = np.eye(len(kspace), dtype=np.complex64) if coils.whitening is None else coils.whitening
    if coils.whitening is None and (count is None or count == len(kspace)):
        return np.ascontiguousarray(kspace), matrix
    y = _mix(matrix, kspace)
    if count is not None:
        matrix = compress(torch.from_numpy(y)[None], count)[1].resolve_conj().numpy() @ matrix
        y = _mix(matrix, kspace)
    return y, matrix


def _mix(matrix: Complex, kspace: Complex) -> Complex:
    return np.ascontiguousarray(np.tensordot(matrix, kspace, axes=1), dtype=np.complex64)


def _given(maps: Complex, matrix: Complex) -> Complex:
    """``maps`` as the mixed coils see them, with a sum of squares of 1 where there is any."""
    seen = _mix(matrix, maps)
    total = np.sqrt(np.square(np.abs(seen)).sum(axis=0))
    there = total > MAPS_FLOOR * total.max()
    normalised: Complex = (seen * np.where(there, 1 / np.where(there, total, 1), 0)).astype(np.complex64)
    return normalised


def _calibrated(y: Complex, keep: NDArray[np.bool_], options: ReconOptions) -> Complex:
    chosen = {n: getattr(options, n) for n in ESPIRIT_OPTIONS if getattr(options, n) is not None}
    data = torch.from_numpy(y)
    if keep.ndim == 2:
        return espirit(data[None], **chosen)[0].numpy()
    axis = _read_out(keep)
    if axis is None:
        raise InputError("the mask of the volume changes along all axes: maps cannot be found; give them by --maps")
    hybrid = ifft(data, (axis + 1,)).movedim(axis + 1, 0)
    maps = espirit(hybrid.contiguous(), **chosen)
    for before, here in pairwise(maps):  # each slice has a phase of its own: join them
        overlap = (before.conj() * here).sum()
        if overlap != 0:
            here.mul_(overlap.conj() / overlap.abs())
    return np.ascontiguousarray(maps.movedim(0, axis + 1).numpy())


def _read_out(keep: NDArray[np.bool_]) -> int | None:
    """An axis of a volume along which the mask does not change, the middle one first."""
    return next((axis for axis in (1, 0, 2) if (keep == keep.take([0], axis)).all()), None)


def _noise(y: Complex, keep: NDArray[np.bool_]) -> float | None:
    """Noise std at the edge of k-space; of a volume the median of three slices across the read-out."""
    if keep.ndim == 2:
        levels = [corner_noise(y, keep)]
    else:
        axis = _read_out(keep)
        if axis is None:
            return None
        hybrid = ifft(torch.from_numpy(y), (axis + 1,)).numpy()
        places = [keep.shape[axis] * part // 4 for part in (1, 2, 3)]
        levels = [corner_noise(hybrid.take(place, axis + 1), keep.take([0], axis).squeeze(axis)) for place in places]
    level = float(np.median(levels))
    return level if np.isfinite(level) and level > 0 else None


def _with_maps(
    measurement: Measurement, run: Run, mask: Mask, maps: Complex, matrix: Complex, source: NoiseSource
) -> Reconstructed:
    result, operator, data = run.result, measurement.operator, measurement.y
    x = result.mean.detach().cpu().to(torch.complex64)
    if not bool(torch.isfinite(torch.view_as_real(x)).all()):
        raise RuntimeError("the method gave values that are not finite; nothing was written")
    y = data.reshape(maps.shape)
    left = y - operator.apply(x[None]).reshape(maps.shape)
    std = None if result.std is None else result.std.detach().cpu().float()
    samples = x[None][:0] if result.samples is None else result.samples.detach().cpu().to(torch.complex64)
    missed, energy = misfit(x.numpy(), maps, mask.keep, y.numpy())
    bounds = _bounds(x, std, samples)
    return Reconstructed(
        image=x.numpy(),
        std=None if std is None else std.numpy(),
        interval=None if bounds is None else torch.stack(bounds).numpy(),
        invented=null_space(operator, x[None])[0].numpy(),
        samples=samples.numpy(),
        plain=operator.adjoint(data)[0].numpy(),
        unexplained=root_sum_of_squares(ifft(left, tuple(range(1, left.ndim))), 0).numpy(),
        maps=maps,
        mask=mask,
        matrix=matrix,
        missed=missed,
        energy=energy,
        noise=None if measurement.sigma is None else float(measurement.sigma),
        noise_source=source,
        seconds=run.seconds,
        peak_memory=peak_memory(),
        calls=result.calls,
        weights=result.weights,
        notes=result.notes,
        warnings=result.warnings,
    )


def _bounds(x: Tensor, std: Tensor | None, samples: Tensor) -> tuple[Tensor, Tensor] | None:
    """An interval of the magnitude: of the component along the phase of the image, whose mean is the magnitude."""
    along = (torch.sgn(x).conj() * samples).real
    return interval(x.abs(), std, along if len(along) else None)
