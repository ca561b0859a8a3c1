"""The XML header of ISMRMRD, which fastMRI's files carry too: matrix, field of view, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.kspace.file import one_line

HEADER_CAP = 1 << 22
MATRIX_CAP = 1 << 14


@dataclass(frozen=True)
class Space:
    """A grid: ``matrix`` and ``fov`` (mm; 0 where the header does not know) along read-out, first and second phase."""

    matrix: tuple[int, int, int]
    fov: tuple[float, float, float]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along read-out, first and second phase encoding, mm; 0 where it is not known."""
        x, y, z = (f / n for f, n in zip(self.fov, self.matrix, strict=True))
        return x, y, z


@dataclass(frozen=True)
class Limit:
    """Counters of an encoding step: the first, the last, and the one at the centre of k-space."""

    minimum: int
    maximum: int
    center: int


@dataclass(frozen=True)
class Encoding:
    """What was encoded, what was to be shown of it, and how."""

    encoded: Space
    recon: Space
    limits: Mapping[str, Limit]
    trajectory: str
    calibration: str
    """Mode of parallel imaging's calibration: embedded, interleaved, separate, external, other, or empty."""
    noise_bandwidth: float
    """Receiver's noise bandwidth relative to its bandwidth; 1 where it is not stated."""


def parse_encoding(xml: bytes, name: str) -> tuple[Encoding, int]:
    """The first encoding of an ISMRMRD header, and how many there are; :class:`InputError` when there is none."""
    if len(xml) > HEADER_CAP or b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise InputError(f"{name}: its ISMRMRD header is too long or defines entities; export the file again")
    try:
        root = ET.fromstring(xml.rstrip(b"\0 \n\r\t"))
        encodings = root.findall("{*}encoding")
        if not encodings:
            raise ValueError("no encoding")
        return _encoding(encodings[0], root), len(encodings)
    except (ET.ParseError, ValueError, OverflowError) as error:
        reason = one_line(error)
        raise InputError(f"{name}: its ISMRMRD header cannot be understood ({reason}); export it again") from None


def _encoding(element: ET.Element, root: ET.Element) -> Encoding:
    encoded = _space(element.find("{*}encodedSpace"))
    if encoded is None:
        raise ValueError("no encodedSpace")
    limits = {}
    for limit in element.findall("{*}encodingLimits/*"):
        numbers = [limit.findtext(f"{{*}}{part}") for part in ("minimum", "maximum", "center")]
        if all(numbers):
            limits[limit.tag.rpartition("}")[2]] = Limit(*(int(n or 0) for n in numbers))
    bandwidth = float(root.findtext("{*}acquisitionSystemInformation/{*}relativeReceiverNoiseBandwidth") or 1)
    return Encoding(
        encoded,
        _space(element.find("{*}reconSpace")) or encoded,
        limits,
        (element.findtext("{*}trajectory") or "cartesian").strip().lower(),
        (element.findtext("{*}parallelImaging/{*}calibrationMode") or "").strip().lower(),
        bandwidth if isfinite(bandwidth) and 0 < bandwidth <= 1 else 1.0,
    )


def _space(element: ET.Element | None) -> Space | None:
    if element is None:
        return None
    matrix = [int(element.findtext(f"{{*}}matrixSize/{{*}}{a}") or 1) for a in "xyz"]
    fov = [float(element.findtext(f"{{*}}fieldOfView_mm/{{*}}{a}") or 0) for a in "xyz"]
    if not all(0 < n <= MATRIX_CAP for n in matrix):
        raise ValueError(f"matrix of {' x '.join(map(str, matrix))}")
    x, y, z = (f if isfinite(f) and f > 0 else 0.0 for f in fov)
    return Space((matrix[0], matrix[1], matrix[2]), (x, y, z))


def shown_matrix(encoding: Encoding) -> tuple[int, int, int]:
    """Voxels of the encoded grid that lie in the field of view to be shown.

    By the fields of view, because a scanner that interpolates has a larger matrix; by the matrices without them.
    """
    sizes = []
    for axis in range(3):
        n, recon = encoding.encoded.matrix[axis], encoding.recon.matrix[axis]
        full, part = encoding.encoded.fov[axis], encoding.recon.fov[axis]
        sizes.append(max(1, min(n, round(n * part / full) if full and part else recon)))
    return sizes[0], sizes[1], sizes[2]


def axial_affine(spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """The affine of a grid (x, y, slice) whose place is not known: as an axial scan, its middle at the origin.

    x points to the left, y to the back, slices to the head; ``spacing`` in mm.
    """
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    middle = np.array([shape[0] // 2, shape[1] // 2, (shape[2] - 1) / 2])
    affine[:3, 3] = -affine[:3, :3] @ middle
    return affine
