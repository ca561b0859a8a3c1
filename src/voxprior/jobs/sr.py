"""Thick slices to thin slices, in memory: geometry and noise, the measurement, the method, and its maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.io.certificate import NoiseSource, estimate_background_noise
from voxprior.jobs.job import Run, peak_memory, run_method
from voxprior.jobs.options import SrOptions
from voxprior.jobs.sense import unfamiliar
from voxprior.jobs.slices import understand
from voxprior.jobs.strength import Bounds, mixed
from voxprior.methods.result import Progress
from voxprior.operators.base import Measurement, null_space
from voxprior.operators.separable import Separable
from voxprior.volume import SliceGeometry, Volume, fine_affine


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored scan with its maps, on one grid and in input units, and what the sidecar tells of the run.

    ``interval``: lower and upper bound of 90 %, or None without a ``std``. ``invented``: what the slices do not
    determine. ``samples``: posterior samples, possibly none. ``snapshots``: middle slices of the estimate on the way.
    """

    measurement: Volume
    geometry: SliceGeometry
    image: Volume
    std: Volume | None
    interval: tuple[Volume, Volume] | None
    invented: Volume
    samples: tuple[Volume, ...]
    noise: float | None
    noise_source: NoiseSource
    seconds: float
    peak_memory: int | None
    calls: int
    weights: Mapping[str, str] | None
    notes: Mapping[str, Any]
    warnings: tuple[str, ...]
    snapshots: Mapping[int, tuple[Tensor, ...]] = field(default_factory=dict)


def restore_slices(volume: Volume, options: SrOptions, progress: Progress | None = None) -> Restored:
    """Restore ``volume``, a stack of thick slices, on the fine grid that ``options`` describe.

    Raises :class:`InputError` for a geometry that is not clear, and for options that do not belong together.
    """
    geometry = understand(volume, options)
    noise, source = _noise(volume, options)
    operator = Separable.from_slices(geometry, volume.data.shape)
    affine = fine_affine(volume.affine, geometry)
    y = torch.from_numpy(np.ascontiguousarray(volume.data).copy())[None]
    measurement = Measurement(operator, y, noise, affine)
    run = run_method("sr", measurement, options, progress)
    result, bounds = mixed(run.result, measurement, options.strength)
    notes, doubts = unfamiliar(measurement, options)
    result = replace(result, notes={**result.notes, **notes}, warnings=(*result.warnings, *doubts))
    return _with_maps(volume, geometry, operator, affine, replace(run, result=result), bounds, (noise, source))


def _noise(volume: Volume, options: SrOptions) -> tuple[float | None, NoiseSource]:
    if options.noise is not None:
        return options.noise, "given"
    noise = estimate_background_noise(volume.data)
    return noise, "unknown" if noise is None else "background"


def _with_maps(
    volume: Volume,
    geometry: SliceGeometry,
    operator: Separable,
    affine: NDArray[np.float64],
    run: Run,
    bounds: Bounds | None,
    noise: tuple[float | None, NoiseSource],
) -> Restored:
    result = run.result

    def place(data: Tensor) -> Volume:
        return _derived(data.detach().cpu().float().numpy(), affine, volume)

    if not bool(torch.isfinite(result.mean).all()):
        raise RuntimeError("the method gave voxels that are not finite; nothing was written")
    return Restored(
        measurement=volume,
        geometry=geometry,
        image=place(result.mean),
        std=None if result.std is None else place(result.std),
        interval=None if bounds is None else (place(bounds[0]), place(bounds[1])),
        invented=place(null_space(operator, result.mean.detach().cpu()[None])[0]),
        samples=() if result.samples is None else tuple(place(s) for s in result.samples),
        noise=noise[0],
        noise_source=noise[1],
        seconds=run.seconds,
        peak_memory=peak_memory(),
        calls=result.calls,
        weights=result.weights,
        notes=result.notes,
        warnings=(*volume.header.get("warnings", ()), *result.warnings),
        snapshots=result.snapshots,
    )


def _derived(data: NDArray[np.float32], affine: NDArray[np.float64], volume: Volume) -> Volume:
    """An output: the form codes of the input, and none of its texts."""
    carried = {k: volume.header[k] for k in ("qform_code", "sform_code", "xyzt_units") if k in volume.header}
    return Volume(data, affine, carried, volume.source)
