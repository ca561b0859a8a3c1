"""fastMRI's layout of HDF5: ``kspace`` (slice, coil, read-out, phase), with ISMRMRD's header in a string."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.io.kspace.arrays import Stored, as_maps, as_mask, kspace_axes, loaded
from voxprior.io.kspace.file import Bool, KspaceFile
from voxprior.io.kspace.hdf5 import as_complex, complex_type, stored, text
from voxprior.io.kspace.header import HEADER_CAP, Encoding, axial_affine, parse_encoding, shown_matrix
from voxprior.io.kspace.readout import remove_oversampling
from voxprior.io.names import shown


def open_fastmri(file: Any, path: Path) -> KspaceFile:
    """An open HDF5 ``file`` with ``kspace`` of several coils, or without the coil axis of a single one.

    Read-out oversampling is removed by the header; ``mask`` (phase) and ``s_maps`` are used where present. Raises
    :class:`voxprior.errors.InputError` for arrays that are no k-space.
    """
    name = shown(path)
    array = _with_coils(file["kspace"])
    slices, coils, (rows, columns) = kspace_axes(array, name)
    encoding, warnings = None, []
    if "ismrmrd_header" in file:
        encoding, _ = parse_encoding(text(file["ismrmrd_header"], HEADER_CAP, name), name)
        if encoding.encoded.matrix[0] != rows:
            warnings.append(
                f"the header is of {encoding.encoded.matrix[0]} samples a line, the data of {rows}: it is not used"
            )
            encoding = None
    else:
        warnings.append("no ismrmrd_header: read-out oversampling, if any, stays, and voxel sizes are not known")
        if len(file["kspace"].shape) == 3:
            warnings.append("kspace has three axes: taken as (slice, read-out, phase) of a single coil")
    size = rows if encoding is None else shown_matrix(encoding)[0]
    space = (size, columns)
    mask, word = _mask(file, array, space, encoding, name)
    affine, place = _affine(encoding, columns, size, slices)
    maps = as_maps(loaded(stored(file["s_maps"]), name), slices, coils, space, name) if "s_maps" in file else None
    return KspaceFile(
        "fastmri",
        path,
        slices,
        coils,
        space,
        lambda i: remove_oversampling(array.row(i), size),
        affine=affine,
        crop=None if encoding is None else (size, min(columns, encoding.recon.matrix[1])),
        maps=maps,
        mask=mask,
        warnings=(*warnings, *word, *place),
        release=file.close,
    )


def _with_coils(data_set: Any) -> Stored:
    """The data set with its coil axis, of length 1 where the file has none."""
    array = stored(data_set)
    shape = array.shape if len(array.shape) != 3 else (array.shape[0], 1, *array.shape[1:])
    return Stored(
        shape,
        complex_type(array.dtype),
        lambda i: as_complex(array.row(i)).reshape(shape[1:]),
        lambda: as_complex(array.whole()).reshape(shape),
    )


def _mask(
    file: Any, array: Stored, space: tuple[int, ...], encoding: Encoding | None, name: str
) -> tuple[Bool | None, list[str]]:
    """The mask of the file without the lines beyond the acquired ones, which the format pads with zeros."""
    if "mask" not in file:
        return None, []
    mask = as_mask(file["mask"][()], space, name)
    acquired: NDArray[np.bool_] = np.abs(array.row(array.shape[0] // 2)).max(axis=(0, 1)) > 0
    limit = None if encoding is None else encoding.limits.get("kspace_encoding_step_1")
    if limit is not None:
        first = space[1] // 2 - limit.center
        acquired[: max(first, 0)] = False
        acquired[first + limit.maximum + 1 :] = False
    padded = int(np.count_nonzero(mask.any(axis=0) & ~acquired))
    if not padded or not (mask & acquired).any():
        return mask, []
    return mask & acquired, [f"{padded} lines that the mask keeps were never acquired; they are left out of it"]


def _affine(
    encoding: Encoding | None, columns: int, rows: int, slices: int
) -> tuple[NDArray[np.float64] | None, list[str]]:
    """Voxel sizes by the header; the format keeps neither orientation nor position."""
    if encoding is None or not all(encoding.encoded.fov[:2]):
        return None, []
    across = encoding.encoded.fov[1] / columns  # padding of k-space by zeros makes voxels smaller
    thickness = encoding.recon.spacing[2] or encoding.encoded.spacing[2] or 1.0
    affine = axial_affine((across, encoding.encoded.spacing[0], thickness), (columns, rows, slices))
    return affine, [
        f"voxels are {across:.3g} x {encoding.encoded.spacing[0]:.3g} mm and slices taken as {thickness:.3g} mm apart; "
        "the format does not keep where they lie: orientation and origin are a guess"
    ]
