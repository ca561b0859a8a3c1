"""Sinograms in ``.npz`` files: line integrals, the angles they were taken at, and what else is known of the scanner."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.arrays import ArraysWriter
from voxprior.io.kspace.arrays import Stored
from voxprior.io.kspace.npz import read_npz
from voxprior.io.names import shown
from voxprior.io.nifti import DEFAULT_CAP
from voxprior.operators.projection_matrix import Beam, ProjectionGeometry

SUFFIX = ".npz"
MU_WATER = 0.0193
"""Attenuation of water at 70 keV, about the mean energy of 120 kVp, 1/mm: taken where a file says nothing."""
SPACING_TOLERANCE = 1e-3
OPAQUE = 20.0
"""A line integral above this lets one photon in 500 million through: no scanner measures it."""
NO_PLACE = "the sinogram has no affine, so the result has no place in a patient: columns towards the left, rows back"

_REQUIRED = ("sinogram", "angles_deg", "pixel_mm")
OPTIONAL = ("photons", "bin_mm", "offset_mm", "shape", "slice_mm", "beam", "source_mm", "detector_mm", "mu_water",
             "affine", "axis")  # fmt: skip


def to_hu(mu: NDArray[Any], mu_water: float) -> NDArray[np.float32]:
    """Hounsfield units of attenuation ``mu``, 1/mm: water 0, vacuum -1000."""
    return np.asarray((mu / mu_water - 1) * 1000, dtype=np.float32)


def to_mu(hu: NDArray[Any], mu_water: float) -> NDArray[np.float64]:
    """The inverse of :func:`to_hu`, in double precision."""
    return np.asarray((np.asarray(hu, dtype=np.float64) / 1000 + 1) * mu_water)


@dataclass(frozen=True, eq=False)
class Sinogram:
    """Line integrals ``data`` (slice, view, bin), no unit, and the scanner that measured them.

    The image is a volume whose ``axis`` counts the slices, ``affine`` 4 x 4 to RAS+ mm. ``photons``: how many reach a
    bin without a patient, one number or an array that fits ``data``; None: unknown. ``mu_water``: 1/mm, or None.
    """

    data: NDArray[np.float32]
    geometry: ProjectionGeometry
    affine: NDArray[np.float64]
    axis: int = 2
    photons: NDArray[np.float64] | None = None
    mu_water: float | None = None
    warnings: tuple[str, ...] = ()
    source: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the volume that it measured."""
        sizes = list(self.geometry.shape)
        sizes.insert(self.axis, self.data.shape[0])
        return sizes[0], sizes[1], sizes[2]

    def noise(self) -> NDArray[np.float32] | None:
        """Std of each line integral p, ``sqrt(exp(p) / photons)``: that of -log(counts / photons); None if unknown."""
        if self.photons is None:
            return None
        return np.broadcast_to(np.sqrt(np.exp(self.data) / self.photons), self.data.shape).astype(np.float32)


def read_sinogram(path: Path) -> Sinogram:
    """The sinogram in ``path``; raises :class:`InputError` for all that is none, one line each.

    Needed: ``sinogram`` (slice, view, bin) or (view, bin), ``angles_deg`` (view,), ``pixel_mm`` (one number, or of row
    and column). Optional: ``photons``; ``bin_mm`` (pixel_mm, in a fan as enlarged on the detector), ``offset_mm`` (0);
    ``shape`` (row, column) of the image (what all views see), ``slice_mm`` (pixel_mm); ``beam`` (parallel, fan-flat,
    fan-arc) with ``source_mm`` and ``detector_mm``; ``mu_water`` in 1/mm; ``affine`` and ``axis`` of the volume.
    """
    name = shown(path)
    if not path.is_file():
        raise InputError(f"{name}: no such file; check the name")
    if path.suffix.lower() != SUFFIX:
        raise InputError(f"{name}: not the name of a sinogram; it must end in {SUFFIX}")
    arrays, release = read_npz(path)
    try:
        return _sinogram(arrays, name, path.name)
    finally:
        release()


def sinogram_from(arrays: Mapping[str, Any]) -> Sinogram:
    """The sinogram of arrays in memory under the keys of a file, see :func:`read_sinogram`, and with its errors."""
    given = {key: np.asarray(value) for key, value in arrays.items()}
    return _sinogram({key: Stored(a.shape, a.dtype, a.__getitem__, a.copy) for key, a in given.items()}, "sinogram")


