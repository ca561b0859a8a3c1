"""k-space to image, in memory: the measurement, the method, and its maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.io.kspace.file import Complex
from voxprior.io.kspace_certificate import misfit
from voxprior.jobs.acquire import Acquired
from voxprior.jobs.intervals import along_phase, interval, kspace_spread, not_calibrated, widened
from voxprior.jobs.job import Run, part_of, peak_memory, run_method
from voxprior.jobs.options import DEFAULT_METHOD, ReconOptions
from voxprior.jobs.unfamiliar import unfamiliar_image
from voxprior.jobs.withheld import CHECKED, withheld_scale
from voxprior.methods.result import Progress, Result
from voxprior.operators.base import Measurement, Operator, null_space
from voxprior.operators.coils import root_sum_of_squares
from voxprior.operators.fourier import Fourier, RealImage, ifft

Real = NDArray[np.float32]
NOT_FORETOLD = (
    "the samples outside the centre are too few, or a large part of k-space was left out in one piece: the scan does "
    "not tell the error of its image; std and interval are not calibrated and may be much too small"
)
"""Where no measured samples are like those that were never measured."""


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """An image (*space) of what was ``acquired``, with its maps, in input units, and what the sidecar tells of the run.

    ``interval``: lower and upper bound of 90 % of the magnitude, (2, *space), or None without a ``std`` (of a real
    component). ``invented``: what the data do not determine. ``samples``: (sample, *space), possibly none. ``plain``:
    zero-filled; ``unexplained``: root sum of squares of the coil images of y - A x. ``missed``, ``energy``: squares of
    A x - y and y, a coil. ``snapshots``: middle slices of the estimate on the way. ``scale``: measured error over the
    std that the method gave, or None.
    """

    acquired: Acquired
    image: Complex
    std: Real | None
    interval: Real | None
    invented: Complex
    samples: Complex
    plain: Complex
    unexplained: Real
    missed: NDArray[np.float64]
    energy: NDArray[np.float64]
    seconds: float
    peak_memory: int | None
    calls: int
    weights: Mapping[str, str] | None
    notes: Mapping[str, Any]
    warnings: tuple[str, ...]
    snapshots: Mapping[int, tuple[Tensor, ...]] = field(default_factory=dict)
    scale: float | None = None


def reconstruct_slice(
    acquired: Acquired,
    options: ReconOptions,
    affine: NDArray[np.float64] | None = None,
    progress: Progress | None = None,
    part: int = 0,
    parts: int = 1,
    scale: float | None = None,
) -> Reconstructed:
    """Reconstruct a slice (y, x), or a volume (z, y, x) that was measured in one piece.

    ``affine``: index (x, y, z) to mm, or None: 1 mm voxels. ``part``: number of the slice among ``parts``. ``scale``:
    that of the slice before. Where intervals were calibrated the error is measured on withheld samples, of
    :data:`CHECKED` slices of a stack, and how familiar the image is stands in the notes of the middle one of these.
    Raises :class:`InputError` for options that do not belong together, and where memory is too small.
    """
    place = image_place(affine) if acquired.mask.keep.ndim == 3 else None
    measurement = Measurement(_operator(acquired), _data(acquired), acquired.told, place)
    every = math.ceil(parts / CHECKED)
    due = scale is None or part % every == 0
    # What a check takes is one draw more; it has its place on the bar before anybody knows whether there will be one.
    draws = options.samples if options.mode == "sample" else 1
    bar = draws + (due and options.method == DEFAULT_METHOD)
    run = run_method("recon", measurement, options, part_of(progress, 0, bar, draws), part, parts=parts)
    mean = None if options.mode == "sample" else run.result.mean
    if run.result.std is None or not any(kind.startswith("recon") for kind in run.result.widenings):
        scale = None
    elif due:
        rest = part_of(progress, draws, bar)
        run, scale, again = _checked(measurement, acquired.noise, options, run, rest, part, parts)
        mean = again if mean is None else mean
        if scale is None and not acquired.mask.keep.all():
            run = replace(run, result=replace(run.result, warnings=(*run.result.warnings, NOT_FORETOLD)))
    if progress is not None and bar > draws:
        progress(1, 1)
    if mean is not None and part == parts // 2 // every * every:  # of a stack the middle one of those that are checked
        run = _judged(run, mean, options)
    return _with_maps(acquired, run, scale)


def _checked(
    measurement: Measurement,
    noise: float | None,
    options: ReconOptions,
    run: Run,
    progress: Progress | None,
    part: int,
    parts: int,
) -> tuple[Run, float | None, Tensor | None]:
    """The run with what it took to measure its error, that error over its std, and the mean that gave it.

    ``noise``: of the data alone; that of the ``measurement`` may be what maps leave, which is an error of the image.
    """
    mean = options.model_copy(update={"mode": "mean", "samples": 1, "snapshots": None})
    taken: list[Run] = []

    def estimate(told: Measurement) -> Tensor:
        told = replace(told, sigma=measurement.sigma)
        taken.append(run_method("recon", told, mean, progress, part, parts=parts))
        return taken[-1].result.mean

    scale = withheld_scale(run.result, replace(measurement, sigma=noise), estimate)
    if not taken:
        return run, None, None
    calls = run.result.calls + taken[0].result.calls
    again = Run(replace(run.result, calls=calls), run.seconds + taken[0].seconds)
    return again, scale, taken[0].result.mean


def _judged(run: Run, mean: Tensor, options: ReconOptions) -> Run:
    """The run with what is to be said of how familiar the image is, by the ``mean`` (*space) of it."""
    notes, doubts = unfamiliar_image(mean, options)
    result = replace(run.result, notes={**run.result.notes, **notes}, warnings=(*run.result.warnings, *doubts))
    return replace(run, result=result)


def reconstruct_stack(
    slices: Sequence[Acquired],
    options: ReconOptions,
    affine: NDArray[np.float64] | None,
    real: bool,
    progress: Progress | None = None,
) -> list[Reconstructed]:
    """Reconstruct a stack of slices as one volume (slice, y, x), for methods that look across them.

    ``affine``: index (x, y, slice) to mm, or None: 1 mm voxels. ``real``: the image is known to have no phase.
    """
    mask = torch.from_numpy(np.stack([one.mask.keep for one in slices]))
    maps, y = (torch.from_numpy(np.stack([getattr(one, name) for one in slices], axis=1)) for name in ("maps", "y"))
    plain = len(maps) == 1 and bool((maps == 1).all())
    operator: Operator = Fourier(mask, None if plain else maps, (1, 2))
    if real:
        operator = Fourier(mask, None if plain else maps, (1, 2)) @ RealImage()
    levels = [one.told for one in slices if one.told is not None]
    noise = float(np.median(levels)) if levels else None
    data = y if plain else y[None]
    run = run_method("recon", Measurement(operator, data, noise, image_place(affine)), options, progress)
    parts = [_with_maps(one, Run(_part(run.result, n), run.seconds / len(slices))) for n, one in enumerate(slices)]
    return [replace(part, snapshots=run.result.snapshots if n == 0 else {}) for n, part in enumerate(parts)]


def image_place(affine: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Index (slice or z, y, x) of an image to mm, from ``affine`` of index (x, y, slice or z); None: 1 mm voxels."""
    return (np.eye(4) if affine is None else affine)[:, [2, 1, 0, 3]]


