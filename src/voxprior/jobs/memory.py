"""The job for images that are in memory: nibabel images, numpy arrays and tensors, returned as what they came as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import nibabel
import numpy as np
import torch
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray
from pydantic import ValidationError

from voxprior import registry
from voxprior.errors import InputError
from voxprior.io.axes_certificate import KIND, axes_residual
from voxprior.io.certificate import slice_residual
from voxprior.jobs.cubic import cubic
from voxprior.jobs.enhance import enhance_volume
from voxprior.jobs.enhance_account import account, picture_of, yardstick_of
from voxprior.jobs.estimate import Estimate
from voxprior.jobs.options import EnhanceOptions, SharedOptions, SrOptions, require_method
from voxprior.jobs.sense import require_scan
from voxprior.jobs.sidecar import sidecar
from voxprior.jobs.sr import restore_slices
from voxprior.jobs.stages import stages_of
from voxprior.methods.result import Progress
from voxprior.report.notebook import Shown
from voxprior.report.preview import preview
from voxprior.volume import Volume

Wrap = Callable[[Volume], Any]


@dataclass(frozen=True, eq=False, repr=False)
class Restoration(Shown):
    """A restored image and its maps, each of the kind that was given, and the values of its sidecar.

    ``interval``: lower and upper bound of 90 %; ``invented``: what the data do not determine; all in input units.
    ``affine``: 4 x 4, of the restored grid. ``picture``: makes the preview, a PNG, which a notebook shows.
    """

    image: Any
    std: Any | None
    interval: tuple[Any, Any] | None
    invented: Any
    samples: tuple[Any, ...]
    affine: NDArray[np.float64]
    sidecar: Mapping[str, Any]
    picture: Callable[[], bytes]


def restore(
    image: SpatialImage | NDArray[Any] | torch.Tensor,
    job: str = "sr",
    *,
    affine: NDArray[np.float64] | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Restoration:
    """Restore ``image`` (i, j, k), as the command ``voxprior JOB`` does with the same ``options``.

    ``job``: ``sr`` for thick slices, ``enhance`` for voxels that are coarse along other axes. A nibabel image brings
    its affine. An array or tensor needs ``affine`` (4 x 4, mm) or ``voxel_size`` (mm), and must be real and finite.
    Raises :class:`InputError` for what a user can mend.
    """
    if job not in registry.JOBS:
        raise InputError(f"job {job} is unknown; give one of {', '.join(registry.JOBS)}")
    if job not in _WAYS:
        raise InputError(f"job {job} does not start from an image in memory; restore does {' and '.join(_WAYS)}")
    volume, wrap = taken(image, affine, voxel_size)
    return _given(_WAYS[job](volume, options, progress), wrap)


class _Done(NamedTuple):
    """A restoration, its sidecar, and what makes its preview."""

    restored: Estimate
    values: Mapping[str, Any]
    picture: Callable[[], bytes]


def _slices(volume: Volume, options: Mapping[str, Any], progress: Progress | None) -> _Done:
    parsed = _parsed("sr", SrOptions, options)
    require_method("sr", parsed)
    require_scan(volume, parsed)
    found = restore_slices(volume, parsed, progress)
    geometry = found.geometry
    proof = slice_residual(geometry, found.image.data, volume.data)
    certificate = _certificate({"kind": "slices", **geometry.to_dict()}, proof, found)
    values = sidecar("sr", found, parsed, certificate)
    return _Done(found, values, lambda: preview(volume, geometry, cubic(volume, geometry), found.image, found.std))


def _voxels(volume: Volume, options: Mapping[str, Any], progress: Progress | None) -> _Done:
    parsed = _parsed("enhance", EnhanceOptions, options)
    stages = stages_of(parsed, None)
    require_scan(volume, parsed)
    found = enhance_volume(volume, stages, progress)
    certificate = None
    if found.linear:
        operator = {"kind": KIND, "axes": [g.to_dict() for g in found.axes]}
        certificate = _certificate(operator, axes_residual(found.axes, found.image.data, volume.data), found)
    values = account(found, parsed, certificate)
    return _Done(found, values, lambda: picture_of(found, yardstick_of(found)))


_WAYS = {"sr": _slices, "enhance": _voxels}

Options = TypeVar("Options", bound=SharedOptions)


def _parsed(job: str, kind: type[Options], options: Mapping[str, Any]) -> Options:
    try:
        return kind(**options)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(f"option {name}: {first['msg']}; see voxprior {job} --help") from None


def _certificate(operator: Mapping[str, Any], proof: tuple[float, list[float]], found: Estimate) -> dict[str, Any]:
    """Operator and residual, but no files to check."""
    return {
        "operator": dict(operator),
        "input": None,
        "input_sha256": None,
        "output_sha256": None,
        "residual": proof[0],
        "residual_per_slice": proof[1],
        "noise": found.noise,
        "noise_source": found.noise_source,
    }


def _given(done: _Done, wrap: Wrap) -> Restoration:
    restored = done.restored
    bounds = restored.interval
    return Restoration(
        image=wrap(restored.image),
        std=None if restored.std is None else wrap(restored.std),
        interval=None if bounds is None else (wrap(bounds[0]), wrap(bounds[1])),
        invented=wrap(restored.invented),
        samples=tuple(wrap(sample) for sample in restored.samples),
        affine=restored.image.affine,
        sidecar=done.values,
        picture=done.picture,
    )


def taken(
    image: Any, affine: NDArray[np.float64] | None, voxel_size: tuple[float, float, float] | None
) -> tuple[Volume, Wrap]:
    """``image`` as a volume, and how to make its kind of image of a volume."""
    if isinstance(image, SpatialImage):
        if affine is not None or voxel_size is not None:
            raise InputError("a nibabel image brings its own affine; leave affine and voxel_size out")
        return _volume(np.asanyarray(image.dataobj), image.affine, _codes(image)), _nibabel
    if (affine is None) == (voxel_size is None):
        raise InputError("an array has no place of its own; give affine= (4 x 4, mm) or voxel_size= (mm), one of them")
    place = np.diag([*voxel_size, 1.0]) if voxel_size is not None else np.asarray(affine)
    if isinstance(image, torch.Tensor):
        device = image.device
        return _volume(image.detach().cpu().numpy(), place, {}), lambda v: torch.from_numpy(v.data.copy()).to(device)
    return _volume(np.asarray(image), place, {}), lambda v: v.data.copy()


def _volume(data: NDArray[Any], affine: Any, header: Mapping[str, Any]) -> Volume:
    if data.dtype.kind not in "buif":
        raise InputError(f"an image of {data.dtype} is not real; give magnitudes as integers or floats")
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    values = data.astype(np.float32)
    if values.size and (not np.isfinite(values).all() or values.min() == values.max()):
        raise InputError("voxels are NaN, infinite or all equal; give another image")
    return Volume(values, affine, header)


def _codes(image: Any) -> dict[str, int]:
    names = ("qform_code", "sform_code", "xyzt_units")
    return {n: int(image.header[n]) for n in names} if isinstance(image, nibabel.Nifti1Image) else {}


def _nibabel(volume: Volume) -> Any:
    kind: Any = nibabel.Nifti1Image  # nibabel carries no annotations
    image = kind(volume.data.copy(), volume.affine)
    for set_form, name in ((image.set_qform, "qform_code"), (image.set_sform, "sform_code")):
        set_form(volume.affine, code=volume.header.get(name, 1))
    image.header["xyzt_units"] = volume.header.get("xyzt_units", 2)
    return image
