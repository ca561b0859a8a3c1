"""X-ray views to a volume in HU, in memory: the noise of each ray, the measurement, the method, and its maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.io.sinogram import Sinogram, to_hu
from voxprior.jobs.intervals import interval, not_calibrated
from voxprior.jobs.job import Run, peak_memory, run_method
from voxprior.jobs.options import CtOptions
from voxprior.methods.result import Progress
from voxprior.methods.tomography import backprojected
from voxprior.operators.base import Measurement, null_space
from voxprior.operators.tomography import Tomography, whitened
from voxprior.volume import Volume

UNSEEN_ITERATIONS = 40
"""Of conjugate gradients, until what is left of an image counts as not seen: it changes the views by about 0.1 %."""


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """A volume in HU with its maps, and what the sidecar tells of the run, see :class:`voxprior.jobs.sidecar.Account`.

    ``interval``: lower and upper bound of 90 %, or None without a ``std``. ``invented``: what the views do not
    determine. ``plain``: the filtered back-projection. ``noise``: root mean square of the std of the line integrals.
    """

    sinogram: Sinogram
    mu_water: float
    image: Volume
    std: Volume | None
    interval: tuple[Volume, Volume] | None
    invented: Volume
    samples: tuple[Volume, ...]
    plain: Volume
    noise: float | None
    seconds: float
    peak_memory: int | None
    calls: int
    weights: Mapping[str, str] | None
    notes: Mapping[str, Any]
    warnings: tuple[str, ...]
    snapshots: Mapping[int, tuple[Tensor, ...]]


def reconstruct_views(
    sinogram: Sinogram, options: CtOptions, mu_water: float, progress: Progress | None = None
) -> Reconstructed:
    """Reconstruct ``sinogram`` by the method that ``options`` name; ``mu_water``: attenuation of water, 1/mm.

    With the number of photons known, data and operator are divided by the noise std of each ray, ``sqrt(exp(p) / N)``.
    """
    operator = Tomography(sinogram.geometry, sinogram.shape, sinogram.axis)
    noise = sinogram.noise()
    sigma = None if noise is None else torch.from_numpy(noise)
    measured = Measurement(operator, torch.from_numpy(sinogram.data)[None], sigma, sinogram.affine)
    run = run_method("ct", whitened(measured), options, progress, known={"mu_water": mu_water})
    return _with_maps(sinogram, measured, mu_water, run)


def _with_maps(sinogram: Sinogram, measured: Measurement, mu_water: float, run: Run) -> Reconstructed:
    result = run.result
    operator = measured.operator
    assert isinstance(operator, Tomography)
    if not bool(torch.isfinite(result.mean).all()):
        raise RuntimeError("the method gave voxels that are not finite; nothing was written")

    def volume(values: NDArray[Any]) -> Volume:
        return Volume(values, sinogram.affine, {}, sinogram.source)

    def absolute(mu: Tensor) -> Volume:
        return volume(to_hu(mu.detach().float().numpy(force=True), mu_water))

    def difference(mu: Tensor) -> Volume:
        return volume(mu.detach().float().numpy(force=True) * np.float32(1000 / mu_water))

    bounds = interval(result.mean, result.std, result.samples)
    image = result.mean.detach().cpu().float()[None]
    noise = measured.sigma
    return Reconstructed(
        sinogram=sinogram,
        mu_water=mu_water,
        image=absolute(result.mean),
        std=None if result.std is None else difference(result.std),
        interval=None if bounds is None else (absolute(bounds[0]), absolute(bounds[1])),
        invented=difference(null_space(operator.limited(UNSEEN_ITERATIONS), image)[0]),
        samples=() if result.samples is None else tuple(absolute(s) for s in result.samples),
        plain=absolute(backprojected(measured, operator, "hann")[0]),
        noise=None if not isinstance(noise, Tensor) else float(noise.double().square().mean().sqrt()),
        seconds=run.seconds,
        peak_memory=peak_memory(),
        calls=result.calls,
        weights=result.weights,
        notes=result.notes if bounds is None else {**result.notes, **not_calibrated()},
        warnings=(*sinogram.warnings, *result.warnings),
        snapshots=result.snapshots,
    )
