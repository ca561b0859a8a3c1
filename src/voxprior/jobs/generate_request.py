"""What a door asks of ``generate``, checked before torch is imported and before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.names import image_suffix
from voxprior.io.outputs import sibling, sidecar_path
from voxprior.jobs.options import GenerateOptions, require_method
from voxprior.jobs.request import Request, require_outputs, require_report_name, require_series_target

SMALLEST, LARGEST = 8, 256
"""Least voxels along an axis, and the side of the largest cube."""


@dataclass(frozen=True)
class GenerateRequest(Request):
    """New volumes at ``target``; there is no source."""

    options: GenerateOptions

    @property
    def sources(self) -> tuple[Path, ...]:
        """Nothing is read."""
        return ()


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that makes sense, with the grid of its volumes: shape, and affine in RAS order about the origin."""

    request: GenerateRequest
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]


def prepare(request: GenerateRequest) -> Prepared:
    """Check everything about ``request``; raises :class:`InputError` for what the user can mend."""
    options = request.options
    require_method("generate", options)
    require_report_name(request.report)
    if request.dicom.dicom:
        require_series_target(request)
    else:
        image_suffix(request.target)
    if min(options.shape) < SMALLEST or np.prod(options.shape) > LARGEST**3:
        raise InputError(
            f"--shape {' '.join(map(str, options.shape))}: give at least {SMALLEST} voxels along each axis, "
            f"and no more than {LARGEST} x {LARGEST} x {LARGEST} in all"
        )
    require_outputs(request, [], outputs_of(request))
    affine = np.diag([options.spacing] * 3 + [1.0])
    affine[:3, 3] = -(np.array(options.shape) - 1) / 2 * options.spacing
    return Prepared(request, options.shape, affine)


def outputs_of(request: GenerateRequest) -> list[Path]:
    """Every file that the request may write, but for snapshots, whose number the method knows, and DICOM."""
    if request.dicom.dicom:
        return []
    count = request.options.samples
    more = [sibling(request.target, f"sample-{k + 1:02d}") for k in range(count)] if count > 1 else []
    return [request.target, sidecar_path(request.target), sibling(request.target, "preview", ".png"), *more]