def _sinogram(arrays: Mapping[str, Stored], name: str, source: str | None = None) -> Sinogram:
    values = _values(arrays, name)
    data = _data(values["sinogram"], name)
    geometry = _geometry(values, data, name)
    warnings = []
    if data.max() > OPAQUE:
        warnings.append(
            f"line integrals up to {data.max():.4g}: above {OPAQUE:g} nothing passes; the sinogram must hold "
            "-log(counts / photons), neither counts nor lengths times HU"
        )
    if float(data.mean()) < 0:
        warnings.append(
            "line integrals below zero on average: what passes is more than what was sent; the sinogram must hold "
            "-log(counts / photons)"
        )
    if np.unique(np.mod(geometry.angles, 180.0 if geometry.beam == "parallel" else 360.0)).size == 1:
        warnings.append("every view has the same direction, which tells nothing of depth; angles_deg are in degrees")
    if "affine" not in values:
        warnings.append(NO_PLACE)
    axis = int(_number(values, "axis", name, 2))
    if axis not in (0, 1, 2):
        raise InputError(f"{name}: axis {axis} of the slices is none of 0, 1, 2; correct or leave it out")
    return Sinogram(
        data,
        geometry,
        _affine(values, geometry, data.shape[0], axis, name),
        axis,
        _photons(values, data, name),
        _positive(values, "mu_water", name),
        tuple(warnings),
        source,
    )


def write_sinogram(path: Path, sinogram: Sinogram) -> None:
    """Write all of ``sinogram`` to ``path``, as :func:`read_sinogram` takes it; equal sinograms are equal files."""
    with ArraysWriter(path) as out:
        for name, value in arrays_of(sinogram).items():
            out.write(name, np.asarray(value))


def arrays_of(sinogram: Sinogram) -> dict[str, Any]:
    """All of ``sinogram`` under the keys of a file, the sinogram first; what is unknown is left out."""
    g = sinogram.geometry
    values: dict[str, Any] = {
        "sinogram": sinogram.data,
        "angles_deg": g.angles,
        "pixel_mm": g.pixel,
        "bin_mm": g.bin_width,
        "offset_mm": g.offset,
        "shape": g.shape,
        "affine": sinogram.affine,
        "axis": sinogram.axis,
        "beam": g.beam,
        "source_mm": g.source,
        "detector_mm": g.detector,
        "photons": sinogram.photons,
        "mu_water": sinogram.mu_water,
    }
    return {name: value for name, value in values.items() if value is not None}


def _values(arrays: Mapping[str, Stored], name: str) -> dict[str, NDArray[Any]]:
    missing = [key for key in _REQUIRED if key not in arrays]
    if missing:
        raise InputError(
            f"{name}: holds no {' and no '.join(missing)}, only {', '.join(arrays) or 'nothing'}; "
            f"save {', '.join(_REQUIRED)} by numpy.savez"
        )
    unknown = [key for key in arrays if key not in (*_REQUIRED, *OPTIONAL)]
    if unknown:
        raise InputError(f"{name}: {', '.join(unknown)} means nothing here; known are {', '.join(OPTIONAL)}")
    for key, array in arrays.items():
        if math.prod(array.shape) > DEFAULT_CAP:
            raise InputError(f"{name}: {key} holds more than {DEFAULT_CAP} numbers; take fewer slices")
        if array.dtype.kind not in ("U" if key == "beam" else "uif"):
            raise InputError(f"{name}: {key} of type {array.dtype} is not real numbers; save floats")
    return {key: np.asarray(array.whole()) for key, array in arrays.items()}


def _data(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"{name}: sinogram {array.shape} is not (slice, view, bin); move its axes")
    data = np.array(array, dtype=np.float32)
    bad = int(data.size - np.isfinite(data).sum())
    if bad:
        raise InputError(f"{name}: {bad} line integrals are not finite; give dead rays their neighbours' mean")
    if data.min() == data.max():
        raise InputError(f"{name}: all line integrals are equal; give a sinogram of something")
    return data


