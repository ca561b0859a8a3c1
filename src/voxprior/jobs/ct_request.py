"""What a door asks of ``ct``, read and checked before torch is imported and before any work is done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.dicom import is_dicom, require_straight
from voxprior.io.names import IMAGE_SUFFIXES, shown
from voxprior.io.outputs import sibling, sidecar_path
from voxprior.io.scans import read_scan
from voxprior.io.sinogram import MU_WATER, SUFFIX, Sinogram, read_sinogram
from voxprior.jobs.ct_simulate import Fan, scanner, truth_of
from voxprior.jobs.npy import read_slices, slice_files
from voxprior.jobs.options import CtOptions, require_method
from voxprior.jobs.request import (
    Request,
    require_outputs,
    require_report_name,
    require_series_target,
    require_source,
    require_target,
)
from voxprior.operators.projection_matrix import Beam, ProjectionGeometry, require_size
from voxprior.volume import Volume

DEFAULT_VIEWS = 36
HALF_TURN, FULL_TURN = 180.0, 360.0
"""Degrees that views of parallel beams, and of a fan, cover by default."""
MOST_VIEWS = 10_000


@dataclass(frozen=True)
class CtRequest(Request):
    """One reconstruction from X-ray views.

    ``simulate``: the source is a volume in HU (or a folder of .npy slices, 1 for water) of which ``views`` are taken
    over ``range_deg`` degrees about ``axis`` (i, j, k or auto), with noise where ``photons`` reach a bin in air.
    ``beam``: parallel, fan-flat or fan-arc, a fan with its source ``source_mm`` from the centre and ``detector_mm``
    from the detector.
    """

    options: CtOptions
    views: int | None = None
    range_deg: float | None = None
    photons: float | None = None
    axis: str = "auto"
    beam: str | None = None
    source_mm: float | None = None
    detector_mm: float | None = None


@dataclass(frozen=True, eq=False)
class Simulation:
    """What is to be measured: the volume, HU from -1000 on, its scanner, and the array axis of the slices."""

    truth: Volume
    geometry: ProjectionGeometry
    axis: int
    photons: float | None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that makes sense: its files, and either a sinogram or what to simulate one from.

    ``mu_water``: attenuation of water, 1/mm. ``measured``: where a simulated sinogram is written.
    """

    request: CtRequest
    inputs: tuple[Path, ...]
    sinogram: Sinogram | None
    simulation: Simulation | None
    mu_water: float
    measured: Path


def prepare(request: CtRequest) -> Prepared:
    """Read and check everything about ``request``; raises :class:`InputError` for what the user can mend."""
    _require_sense(request)
    slices = request.source.is_dir() and not is_dicom(request.source)
    inputs = tuple(slice_files(request.source)) if slices else (request.source,)
    require_outputs(request, inputs, outputs_of(request))
    measured = request.target / f"input{SUFFIX}" if request.dicom.dicom else sibling(request.target, "input", SUFFIX)
    given = request.options.mu_water
    if not request.simulate:
        sinogram = read_sinogram(request.source)
        _require_place(request, sinogram.affine, sinogram.shape)
        require_size(sinogram.geometry)
        mu_water = given or sinogram.mu_water or MU_WATER
        return Prepared(request, inputs, sinogram, None, mu_water, measured)
    volume = read_slices(request.source) if slices else read_scan(request.source, request.dicom.series)
    series = volume.header.get("dicom")
    if request.dicom.dicom and series is not None and series.modality != "CT":
        raise InputError(f"{shown(request.source)}: a series of {series.modality}; HU are of CT: leave --dicom out")
    truth = truth_of(volume, relative=slices)
    _require_place(request, truth.affine, truth.data.shape)
    return Prepared(request, inputs, None, simulation_of(truth, request), given or MU_WATER, measured)


def simulation_of(truth: Volume, request: CtRequest) -> Simulation:
    """What ``request`` asks to be measured of ``truth``; raises :class:`InputError` for a scanner that cannot be."""
    _require_scanner(request)
    beam = request.beam or "parallel"
    fan = None
    if beam != "parallel":
        lengths = {"source": request.source_mm, "detector": request.detector_mm}
        fan = Fan(beam, **{k: v for k, v in lengths.items() if v is not None})  # type: ignore[arg-type]
    turn = request.range_deg or (HALF_TURN if fan is None else FULL_TURN)
    geometry, axis = scanner(truth, request.views or DEFAULT_VIEWS, turn, request.axis, fan)
    require_size(geometry)
    return Simulation(truth, geometry, axis, request.photons)


def _require_place(request: CtRequest, affine: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    if request.dicom.dicom:
        require_straight(affine, shape, shown(request.source))


def outputs_of(request: CtRequest) -> list[Path]:
    """Every file that a reconstruction may write, but for snapshots, whose number the method knows, and DICOM."""
    if request.dicom.dicom:
        return []
    target, tags = request.target, ["std", "interval", "invented"]
    if request.options.samples > 1 or request.options.mode == "sample":
        tags += [f"sample-{k + 1:02d}" for k in range(request.options.samples)]
    measured = [sibling(target, "input", SUFFIX)] if request.simulate else []
    maps = [sibling(target, tag) for tag in tags]
    return [target, sidecar_path(target), sibling(target, "preview", ".png"), *maps, *measured]


def _require_sense(request: CtRequest) -> None:
    require_method("ct", request.options)
    require_report_name(request.report)
    require_source(request.source)
    if request.dicom.dicom:
        require_series_target(request)
    else:
        require_target(request)
    _require_scanner(request)
    name = shown(request.source)
    if request.simulate:
        return
    if request.source.is_dir() and not is_dicom(request.source):
        raise InputError(f"{name}: a folder; name a sinogram ({SUFFIX}), or --simulate with .npy slices")
    if request.source.name.lower().endswith(IMAGE_SUFFIXES) or is_dicom(request.source):
        raise InputError(f"{name}: an image, not a sinogram ({SUFFIX}); give --simulate to take views of it first")


def _require_scanner(request: CtRequest) -> None:
    """Raise :class:`InputError` for options of a simulated scanner that make no sense, alone or together."""
    numbers = {
        "--views": request.views,
        "--range-deg": request.range_deg,
        "--photons": request.photons,
        "--source-mm": request.source_mm,
        "--detector-mm": request.detector_mm,
    }
    for option, value in {**numbers, "--beam": request.beam}.items():
        if value is not None and not request.simulate:
            raise InputError(f"{option} belongs to --simulate; a sinogram file says it itself")
    for option, number in numbers.items():
        if number is not None and not (math.isfinite(number) and number > 0):
            raise InputError(f"{option} {number:g} must be above 0")
    if request.views is not None and request.views > MOST_VIEWS:
        raise InputError(f"--views {request.views} is more than {MOST_VIEWS}; give fewer")
    if request.range_deg is not None and request.range_deg > FULL_TURN:
        raise InputError(f"--range-deg {request.range_deg:g} is more than a turn; give at most 360")
    if request.beam is not None and request.beam not in get_args(Beam):
        raise InputError(f"--beam {request.beam} is unknown; give one of {', '.join(get_args(Beam))}")
    if request.beam in (None, "parallel"):
        for option in ("--source-mm", "--detector-mm"):
            if numbers[option] is not None:
                raise InputError(f"{option} belongs to a fan; give --beam fan-arc or fan-flat with it")
