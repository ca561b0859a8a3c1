"""Several scans of one patient to one volume, in memory: each restored, carried to one grid, and all explained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.io.scans_certificate import Scan
from voxprior.jobs.darkness import dark_value, from_dark
from voxprior.jobs.intervals import interval, not_calibrated
from voxprior.jobs.job import find_device, part_of, peak_memory
from voxprior.jobs.options import DEFAULT_METHOD, SrOptions
from voxprior.jobs.registration import rigid
from voxprior.jobs.slices import understand
from voxprior.jobs.sr import Restored, restore_slices
from voxprior.methods.result import Progress
from voxprior.methods.several import CALLS, LEFT, Estimate, Fitted, fit, fuse, refine
from voxprior.operators import base
from voxprior.operators.base import Measurement, null_space
from voxprior.operators.placement import Grid, Stack
from voxprior.operators.tilted import operator_of
from voxprior.priors.intensity import BACKGROUND, intensity_scale
from voxprior.priors.portion import FORWARD_BYTES, voxels_at_once
from voxprior.priors.weights import DEFAULT, load
from voxprior.volume import Volume, fine_affine


@dataclass(frozen=True, eq=False)
class Joined:
    """One volume with its maps, like :class:`~voxprior.jobs.sr.Restored`, and the ``scans`` that it explains."""

    restored: Restored
    scans: tuple[Scan, ...]


def restore_several(
    volumes: Sequence[tuple[Volume, Path]], options: SrOptions, register: bool, progress: Progress | None = None
) -> Joined:
    """Restore ``volumes`` (with the files they were read from) together, on the fine grid of the first.

    Each is restored alone, carried to the grid, averaged by its std, brought onto the measurement of all, and with the
    default method denoised and fitted in turn a few times more. ``register``: align the others to the first. Raises
    :class:`InputError` for a geometry that is not clear, and for a scan that does not meet the first.
    """
    count = len(volumes) + 1
    first = volumes[0][0]
    transforms = [np.eye(4)]
    transforms += [rigid(first, volume) if register else np.eye(4) for volume, _ in volumes[1:]]
    dark = dark_value(first.data)
    moved = [replace(v, data=from_dark(v.data, dark), affine=t @ v.affine)
             for (v, _), t in zip(volumes, transforms, strict=True)]
    rooms = [len(moved)] + [1] * (len(moved) - 1)  # all are held at the end, so that the first asks for all
    alone = [restore_slices(v, options, part_of(progress, k, count), rooms[k]) for k, v in enumerate(moved)]
    grid = _grid(first, options)
    stacks = [Stack.of(np.array(v.affine), v.data.shape, understand(v, options)) for v in moved]
    placed = []
    for stack, (volume, path) in zip(stacks, volumes, strict=True):
        try:
            placed.append(operator_of(stack, grid))
        except ValueError:
            name = volume.source or path.name  # of DICOM its number, no file name
            reason = "does not meet the first scan in space; check its header, or give --register"
            raise InputError(f"{name}: {reason}") from None
    reference = alone[0].image.data
    # Where values lie below zero, zero is a unit's and not darkness: the scans are in one unit, or there is no telling.
    scales = [1.0] + [_scale(where.choose(v.data), where.apply(reference)) if dark == 0 else 1.0
                      for v, (_, where) in zip(moved[1:], placed[1:], strict=True)]
    operator = base.Stack([op for op, _ in placed], [op.data_shape for op, _ in placed])
    data = [torch.from_numpy(np.ascontiguousarray(where.choose(v.data), dtype=np.float32) / np.float32(scale))[None]
            for v, (_, where), scale in zip(moved, placed, scales, strict=True)]
    noise = [one.noise for one in alone]
    sigma = None if None in noise else max(float(n) / s for n, s in zip(noise, scales, strict=True) if n is not None)
    measurement = Measurement(operator, operator.join(data), sigma, grid.affine)
    estimates = [_carried(one, grid, scale) for one, scale in zip(alone, scales, strict=True)]
    joint = _joined(estimates, measurement, alone, options, part_of(progress, count - 1, count))
    scans = [
        Scan(volume, path, stack, transform, scale, one.noise, one.noise_source)
        for (volume, path), stack, transform, scale, one in zip(
            volumes, stacks, transforms, scales, alone, strict=True
        )
    ]
    return Joined(_restored(joint, measurement, alone, first, grid, dark), tuple(scans))


def _grid(first: Volume, options: SrOptions) -> Grid:
    geometry = understand(first, options)
    shape = [geometry.fine_count if a == geometry.axis else n for a, n in enumerate(first.data.shape)]
    return Grid(fine_affine(first.affine, geometry), (shape[0], shape[1], shape[2]))


def _scale(data: NDArray[Any], expected: NDArray[np.float64]) -> float:
    """Intensities of a scan over those of the first: a ratio of sums, which blurring does not bias."""
    bright = expected > BACKGROUND * np.percentile(expected, 99.9)
    below = float(expected[bright].sum())
    scale = float(data[bright].sum(dtype=np.float64)) / below if below > 0 else 1.0
    if not np.isfinite(scale) or scale <= 0:
        raise InputError("a scan is dark where the first is bright; give scans of one contrast of one patient")
    return scale


def _carried(one: Restored, grid: Grid, scale: float) -> Estimate:
    """A restored scan on ``grid``, in intensities of the first, by cubic spline; its std linearly."""
    there = np.linalg.inv(one.image.affine) @ grid.affine
    if one.image.data.shape == grid.shape and np.allclose(there, np.eye(4), atol=1e-6):
        std = None if one.std is None else torch.from_numpy(one.std.data.copy())
        return Estimate(torch.from_numpy(one.image.data.copy()), std, torch.ones(grid.shape))

    def read(data: NDArray[Any], order: int, mode: str) -> Tensor:
        way = there[:3, :3], there[:3, 3], grid.shape
        return torch.from_numpy(affine_transform(data.astype(np.float32), *way, order=order, mode=mode))

    inside = read(np.ones(one.image.data.shape, np.float32), 1, "grid-constant")
    std = None if one.std is None else read(one.std.data, 1, "nearest").clamp_min(0) / scale
    return Estimate(read(one.image.data, 3, "nearest") / scale, std, (inside > 0.99).float())


@dataclass(frozen=True, eq=False)
class _Joint:
    mean: Tensor
    std: Tensor | None
    calls: int
    seconds: float


def _joined(
    estimates: Sequence[Estimate],
    measurement: Measurement,
    alone: Sequence[Restored],
    options: SrOptions,
    progress: Progress | None,
) -> _Joint:
    begin = time.perf_counter()
    with torch.no_grad():
        mean, std = fuse(estimates)
        fitted = fit(mean[None], measurement)
        calls = 0
        if options.method == DEFAULT_METHOD and measurement.affine is not None:
            weights = load(DEFAULT if options.weights is None else options.weights)
            device = find_device(options.device)
            voxels = voxels_at_once(alone[0].notes.get("memory"), FORWARD_BYTES)  # as it fitted
            scale = intensity_scale(alone[0].measurement.data)
            there = Measurement(measurement.operator, measurement.y.to(device), measurement.sigma)
            start = Fitted(fitted.image.to(device), fitted.least)
            x = refine(
                start, there, weights.prior.to(device), scale, measurement.affine, SeededNoise(options.seed),
                voxels, progress,
            ).cpu()
            fitted = fit(x, measurement, LEFT * scale)
            calls = CALLS
    return _Joint(fitted.image[0], std, calls, time.perf_counter() - begin)


def _restored(
    joint: _Joint, measurement: Measurement, alone: Sequence[Restored], first: Volume, grid: Grid, dark: float
) -> Restored:
    def place(data: Tensor) -> Volume:
        carried = {k: first.header[k] for k in ("qform_code", "sform_code", "xyzt_units") if k in first.header}
        return Volume(data.detach().cpu().float().numpy(), grid.affine, carried, first.source)

    bounds = interval(joint.mean, joint.std, None)
    texts = dict.fromkeys(text for one in alone for text in one.warnings)
    return replace(
        alone[0],
        measurement=first,
        image=place(joint.mean + dark),
        std=None if joint.std is None else place(joint.std),
        interval=None if bounds is None else (place(bounds[0] + dark), place(bounds[1] + dark)),
        invented=place(null_space(measurement.operator, joint.mean[None])[0]),
        samples=(),
        seconds=sum(one.seconds for one in alone) + joint.seconds,
        peak_memory=peak_memory(),
        calls=sum(one.calls for one in alone) + joint.calls,
        warnings=tuple(texts),
        notes={**alone[0].notes, **not_calibrated(), **({"counted_from": dark} if dark else {})},
        snapshots={},
    )

