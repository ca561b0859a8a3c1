"""Files of images that were reconstructed from k-space: how each format holds an array (slice, y, x) or (z, y, x)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.arrays import ArraysWriter, array_digest
from voxprior.io.dicom.reading import read_written
from voxprior.io.encoding import as_stored
from voxprior.io.kspace.cfl import DIMENSIONS, DTYPE, SLICE, read_header
from voxprior.io.kspace.hdf5 import DAMAGE, h5py
from voxprior.io.kspace.npz import read_npz
from voxprior.io.names import complex_suffix, shown
from voxprior.io.outputs import voxel_digest, write_pair, write_volume
from voxprior.volume import Volume

Stage = Callable[[Path], Path]
"""Gives the temporary path of a file of a transaction."""
Affine = NDArray[np.float64] | None
"""Index (x, y, slice or z) to RAS+ mm; None where that is not known."""

COMPLEX = (".npz", ".cfl")
"""Formats that hold a complex image; the others hold its magnitude."""
RECONSTRUCTION = "reconstruction"
"""The data set of fastMRI's reconstructions."""
INTERVAL = "interval"
"""The name of an array with a first axis of two bounds."""
BOUNDS = 10
"""BART's dimension for them."""
_DAMAGE = (*DAMAGE, ImageFileError, HeaderDataError, EOFError, zlib.error)


def files_of(target: Path) -> list[Path]:
    """The files that an array at ``target`` takes: BART's have a header of their own."""
    return [target, target.with_suffix(".hdr")] if complex_suffix(target) == ".cfl" else [target]


def write_array(stage: Stage, target: Path, name: str, array: NDArray[Any], space: int, affine: Affine) -> list[Path]:
    """Write ``array`` under ``name`` in the format of ``target``; returns the targets that were written.

    ``array``: ([slice,] *space) with 2 or 3 axes of space, and a first axis of two when it is called ``interval``;
    complex in the formats of :data:`COMPLEX` alone.
    """
    suffix = complex_suffix(target)
    if suffix == ".npz":
        with ArraysWriter(stage(target)) as out:
            out.write(name, array)
    elif suffix == ".h5":
        stacked = array if array.ndim - (name == INTERVAL) == 3 else np.expand_dims(array, -3)
        with h5py().File(stage(target), "w") as file:
            file.create_dataset(name, data=stacked, track_times=False)
    elif suffix == ".cfl":
        data, header = (stage(path) for path in files_of(target))
        _write_cfl(data, header, array, [BOUNDS] if name == INTERVAL else [], space)
    elif name == INTERVAL:
        write_pair(stage(target), as_volume(array[0], affine), as_volume(array[1], affine))
    else:
        write_volume(stage(target), as_volume(array, affine))
    return files_of(target)


def _write_cfl(data: Path, header: Path, array: NDArray[Any], first: list[int], space: int) -> None:
    """``first``: BART's dimensions of the axes before slice and space."""
    last = [0, 1] if space == 2 else [2, 0, 1]
    dimensions = [*first, *([SLICE] * (array.ndim - len(first) - space)), *last]
    sizes = [1] * DIMENSIONS
    for dimension, size in zip(dimensions, array.shape, strict=True):
        sizes[dimension] = size
    with data.open("wb") as stream:
        for plane in array.transpose(np.argsort(dimensions)).T:  # its C order is the Fortran order of the file
            stream.write(np.ascontiguousarray(plane, DTYPE).tobytes())
    header.write_text(f"# Dimensions\n{' '.join(map(str, sizes))} \n", encoding="ascii")


def as_volume(array: NDArray[Any], affine: Affine) -> Volume:
    """Real ``array`` ([slice or z,] y, x) as the volume (x, y, slice or z) of a NIfTI file.

    Without an ``affine`` voxels are 1 mm at an arbitrary place, and the form code says so (2: not the scanner's).
    """
    data = np.atleast_3d(array.T).astype(np.float32, copy=False)
    codes = {"qform_code": 0, "sform_code": 2} if affine is None else {}
    return Volume(data, np.eye(4) if affine is None else affine, codes)


def image_digest(target: Path, image: NDArray[Any], affine: Affine) -> str:
    """SHA-256 of ``image`` as ``target`` will store it: shape, affine where there is one, and voxels.

    Of NIfTI, and of the series in a folder, as :func:`voxprior.io.outputs.voxel_digest`, of the others as
    :func:`voxprior.io.arrays.array_digest`.
    """
    if target.is_dir():
        return voxel_digest(as_volume(image, affine))
    suffix = complex_suffix(target)
    if suffix in COMPLEX:
        return array_digest(image.shape, [image], affine if suffix == ".npz" else None)
    if suffix == ".h5":
        stacked = image if image.ndim == 3 else image[None]
        return array_digest(stacked.shape, [stacked])
    return voxel_digest(as_stored(as_volume(image, affine), suffix))


def read_image(target: Path) -> tuple[NDArray[Any], Affine]:
    """The image that was written to ``target``, ([slice or z,] y, x), and its affine as :func:`image_digest` takes it.

    ``target``: a file, or a folder with a DICOM series, whose slices follow each other along their normal.
    Raises :class:`InputError` when it is damaged or holds no such image.
    """
    if target.is_dir():
        series = read_written(target)
        return series.data.T, series.affine
    suffix = complex_suffix(target)
    try:
        if suffix == ".npz":
            arrays, release = read_npz(target)
            try:
                image = np.array(arrays["image"].whole())
                affine = np.array(arrays["affine"].whole()) if "affine" in arrays else None
                return image, affine
            finally:
                release()
        if suffix == ".h5":
            with h5py().File(target, "r") as file:
                return np.asarray(file[RECONSTRUCTION]), None
        if suffix == ".cfl":
            return _read_cfl(target), None
        volume: Any = nibabel.load(target)  # nibabel carries no annotations
        return np.asarray(volume.dataobj, dtype=np.float32).T, np.array(volume.affine, dtype=np.float64)
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{shown(target)}: damaged, or not what was written ({reason}); restore it again") from None


def _read_cfl(target: Path) -> NDArray[np.complex64]:
    sizes = read_header(target.with_suffix(".hdr"))
    whole = np.fromfile(target, DTYPE).reshape(sizes, order="F")
    order = [SLICE, 2, 0, 1]
    rest = [d for d in range(DIMENSIONS) if d not in order]
    return whole.transpose(rest + order).reshape([sizes[d] for d in order if sizes[d] > 1])
