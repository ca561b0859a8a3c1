"""What an image header claims about the bytes that follow it, before any of them is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from nibabel.freesurfer import mghformat
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from voxprior.errors import InputError

HEADER_BYTES = 540
"""Enough of a file to hold any of the headers read here."""
FORM_TOLERANCE_MM = 0.1
FORM_TOLERANCE_DEGREES = 0.1
"""qform and sform that differ by more than this, anywhere in the volume, contradict each other."""
SINGULAR = 1e-6
"""Smallest determinant of the affine's unit columns that still spans a volume."""
MGH_OFFSET = 284

NIFTI1: Any = Nifti1Header
NIFTI2: Any = Nifti2Header
MGH: Any = mghformat.MGHHeader
"""The header classes of nibabel, which carry no annotations."""

_UNITS = {1: ("metre", 1e3), 3: ("micrometre", 1e-3)}


@dataclass(frozen=True)
class Claim:
    """A header's claim: ``frames`` volumes of ``shape`` and ``dtype``, ``offset`` bytes into the file.

    A stored number s means ``slope * s + intercept``; ``affine`` (4 x 4) is in mm; ``header`` is what
    :class:`voxprior.volume.Volume` carries.
    """

    shape: tuple[int, int, int]
    frames: int
    dtype: np.dtype[Any]
    offset: int
    affine: NDArray[np.float64]
    slope: float = 1.0
    intercept: float = 0.0
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def voxels(self) -> int:
        """Voxels of one frame."""
        return prod(self.shape)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in the file, uncompressed."""
        return self.voxels * self.dtype.itemsize

    @property
    def file_bytes(self) -> int:
        """Least size of the whole file, uncompressed."""
        return self.offset + self.frames * self.frame_bytes


def parse_header(block: bytes, suffix: str, name: str) -> Claim:
    """The claim of the first :data:`HEADER_BYTES` of a file, ``name`` in messages.

    Raises :class:`InputError` for every fault.
    """
    with np.errstate(
        all="ignore"
    ):  # a damaged header may hold NaN anywhere; the checks below say so in words
        return _parse_mgh(block, name) if suffix == ".mgz" else _parse_nifti(block, name)


def _parse_nifti(block: bytes, name: str) -> Claim:
    header = _nifti_header(block, name)
    rank = int(header["dim"][0])
    if not 1 <= rank <= 7:
        raise InputError(f"{name}: the header claims {rank} dimensions; the file is damaged, export it again")
    shape, frames = _grid([int(n) for n in header["dim"][1 : rank + 1]], name)
    try:
        slope, intercept = header.get_slope_inter()
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise InputError(f"{name}: the header is damaged ({error}); export the file again") from None
    affine, warnings = _nifti_affine(header, shape, name)
    units = int(header["xyzt_units"])
    if units % 8 in _UNITS:
        unit, factor = _UNITS[units % 8]
        affine[:3] *= factor
        warnings.append(f"the header's lengths are in {unit}s; they were converted to mm")
        units = units - units % 8 + 2
    single = header.single_vox_offset
    offset = float(header["vox_offset"])
    if not np.isfinite(offset) or offset < 0:
        raise InputError(
            f"{name}: the header puts voxels at byte {offset}; the file is damaged, export it again"
        )
    return Claim(
        shape,
        frames,
        _scalar(dtype, name),
        max(int(offset), int(single)),
        affine,
        1.0 if slope is None else float(slope),
        0.0 if intercept is None else float(intercept),
        {
            "format": "nifti2" if isinstance(header, NIFTI2) else "nifti1",
            "qform_code": max(int(header["qform_code"]), 0),
            "sform_code": max(int(header["sform_code"]), 0),
            "xyzt_units": units,
            "forms": _difference(header, shape),
            "warnings": tuple(warnings),
        },
    )


def _nifti_header(block: bytes, name: str) -> Any:
    if block[4:8] == b"n+2\0" and len(block) >= NIFTI2.sizeof_hdr:
        return NIFTI2(block[: NIFTI2.sizeof_hdr], check=False)
    if block[344:348] == b"n+1\0":
        return NIFTI1(block[: NIFTI1.sizeof_hdr], check=False)
    if block[344:348] == b"ni1\0" or block[4:8] == b"ni2\0":
        raise InputError(f"{name}: only the header of a .hdr/.img pair; convert the pair to one .nii.gz file")
    raise InputError(f"{name}: not a NIfTI file; give an image that a converter such as dcm2niix wrote")


def _nifti_affine(
    header: Any, shape: tuple[int, int, int], name: str
) -> tuple[NDArray[np.float64], list[str]]:
    """Affine by the rule of the format: sform if its code is set, else qform, else voxel sizes alone."""
    warnings: list[str] = []
    qform = _qform(header) if header["qform_code"] > 0 else None
    if header["sform_code"] > 0:
        affine = np.array(header.get_sform(), dtype=np.float64)
        require_regular(affine, name, "sform")
        if header["qform_code"] > 0:
            warnings += _disagreement(affine, qform, shape)
        return affine, warnings
    if header["qform_code"] > 0:
        if qform is None:
            raise InputError(f"{name}: the qform is singular or not finite; repair the header's qform")
        require_regular(qform, name, "qform")
        return qform, warnings
    sizes = np.array(header["pixdim"][1:4], dtype=np.float64)
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        shown = " x ".join(f"{s:g}" for s in sizes)
        raise InputError(f"{name}: the header has no orientation and voxels of {shown} mm; repair its pixdim")
    warnings.append("the header has neither qform nor sform: left, right and the origin are a guess")
    return np.array(header.get_base_affine(), dtype=np.float64), warnings


def _qform(header: Any) -> NDArray[np.float64] | None:
    """The qform, or None where its numbers make no rotation; a qfac of 0 means 1 (NIfTI-1, method 2)."""
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = 1
    try:
        qform = np.array(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        return None
    return qform if np.isfinite(qform).all() else None


def _disagreement(
    sform: NDArray[np.float64], qform: NDArray[np.float64] | None, shape: tuple[int, int, int]
) -> list[str]:
    if qform is None:
        return ["the qform is not valid; the sform is used"]
    distance, angle = largest_shift(sform, qform, shape), _largest_angle(sform, qform)
    if distance <= FORM_TOLERANCE_MM and angle <= FORM_TOLERANCE_DEGREES:
        return []
    return [f"qform and sform disagree by up to {distance:.3g} mm and {angle:.3g} degrees; the sform is used"]


def _difference(header: Any, shape: tuple[int, int, int]) -> dict[str, float] | None:
    """By how many mm and degrees qform and sform differ at most; None unless the header has both, and valid."""
    if header["qform_code"] <= 0 or header["sform_code"] <= 0:
        return None
    qform, sform = _qform(header), np.array(header.get_sform(), dtype=np.float64)
    if qform is None:
        return None
    return {"mm": largest_shift(sform, qform, shape), "degrees": _largest_angle(sform, qform)}


def largest_shift(a: NDArray[np.float64], b: NDArray[np.float64], shape: Sequence[int]) -> float:
    """Largest distance, mm, between the places that affines ``a`` and ``b`` give a voxel of ``shape``."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij")).reshape(4, -1)
    return float(np.linalg.norm(((a - b) @ corners)[:3], axis=0).max())


