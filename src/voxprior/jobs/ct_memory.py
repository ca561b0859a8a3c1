"""The job for X-ray views that are in memory: taken of a volume, and reconstructed to one, as arrays or tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray
from pydantic import ValidationError

from voxprior.diffusion.noise import generator
from voxprior.errors import InputError
from voxprior.io.projection_certificate import projection_misfit, projection_operator
from voxprior.io.sinogram import MU_WATER, OPTIONAL, arrays_of, sinogram_from
from voxprior.jobs.ct import Reconstructed, reconstruct_views
from voxprior.jobs.ct_request import CtRequest, simulation_of
from voxprior.jobs.ct_simulate import simulate, truth_of
from voxprior.jobs.memory import taken
from voxprior.jobs.options import CtOptions, ScannerOptions, require_method
from voxprior.jobs.sidecar import sidecar
from voxprior.methods.result import Progress
from voxprior.operators.projection_matrix import require_size
from voxprior.report.notebook import Shown
from voxprior.report.slices import planes_picture
from voxprior.volume import Volume


@dataclass(frozen=True, eq=False, repr=False)
class Tomogram(Shown):
    """A volume (i, j, k) in HU from X-ray views and its maps, arrays or tensors, and the values of its sidecar.

    ``interval``: lower and upper bound of 90 %; ``invented``: what the views do not determine. ``affine``: 4 x 4.
    ``picture``: makes a preview, a PNG, which a notebook shows.
    """

    image: Any
    std: Any | None
    interval: tuple[Any, Any] | None
    invented: Any
    samples: tuple[Any, ...]
    affine: NDArray[np.float64]
    sidecar: Mapping[str, Any]
    picture: Callable[[], bytes]


def reconstruct_sinogram(
    sinogram: NDArray[Any] | torch.Tensor,
    angles_deg: Any,
    pixel_mm: Any,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Tomogram:
    """Reconstruct line integrals ``sinogram`` (slice, view, bin) or (view, bin), as ``voxprior ct`` does.

    ``angles_deg`` (view,), ``pixel_mm`` one number or (row, column). ``options``: the other keys of a sinogram file,
    such as ``photons`` or ``beam``, see :func:`voxprior.io.sinogram.read_sinogram`, and those of the command. Raises
    :class:`InputError` for what a user can mend.
    """
    told = {name: value for name, value in options.items() if name in OPTIONAL and name != "mu_water"}
    parsed = _parsed({name: value for name, value in options.items() if name not in told})
    require_method("ct", parsed)
    given = {"sinogram": sinogram, "angles_deg": angles_deg, "pixel_mm": pixel_mm, **told}
    measured = sinogram_from({name: _array(value) for name, value in given.items() if value is not None})
    require_size(measured.geometry)
    found = reconstruct_views(measured, parsed, parsed.mu_water or MU_WATER, progress)
    return _given(found, parsed, sinogram)


def simulate_views(
    volume: SpatialImage | NDArray[Any] | torch.Tensor,
    *,
    affine: NDArray[np.float64] | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    mu_water: float = MU_WATER,
    seed: int = 0,
    **scanner: Any,
) -> dict[str, Any]:
    """Views of ``volume`` (i, j, k) in HU under the keys of a sinogram file, as ``voxprior ct --simulate`` takes them.

    A nibabel image brings its affine; an array or tensor needs ``affine`` (4 x 4, mm) or ``voxel_size`` (mm).
    ``scanner``: ``views``, ``range_deg``, ``photons``, ``axis``, ``beam``, ``source_mm`` and ``detector_mm`` of
    the command. ``reconstruct_sinogram(**views)`` takes the result. Raises :class:`InputError` as the command does.
    """
    options = _parsed({"mu_water": mu_water, "seed": seed})
    names = tuple(ScannerOptions.model_fields)
    unknown = [name for name in scanner if name not in names]
    if unknown:
        raise InputError(f"{', '.join(unknown)} is nothing of a scanner; known are {', '.join(names)}")
    truth = truth_of(taken(volume, affine, voxel_size)[0])
    asked = simulation_of(truth, CtRequest(Path("volume"), Path("views"), options, simulate=True, **scanner))
    rng = generator(seed, "photons")
    return arrays_of(simulate(truth, asked.geometry, asked.axis, mu_water, asked.photons, rng))


def _parsed(options: Mapping[str, Any]) -> CtOptions:
    try:
        return CtOptions(**options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"option {where}: {first['msg']}; see voxprior ct --help") from None


def _given(found: Reconstructed, options: CtOptions, like: Any) -> Tomogram:
    device = like.device if isinstance(like, torch.Tensor) else None

    def wrap(volume: Volume) -> Any:
        return volume.data.copy() if device is None else torch.from_numpy(volume.data.copy()).to(device)

    bounds = found.interval
    values = sidecar("ct", found, options, _certificate(found))
    values["settings"]["mu_water"] = found.mu_water
    return Tomogram(
        image=wrap(found.image),
        std=None if found.std is None else wrap(found.std),
        interval=None if bounds is None else (wrap(bounds[0]), wrap(bounds[1])),
        invented=wrap(found.invented),
        samples=tuple(wrap(sample) for sample in found.samples),
        affine=found.image.affine,
        sidecar=values,
        picture=lambda: planes_picture({"reconstructed": found.image}),
    )


def _certificate(found: Reconstructed) -> dict[str, Any]:
    """Operator and residual, but no files to check."""
    misfit = projection_misfit(found.image.data, found.sinogram, found.mu_water)
    return {
        "operator": projection_operator(found.sinogram, found.mu_water),
        "input": None,
        "input_sha256": None,
        "output_sha256": None,
        "residual": misfit.residual,
        "residual_per_slice": misfit.per_slice,
        "residual_per_view": misfit.per_view,
        "noise": found.noise,
        "noise_source": "unknown" if found.noise is None else "given",
    }


def _array(value: Any) -> NDArray[Any]:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
