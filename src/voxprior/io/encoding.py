"""The bytes that a volume is stored as."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.io.headers import FORM_TOLERANCE_MM, MGH, MGH_OFFSET, NIFTI1, NIFTI2, largest_shift
from voxprior.volume import Volume

NIFTI1_LARGEST = 32767
"""Voxels along an axis that the 16-bit sizes of NIfTI-1 can say."""
WORLD_TOLERANCE_MM = 1e-3
"""A quaternion that misplaces a voxel by more than this is not left alone to say where the volume is."""
MGH_FIELDS = 90
MGH_FOOTER = bytes(20)
SLAB_VOXELS = 1 << 22


def encode(volume: Volume, suffix: str) -> Iterator[bytes]:
    """The file of ``volume`` in pieces, uncompressed: header, float32 voxels, footer."""
    if suffix == ".mgz":
        yield _mgh_header(volume).binaryblock[:MGH_FIELDS].ljust(MGH_OFFSET, b"\0")
        yield from _voxels(volume, ">f4")
        yield MGH_FOOTER
        return
    head = BytesIO()
    _nifti_header(volume).write_to(head)
    yield head.getvalue()
    yield from _voxels(volume, "<f4")


def as_stored(volume: Volume, suffix: str) -> Volume:
    """``volume`` as a reader of its file will see it: the affine as precise as the header's numbers."""
    header = _mgh_header(volume) if suffix == ".mgz" else _nifti_header(volume)
    return dataclasses.replace(volume, affine=np.array(header.get_best_affine(), dtype=np.float64))


def _voxels(volume: Volume, dtype: str) -> Iterator[bytes]:
    slices_last = volume.data.T  # C order of the transpose is the Fortran order of files
    step = max(1, SLAB_VOXELS // max(1, slices_last[0].size))
    for start in range(0, len(slices_last), step):
        yield slices_last[start : start + step].astype(dtype, order="C").tobytes()


def _nifti_header(volume: Volume) -> Any:
    """Little-endian header with both forms set to the affine, under the codes that the volume carries.

    A qform cannot hold shear: its code is then 0. Where the qform alone would say where the volume is and its
    quaternion is too coarse for that, or no form would say it, the sform gets a code too.
    """
    shape, carried = volume.data.shape, volume.header
    header = (NIFTI1 if max(shape) <= NIFTI1_LARGEST else NIFTI2)(endianness="<")
    header.set_data_shape(shape)
    header.set_data_dtype(np.float32)
    header.set_qform(volume.affine, code=1)
    header.set_sform(volume.affine, code=1)
    shift = largest_shift(header.get_qform(), volume.affine, shape)
    qcode, scode = int(carried.get("qform_code", 1)), int(carried.get("sform_code", 1))
    if scode == 0 and (qcode == 0 or shift > WORLD_TOLERANCE_MM):
        scode = qcode or 2  # 2, aligned: the code of coordinates that are no scanner's
    header["qform_code"] = qcode if shift <= FORM_TOLERANCE_MM else 0
    header["sform_code"] = scode
    header["xyzt_units"] = int(carried.get("xyzt_units", 2))
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["descrip"] = str(carried.get("descrip", "Voxprior: derived image")).encode("ascii", "replace")[:79]
    return header


def _mgh_header(volume: Volume) -> Any:
    """Header of the MGH format: unit columns, their lengths, and where the middle of the volume is."""
    shape = volume.data.shape
    spacing = np.array(volume.spacing)
    header = MGH()
    header.set_data_shape(shape)
    header.set_data_dtype(np.float32)
    middle: NDArray[np.float64] = volume.affine @ np.array([*(n / 2 for n in shape), 1.0])
    header["delta"] = spacing
    header["Mdc"] = (volume.affine[:3, :3] / spacing).T
    header["Pxyz_c"] = middle[:3]
    header["goodRASFlag"] = 1
    return header
