"""Where voxels are: a volume in patient space, and what a stack of slices measured of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError

THICK_RATIO = 1.2
"""The largest spacing must be at least this times the next for the slice axis to be found by itself."""
GRID_SLACK = 1e-3
"""Part of a fine voxel by which the span may exceed a whole number of voxels."""
MAX_THICKNESS_RATIO = 4.0
"""A slice thicker than this times the spacing is taken for a typing error."""
SPACING_TOLERANCE = 1e-3
"""Millimetres by which thickness + gap may differ from the spacing of the affine."""
PROFILES = ("box", "gaussian", "slr")
KSPACE = "kspace"
"""Profile of an axis along which the outer part of k-space was not measured; no profile of slices."""

_AXES = {"i": 0, "j": 1, "k": 2, "0": 0, "1": 1, "2": 2, "x": 0, "y": 1, "z": 2}


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels in patient space, immutable.

    ``data``: float32 (i, j, k), any unit, finite. ``affine``: 4 x 4 float64, voxel-centre index to RAS+ mm.
    ``header``: what a file format carries through (form codes, units). ``source``: base name of the file.
    Raises :class:`InputError` when the data are not three-dimensional or the affine is singular.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    header: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None

    def __post_init__(self) -> None:
        data = np.asarray(self.data, dtype=np.float32)
        affine = np.array(self.affine, dtype=np.float64)
        name = self.source or "volume"
        if data.ndim != 3 or 0 in data.shape:
            raise InputError(f"{name}: shape {data.shape} is not that of a volume; give a 3-D image")
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise InputError(f"{name}: the affine is singular or not finite; repair the header's sform or qform")
        data = data.view()
        data.flags.writeable = False
        affine.flags.writeable = False
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each array axis, mm."""
        norms = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(norms[0]), float(norms[1]), float(norms[2])

    @property
    def axcodes(self) -> tuple[str, str, str]:
        """Patient direction (of R/L, A/P, S/I) towards which each array axis points."""
        return axis_codes(self.affine)


def axis_codes(affine: NDArray[np.float64]) -> tuple[str, str, str]:
    """Patient direction towards which each array axis of ``affine`` (4 x 4) points; oblique axes to the nearest."""
    direction = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    codes = ["", "", ""]
    free = [0, 1, 2]
    cosines = np.abs(direction)
    for _ in range(3):
        world, column = max(((w, c) for w in free for c in range(3) if not codes[c]), key=lambda p: cosines[p])
        codes[column] = ("LR", "PA", "IS")[world][int(direction[world, column] > 0)]
        free.remove(world)
    return codes[0], codes[1], codes[2]


@dataclass(frozen=True)
class SliceGeometry:
    """What a stack of slices measured along its axis, and the fine grid that explains it; all lengths in mm.

    ``count`` slices, centres ``spacing`` apart, of width ``thickness`` (FWHM for a Gaussian); ``fine_count`` voxels of
    ``fine_spacing``, both centred on the same point. ``profile``: a name of :data:`PROFILES`, :data:`KSPACE`, or the
    relative sensitivity at equally spaced points over [-thickness, +thickness] about the slice centre.
    """

    axis: int
    count: int
    spacing: float
    thickness: float
    fine_count: int
    fine_spacing: float
    profile: str | tuple[float, ...] = "box"

    @property
    def gap(self) -> float:
        """Distance between the edges of neighbouring slices, mm; negative when they overlap."""
        return self.spacing - self.thickness

    @property
    def span(self) -> float:
        """Length that the slices cover, mm."""
        return (self.count - 1) * self.spacing + self.thickness

    def matrix(self) -> NDArray[np.float64]:
        """The operator along the slice axis, (count, fine_count); rows sum to 1."""
        from voxprior.operators.profiles import slice_matrix  # numpy only; the ground floor stays free of scipy

        return slice_matrix(self)

    def to_dict(self) -> dict[str, Any]:
        """All numbers of the operator, as JSON values."""
        values = asdict(self)
        if not isinstance(self.profile, str):
            values["profile"] = list(self.profile)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SliceGeometry:
        """The geometry that :meth:`to_dict` wrote; raises :class:`InputError` when a number is missing."""
        try:
            profile = values["profile"]
            return cls(
                axis=int(values["axis"]),
                count=int(values["count"]),
                spacing=float(values["spacing"]),
                thickness=float(values["thickness"]),
                fine_count=int(values["fine_count"]),
                fine_spacing=float(values["fine_spacing"]),
                profile=profile if isinstance(profile, str) else tuple(float(p) for p in profile),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"slice geometry is incomplete ({error}); restore the scan again") from None