def _part(result: Result, index: int) -> Result:
    """Slice ``index`` of the result of a volume."""
    std, samples = result.std, result.samples
    return replace(
        result,
        mean=result.mean[index],
        std=None if std is None else std[index],
        samples=None if samples is None else samples[:, index],
        snapshots={},
    )


def _uniform(acquired: Acquired) -> bool:
    """Whether one coil sees all places alike: an operator without maps, whose proximal point is a formula."""
    return len(acquired.maps) == 1 and bool((acquired.maps == 1).all())


def _operator(acquired: Acquired) -> Fourier:
    maps = None if _uniform(acquired) else torch.from_numpy(acquired.maps)
    return Fourier(torch.from_numpy(acquired.mask.keep), maps)


def _data(acquired: Acquired) -> Tensor:
    y = torch.from_numpy(acquired.y)
    return y if _uniform(acquired) else y[None]


def _with_maps(acquired: Acquired, run: Run, scale: float | None = None) -> Reconstructed:
    result, operator, data = run.result, _operator(acquired), _data(acquired)
    x = result.mean.detach().cpu().to(torch.complex64)
    if not bool(torch.isfinite(torch.view_as_real(x)).all()):
        raise RuntimeError("the method gave values that are not finite; nothing was written")
    left = (data - operator.apply(x[None])).reshape(acquired.maps.shape)
    samples = x[None][:0] if result.samples is None else result.samples.detach().cpu().to(torch.complex64)
    missed, energy = misfit(x.numpy(), acquired.maps, acquired.mask.keep, acquired.y)
    std = None if result.std is None else result.std.detach().cpu().float()
    bounds, spread = _bounds(x, std, samples), None if scale is None else kspace_spread(result, operator, scale)
    notes = result.notes if bounds is None else {**result.notes, **not_calibrated()}
    if spread is not None:
        shown, bounds = widened(result, x.abs(), spread)
        std, notes = shown.std, shown.notes
    if acquired.told != acquired.noise:
        notes = {**notes, "noise_with_errors_of_maps": acquired.told}
    return Reconstructed(
        acquired,
        image=x.numpy(),
        std=None if std is None else std.numpy(),
        interval=None if bounds is None else torch.stack(bounds).numpy(),
        invented=null_space(operator, x[None])[0].numpy(),
        samples=samples.numpy(),
        plain=operator.adjoint(data)[0].numpy(),
        unexplained=root_sum_of_squares(ifft(left, tuple(range(1, left.ndim))), 0).numpy(),
        missed=missed,
        energy=energy,
        seconds=run.seconds,
        peak_memory=peak_memory(),
        calls=result.calls,
        weights=result.weights,
        notes=notes,
        warnings=(*acquired.warnings, *result.warnings),
        snapshots=result.snapshots,
        scale=scale,
    )


def _bounds(x: Tensor, std: Tensor | None, samples: Tensor) -> tuple[Tensor, Tensor] | None:
    """An interval of the magnitude: of the component along the phase of the image, whose mean is the magnitude."""
    return interval(x.abs(), std, along_phase(x, samples) if len(samples) else None)