def _geometry(values: Mapping[str, NDArray[Any]], data: NDArray[np.float32], name: str) -> ProjectionGeometry:
    angles = values["angles_deg"]
    if angles.ndim != 1 or len(angles) != data.shape[1]:
        raise InputError(f"{name}: {angles.size} angles for {data.shape[1]} views; give one a view, in degrees")
    pixel = values["pixel_mm"].ravel()
    if len(pixel) not in (1, 2) or not (np.isfinite(pixel) & (pixel > 0)).all():
        raise InputError(f"{name}: pixel_mm {pixel} must be one length above 0, or two, of row and column")
    height, width = float(pixel[0]), float(pixel[-1])
    beam = str(values["beam"]) if "beam" in values else "parallel"
    if beam not in get_args(Beam):
        raise InputError(f"{name}: beam {beam!r} is unknown; give one of {', '.join(get_args(Beam))}")
    source, detector = (_positive(values, key, name) for key in ("source_mm", "detector_mm"))
    enlarged = 1.0 if source is None or detector is None else detector / source
    bin_width = _positive(values, "bin_mm", name) or min(height, width) * enlarged
    seen = _field(data.shape[2] * bin_width, beam, source, detector)
    shape = values["shape"].ravel() if "shape" in values else np.floor([seen / height + 1e-6, seen / width + 1e-6])
    if len(shape) != 2 or not (np.isfinite(shape) & (shape >= 1)).all() or math.prod(shape) > DEFAULT_CAP:
        raise InputError(f"{name}: an image of {shape} pixels; give shape as numbers of rows and columns")
    try:
        return ProjectionGeometry(
            shape=(int(shape[0]), int(shape[1])),
            pixel=(height, width),
            angles=tuple(float(a) for a in angles),
            bins=data.shape[2],
            bin_width=bin_width,
            offset=_number(values, "offset_mm", name, 0.0),
            beam=beam,  # type: ignore[arg-type]
            source=source,
            detector=detector,
        )
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _field(width: float, beam: str, source: float | None, detector: float | None) -> float:
    """Diameter of what all views of a centred detector ``width`` mm wide see, mm."""
    if source is None or detector is None:
        return width
    half = math.atan2(width / 2, detector) if beam == "fan-flat" else min(width / 2 / detector, math.pi / 2)
    return 2 * source * math.sin(half)


def _affine(
    values: Mapping[str, NDArray[Any]], geometry: ProjectionGeometry, slices: int, axis: int, name: str
) -> NDArray[np.float64]:
    """That of the file; else about the origin, with columns towards the left, rows back, and slices up."""
    if "affine" in values:
        affine = np.asarray(values["affine"], dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise InputError(f"{name}: affine {affine.shape} is no invertible 4 x 4 matrix; correct or leave it out")
        spacing = np.delete(np.linalg.norm(affine[:3, :3], axis=0), axis)
        if not np.allclose(spacing, geometry.pixel, rtol=SPACING_TOLERANCE):
            raise InputError(f"{name}: pixels of {spacing} mm by affine, {geometry.pixel} by pixel_mm; correct one")
        return affine
    step = _positive(values, "slice_mm", name) or min(geometry.pixel)
    columns = [[0.0, -geometry.pixel[0], 0.0], [-geometry.pixel[1], 0.0, 0.0]]
    sizes = list(geometry.shape)
    columns.insert(axis, [0.0, 0.0, step])
    sizes.insert(axis, slices)
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns).T
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(sizes) - 1) / 2)
    return affine


def _photons(
    values: Mapping[str, NDArray[Any]], data: NDArray[np.float32], name: str
) -> NDArray[np.float64] | None:
    if "photons" not in values:
        return None
    photons = np.asarray(values["photons"], dtype=np.float64)
    if not (np.isfinite(photons) & (photons > 0)).all():
        raise InputError(f"{name}: photons must be above 0 and finite; give how many reach a bin without a patient")
    try:
        fits = np.broadcast_shapes(photons.shape, data.shape) == data.shape
    except ValueError:
        fits = False
    if not fits:
        raise InputError(f"{name}: photons {photons.shape} do not fit a sinogram {data.shape}; give one number")
    return photons


def _number(values: Mapping[str, NDArray[Any]], key: str, name: str, default: float) -> float:
    if key not in values:
        return default
    array = values[key]
    if array.size != 1 or not np.isfinite(array).all():
        raise InputError(f"{name}: {key} must be one finite number; correct or leave it out")
    return float(array.ravel()[0])


def _positive(values: Mapping[str, NDArray[Any]], key: str, name: str) -> float | None:
    number = _number(values, key, name, math.nan)
    if key not in values:
        return None
    if number <= 0:
        raise InputError(f"{name}: {key} {number:g} must be above 0; correct or leave it out")
    return number