def thick_axis(spacing: tuple[float, float, float], axis: str = "auto") -> int:
    """Array axis (0, 1 or 2) along which slices are thick: named (``i``, ``j``, ``k``), or found from ``spacing`` (mm).

    Raises :class:`InputError` for an unknown name, and for ``auto`` when no axis is 1.2 times coarser than the next.
    """
    if axis != "auto":
        if axis.lower() not in _AXES:
            raise InputError(f"--axis {axis} is unknown; give auto, i, j or k")
        return _AXES[axis.lower()]
    order = sorted(range(3), key=lambda a: spacing[a])
    if spacing[order[2]] < THICK_RATIO * spacing[order[1]] - 1e-6:
        shown = " x ".join(f"{s:.3g}" for s in spacing)
        raise InputError(f"no thick axis: voxels are {shown} mm; name the slice axis with --axis i, j or k")
    return order[2]


def slice_geometry(
    volume: Volume,
    axis: str = "auto",
    spacing: float | None = None,
    thickness: float | None = None,
    gap: float | None = None,
    profile: str | tuple[float, ...] = "box",
) -> SliceGeometry:
    """What ``volume`` measured, and the fine grid of ``spacing`` mm (default: the smaller in-plane spacing).

    ``thickness`` defaults to the slice distance of the affine less ``gap``; both in mm. Raises :class:`InputError` for
    contradictory, non-positive or non-finite values, and for a spacing above the slice distance.
    """
    a = thick_axis(volume.spacing, axis)
    distance = volume.spacing[a]
    count = volume.data.shape[a]
    if count < 2:
        raise InputError(f"the slice axis {'ijk'[a]} holds {count} slice; at least 2 are needed")
    for name, value in (("--thickness", thickness), ("--gap", gap), ("--spacing", spacing)):
        if value is not None and not math.isfinite(value):
            raise InputError(f"{name} {value} is not a finite number; give millimetres")
    if thickness is not None and gap is not None and abs(thickness + gap - distance) > SPACING_TOLERANCE:
        raise InputError(
            f"--thickness {thickness:g} and --gap {gap:g} add up to {thickness + gap:g} mm but the slices are "
            f"{distance:.4g} mm apart; give one of them"
        )
    width = thickness if thickness is not None else distance - (gap or 0.0)
    if not 0 < width <= MAX_THICKNESS_RATIO * distance:
        raise InputError(
            f"a slice thickness of {width:g} mm does not fit slices {distance:.4g} mm apart; "
            f"it must be above 0 and at most {MAX_THICKNESS_RATIO * distance:.4g}"
        )
    fine = spacing if spacing is not None else min(s for i, s in enumerate(volume.spacing) if i != a)
    span = (count - 1) * distance + width
    if not 0 < fine <= distance * (1 + 1e-6):
        raise InputError(f"an output spacing of {fine:g} mm must be above 0 and at most the slices' {distance:.4g} mm")
    if isinstance(profile, str) and profile not in PROFILES:
        raise InputError(f"--profile {profile} is unknown; give {', '.join(PROFILES)} or a file of samples")
    fine_count = math.ceil(span / fine - GRID_SLACK)
    if fine_count > 4096:
        raise InputError(f"an output spacing of {fine:g} mm makes {fine_count} slices; 4096 is the most")
    return SliceGeometry(a, count, distance, width, fine_count, fine, profile)


def fine_affine(affine: NDArray[np.float64], geometry: SliceGeometry) -> NDArray[np.float64]:
    """Affine of the restored grid, from the ``affine`` of the slices: the centre of the stack stays where it is."""
    g = geometry
    return _resampled(affine, g.axis, (g.count, g.spacing), (g.fine_count, g.fine_spacing))


def slice_affine(affine: NDArray[np.float64], geometry: SliceGeometry) -> NDArray[np.float64]:
    """Affine of the slices, from the ``affine`` of the fine grid: the inverse of :func:`fine_affine`."""
    g = geometry
    return _resampled(affine, g.axis, (g.fine_count, g.fine_spacing), (g.count, g.spacing))


def _resampled(
    affine: NDArray[np.float64], axis: int, old: tuple[int, float], new: tuple[int, float]
) -> NDArray[np.float64]:
    """``affine`` with other (count, spacing in mm) along ``axis`` about the same centre."""
    result = np.array(affine, dtype=np.float64)
    centre = affine[:3, 3] + affine[:3, axis] * (old[0] - 1) / 2
    result[:3, axis] = affine[:3, axis] / old[1] * new[1]
    result[:3, 3] = centre - result[:3, axis] * (new[0] - 1) / 2
    return result
