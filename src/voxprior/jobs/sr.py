"""Thick slices to thin slices, in memory: geometry and noise, the measurement, the method, and its maps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from voxprior.jobs.darkness import dark_value, from_dark, lifted
from voxprior.jobs.estimate import Estimate, noise_of, unseen, with_maps
from voxprior.jobs.job import run_method
from voxprior.jobs.options import SrOptions
from voxprior.jobs.slices import understand
from voxprior.jobs.strength import mixed
from voxprior.jobs.unfamiliar import unfamiliar_slices
from voxprior.methods.result import Progress
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.volume import SliceGeometry, Volume, fine_affine


@dataclass(frozen=True, eq=False, kw_only=True)
class Restored(Estimate):
    """A restored stack of slices, and what was measured of it."""

    geometry: SliceGeometry


def restore_slices(
    volume: Volume, options: SrOptions, progress: Progress | None = None, parts: int = 1
) -> Restored:
    """Restore ``volume``, a stack of thick slices, on the fine grid that ``options`` describe.

    ``parts``: how many such results there must be room for. Raises :class:`InputError` for a geometry that is not
    clear, and for options that do not belong together.
    """
    geometry = understand(volume, options)
    noise, source = noise_of(volume, options)
    operator = Separable.from_slices(geometry, volume.data.shape)
    affine = fine_affine(volume.affine, geometry)
    dark = dark_value(volume.data)
    y = torch.from_numpy(from_dark(volume.data, dark))[None]
    measurement = Measurement(operator, y, noise, affine)
    run = run_method("sr", measurement, options, progress, parts=parts)
    result, bounds = mixed(run.result, measurement, options.strength)
    given = replace(measurement, y=measurement.y + dark)  # no scan of the training data goes below zero
    notes, doubts = unfamiliar_slices(given, options)
    result = replace(result, notes={**result.notes, **notes}, warnings=(*result.warnings, *doubts))
    result, bounds = lifted(result, bounds, dark)
    estimate = with_maps(volume, affine, replace(run, result=result), bounds, (noise, source), unseen(operator))
    return Restored(geometry=geometry, **vars(estimate))
