"""What a door asks of ``ct``, read and checked before torch is imported and before any work is done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from voxprior.errors import InputError
from voxprior.io.names import IMAGE_SUFFIXES, image_suffix, shown
from voxprior.io.nifti import read_volume
from voxprior.io.outputs import sibling, sidecar_path
from voxprior.io.sinogram import MU_WATER, SUFFIX, Sinogram, read_sinogram
from voxprior.jobs.ct_simulate import scanner, truth_of
from voxprior.jobs.npy import read_slices, slice_files
from voxprior.jobs.options import CtOptions, require_method
from voxprior.jobs.request import Request, require_outputs, require_report_name, require_source
from voxprior.operators.projection_matrix import ProjectionGeometry, require_size
from voxprior.volume import Volume

DEFAULT_VIEWS, DEFAULT_RANGE = 36, 180.0
MOST_VIEWS = 10_000


@dataclass(frozen=True)
class CtRequest(Request):
    """One reconstruction from X-ray views.

    ``simulate``: the source is a volume in HU (or a folder of .npy slices, 1 for water) of which ``views`` are taken
    over ``range_deg`` degrees about ``axis`` (i, j, k or auto), with noise where ``photons`` reach a bin in air.
    """

    options: CtOptions
    views: int | None = None
    range_deg: float | None = None
    photons: float | None = None
    axis: str = "auto"


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
    inputs = tuple(slice_files(request.source)) if request.source.is_dir() else (request.source,)
    require_outputs(request, inputs, outputs_of(request))
    measured = sibling(request.target, "input", SUFFIX)
    given = request.options.mu_water
    if not request.simulate:
        sinogram = read_sinogram(request.source)
        require_size(sinogram.geometry)
        mu_water = given or sinogram.mu_water or MU_WATER
        return Prepared(request, inputs, sinogram, None, mu_water, measured)
    volume = read_slices(request.source) if request.source.is_dir() else read_volume(request.source)
    views, turn = request.views or DEFAULT_VIEWS, request.range_deg or DEFAULT_RANGE
    truth = truth_of(volume, relative=request.source.is_dir())
    geometry, axis = scanner(truth, views, turn, request.axis)
    require_size(geometry)
    simulation = Simulation(truth, geometry, axis, request.photons)
    return Prepared(request, inputs, None, simulation, given or MU_WATER, measured)


def outputs_of(request: CtRequest) -> list[Path]:
    """Every file that a reconstruction may write, but for snapshots, whose number the method knows."""
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
    image_suffix(request.target)
    name = shown(request.source)
    given = {"--views": request.views, "--range-deg": request.range_deg, "--photons": request.photons}
    for option, value in given.items():
        if value is None:
            continue
        if not request.simulate:
            raise InputError(f"{option} belongs to --simulate; a sinogram file says it itself")
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{option} {value:g} must be above 0")
    if request.views is not None and request.views > MOST_VIEWS:
        raise InputError(f"--views {request.views} is more than {MOST_VIEWS}; give fewer")
    if request.range_deg is not None and request.range_deg > 360:
        raise InputError(f"--range-deg {request.range_deg:g} is more than a turn; give at most 360")
    if request.simulate:
        return
    if request.source.is_dir():
        raise InputError(f"{name}: a folder; name a sinogram ({SUFFIX}), or --simulate with .npy slices")
    if request.source.name.lower().endswith(IMAGE_SUFFIXES):
        raise InputError(f"{name}: an image, not a sinogram ({SUFFIX}); give --simulate to take views of it first")