def _largest_angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    u, v = (m[:3, :3] / np.maximum(np.linalg.norm(m[:3, :3], axis=0), np.finfo(float).tiny) for m in (a, b))
    cosine = np.clip((u * v).sum(axis=0), -1, 1)
    sine = np.linalg.norm(np.cross(u.T, v.T), axis=1)  # arccos alone cannot see angles below 1e-6
    return float(np.degrees(np.arctan2(sine, cosine)).max())


def require_regular(affine: NDArray[np.float64], name: str, what: str) -> None:
    """:class:`InputError` when ``affine`` (4 x 4, called ``what``) is not finite or flattens the volume."""
    columns = affine[:3, :3]
    norms = np.linalg.norm(columns, axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if (norms == 0).any() or abs(np.linalg.det(columns / norms)) < SINGULAR:
        raise InputError(f"{name}: the {what} is singular or not finite; repair the header's {what}")


def _parse_mgh(block: bytes, name: str) -> Claim:
    if len(block) < MGH_OFFSET or block[:4] != b"\0\0\0\1":
        raise InputError(f"{name}: not an MGH file; give an image that FreeSurfer wrote, or a NIfTI file")
    header = MGH(block[:MGH_OFFSET], check=False)
    shape, frames = _grid([int(n) for n in header["dims"]], name)
    try:
        dtype = header.get_data_dtype()
    except KeyError:
        kind = int(header["type"])
        raise InputError(
            f"{name}: MGH voxels of type {kind} are not supported; convert them to float"
        ) from None
    placed = int.from_bytes(block[28:30], "big", signed=True) > 0
    if (
        not placed
    ):  # coronal, as the format's description has it; nibabel's default is turned about left-right
        header["Mdc"] = [[-1, 0, 0], [0, 0, -1], [0, 1, 0]]
    affine = np.array(header.get_affine(), dtype=np.float64)
    require_regular(affine, name, "affine")
    warnings = () if placed else ("the header has no orientation: left, right and the origin are a guess",)
    carried = {"format": "mgh", "warnings": warnings}
    return Claim(shape, frames, _scalar(dtype, name), MGH_OFFSET, affine, header=carried)


def _grid(sizes: Sequence[int], name: str) -> tuple[tuple[int, int, int], int]:
    """Spatial shape and number of frames of an image with array ``sizes``."""
    text = " x ".join(map(str, sizes))
    if any(n < 1 for n in sizes):
        raise InputError(
            f"{name}: the header claims {text} voxels, which is no volume; export the file again"
        )
    if len(sizes) < 3:
        raise thin(sizes, name)
    if any(n != 1 for n in sizes[4:]):
        raise InputError(f"{name}: more than one value a voxel ({text}); give an image of one value a voxel")
    return (sizes[0], sizes[1], sizes[2]), sizes[3] if len(sizes) > 3 else 1


def thin(sizes: Sequence[int], name: str) -> InputError:
    """What to tell of an image with array ``sizes`` that is no volume."""
    text = " x ".join(map(str, sizes))
    return InputError(f"{name}: a single slice ({text} voxels); give a volume of at least two along each axis")


def _scalar(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    if dtype.names:
        raise InputError(f"{name}: a colour (RGB) image; give the grey-valued scan it was made from")
    if dtype.kind == "c":
        raise InputError(f"{name}: complex voxels; give the magnitude image")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(f"{name}: voxels of type {dtype} are not supported; convert them to float32")
    return dtype
