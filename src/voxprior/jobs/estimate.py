"""What jobs make of a measured volume: the image, its maps, and what the sidecar tells of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, isfinite

from voxprior.io.certificate import NoiseSource, estimate_background_noise
from voxprior.jobs.intervals import Bounds
from voxprior.jobs.job import Run, peak_memory
from voxprior.jobs.options import ImageOptions
from voxprior.operators.base import Operator, null_space
from voxprior.volume import Volume


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimate:
    """A restored scan with its maps, on one grid and in input units, and what the sidecar tells of the run.

    ``interval``: lower and upper bound of 90 %, or None without a ``std``. ``invented``: what the measurement does not
    determine. ``samples``: posterior samples, possibly none. ``snapshots``: middle slices of the estimate on the way.
    """

    measurement: Volume
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


def noise_of(volume: Volume, options: ImageOptions) -> tuple[float | None, NoiseSource]:
    """Standard deviation of the noise of ``volume``, as given or as measured in its air, and which of the two."""
    if options.noise is not None:
        return options.noise, "given"
    noise = estimate_background_noise(volume.data)
    return noise, "unknown" if noise is None else "background"


def unseen(operator: Operator) -> Callable[[Tensor], Tensor]:
    """What ``operator`` does not see of an image (*space): the map of what is invented, where it is all that acted."""
    return lambda x: null_space(operator, x[None])[0]


def with_maps(
    volume: Volume,
    affine: NDArray[np.float64],
    run: Run,
    bounds: Bounds | None,
    noise: tuple[float | None, NoiseSource],
    invented: Callable[[Tensor], Tensor],
) -> Estimate:
    """The estimate of ``run``, from the measured ``volume``, on the grid of ``affine``.

    ``invented``: makes the map of the image (*space).
    """
    result = run.result

    def place(data: Tensor) -> Volume:
        return _derived(data.detach().cpu().float().numpy(), affine, volume)

    if not bool(isfinite(result.mean).all()):
        raise RuntimeError("the method gave voxels that are not finite; nothing was written")
    return Estimate(
        measurement=volume,
        image=place(result.mean),
        std=None if result.std is None else place(result.std),
        interval=None if bounds is None else (place(bounds[0]), place(bounds[1])),
        invented=place(invented(result.mean.detach().cpu())),
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
