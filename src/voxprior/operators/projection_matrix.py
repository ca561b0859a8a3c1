"""X-ray views of a slice as a sparse matrix, without torch, so that a result can be verified where there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from voxprior.errors import InputError

Array = NDArray[np.float64]
Beam = Literal["parallel", "fan-flat", "fan-arc"]
"""Parallel rays; a fan from a point source on a straight detector, or on one bent about the source."""

MAX_NONZEROS = 1 << 28
"""Entries of a matrix that is built: 2 GB each way."""


@dataclass(frozen=True)
class ProjectionGeometry:
    """What a scanner measured of one slice; lengths in mm, angles in degrees.

    ``shape``: (row, column) of the image, ``pixel`` its (row, column) spacing; the rotation centre is the image's
    middle. With x along the columns and y along the rows (growing with the index), the view at angle a has its detector
    along (cos a, sin a): a parallel ray at detector position t holds the points ``x cos a + y sin a = t``. ``bins``
    detector bins, ``bin_width`` wide, the middle of them ``offset`` from the ray through the centre. A fan's ``source``
    is that far from the centre, in direction (sin a, -cos a), and ``detector`` from its detector, on which
    ``bin_width`` is measured: along the straight detector, or along the arc.
    """

    shape: tuple[int, int]
    pixel: tuple[float, float]
    angles: tuple[float, ...]
    bins: int
    bin_width: float
    offset: float = 0.0
    beam: Beam = "parallel"
    source: float | None = None
    detector: float | None = None

    def __post_init__(self) -> None:
        lengths = [*self.pixel, self.bin_width]
        if self.beam not in get_args(Beam):
            raise InputError(f"beam {self.beam!r} is unknown; give one of {', '.join(get_args(Beam))}")
        if self.beam != "parallel":
            if self.source is None or self.detector is None:
                raise InputError("a fan beam needs the distances from its source to the centre and to the detector, mm")
            lengths += [self.source - self.corner, self.detector]
        elif self.source is not None or self.detector is not None:
            raise InputError("a parallel beam has no source; leave the distances out, or name a fan beam")
        if not all(math.isfinite(v) and v > 0 for v in lengths):
            raise InputError(
                f"pixels {self.pixel}, bins of {self.bin_width} mm, source at {self.source}, detector at "
                f"{self.detector}: lengths must be positive and finite, the source outside the image"
            )
        if not self.angles or not np.isfinite([*self.angles, self.offset]).all():
            raise InputError("at least one view is needed, and every angle must be a finite number of degrees")
        if min(*self.shape, self.bins) < 1:
            raise InputError(f"an image {self.shape} and {self.bins} bins; each needs at least one")
        if self.beam == "fan-arc" and self.detector is not None and self.reach / self.detector >= math.pi / 2:
            raise InputError("the arc of the detector spans more than half a turn about the source; check the lengths")

    @property
    def corner(self) -> float:
        """Distance of the image's corners from the rotation centre, mm."""
        return math.hypot(self.shape[0] * self.pixel[0], self.shape[1] * self.pixel[1]) / 2

    @property
    def reach(self) -> float:
        """Distance of the detector's farther end from the ray through the centre, mm on the detector."""
        return self.bins * self.bin_width / 2 + abs(self.offset)

    @property
    def views(self) -> int:
        """Number of views."""
        return len(self.angles)

    @property
    def positions(self) -> Array:
        """Middles of the bins on the detector, mm, (bins,)."""
        return np.asarray((np.arange(self.bins) - (self.bins - 1) / 2) * self.bin_width + self.offset)

    def axes(self) -> tuple[Array, Array]:
        """Pixel centres about the rotation centre, mm: y of the rows, x of the columns."""
        y, x = ((np.arange(n) - (n - 1) / 2) * p for n, p in zip(self.shape, self.pixel, strict=True))
        return np.asarray(y), np.asarray(x)

    def to_dict(self) -> dict[str, Any]:
        """All numbers of the geometry, as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ProjectionGeometry:
        """The geometry that :meth:`to_dict` wrote; other keys are ignored; raises KeyError, TypeError or ValueError."""
        (rows, columns), (height, width) = values["shape"], values["pixel"]
        return cls(
            shape=(int(rows), int(columns)),
            pixel=(float(height), float(width)),
            angles=tuple(float(a) for a in values["angles"]),
            bins=int(values["bins"]),
            bin_width=float(values["bin_width"]),
            offset=float(values["offset"]),
            beam=values["beam"],
            source=None if values["source"] is None else float(values["source"]),
            detector=None if values["detector"] is None else float(values["detector"]),
        )


def build_matrix(geometry: ProjectionGeometry) -> scipy.sparse.csr_array:
    """The mean of the line integrals over each bin, mm, of each pixel: (view * bins, row * column), float32.

    A parallel ray's bin and pixel share exactly this area / bin width. In a fan the footprint of a pixel on the
    detector is the trapezoid between its four corners, with the area that the pixel has there (separable footprints:
    Long, Fessler and Balter, IEEE TMI 29, 2010). Raises :class:`InputError` when the matrix would be too large.
    """
    require_size(geometry)
    views = [_view(geometry, math.radians(angle)) for angle in geometry.angles]
    return scipy.sparse.csr_array(scipy.sparse.vstack(views, format="csr"))


def require_size(geometry: ProjectionGeometry) -> None:
    """Raise :class:`InputError` when the matrix would hold more than :data:`MAX_NONZEROS` entries."""
    height, width = geometry.pixel
    enlarged = 1.0 if geometry.source is None or geometry.detector is None else geometry.detector / geometry.source
    bins_a_pixel = 1 + 4 / math.pi * math.sqrt(height * width) * enlarged / geometry.bin_width
    estimate = geometry.shape[0] * geometry.shape[1] * geometry.views * bins_a_pixel
    if estimate > MAX_NONZEROS:
        raise InputError(
            f"{geometry.views} views of {geometry.shape[0]} x {geometry.shape[1]} pixels need a matrix of "
            f"{8e-9 * estimate:.1f} GB; take fewer views or larger pixels"
        )


def _view(g: ProjectionGeometry, angle: float) -> scipy.sparse.csr_array:
    """The rows of one view."""
    low, inner_low, inner_high, high, peak = _footprints(g, angle)
    start = g.positions[0] - g.bin_width / 2
    first = np.floor((low - start) / g.bin_width).astype(np.int64)
    count = int((np.floor((high - start) / g.bin_width).astype(np.int64) - first).max()) + 1
    pixel = np.arange(first.size, dtype=np.int32)
    rows, columns, values = [], [], []
    before = np.zeros(first.size)
    for k in range(count):
        after = _area_below(start + (first + k + 1) * g.bin_width, low, inner_low, inner_high, high) * peak
        value = ((after - before) / g.bin_width).astype(np.float32)
        kept = (value > 0) & (first + k >= 0) & (first + k < g.bins)
        rows.append((first + k)[kept].astype(np.int32))
        columns.append(pixel[kept])
        values.append(value[kept])
        before = after
    where = (np.concatenate(rows), np.concatenate(columns))
    return scipy.sparse.csr_array((np.concatenate(values), where), shape=(g.bins, first.size))


def _footprints(g: ProjectionGeometry, angle: float) -> tuple[Array, Array, Array, Array, Array]:
    """Of each pixel on the detector: the four corners in order, mm, and the line integral between the inner two, mm."""
    cos, sin = math.cos(angle), math.sin(angle)
    y, x = (a.ravel() for a in np.meshgrid(*g.axes(), indexing="ij"))
    height, width = g.pixel
    signs = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])[..., None] / 2
    corner_y, corner_x = y + signs[:, 0] * height, x + signs[:, 1] * width
    corners = np.sort(_on_detector(g, corner_x * cos + corner_y * sin, corner_y * cos - corner_x * sin), axis=0)
    low, inner_low, inner_high, high = corners
    mean_width = ((high - low) + (inner_high - inner_low)) / 2
    return low, inner_low, inner_high, high, _area(g, x * cos + y * sin, y * cos - x * sin) / mean_width


def _on_detector(g: ProjectionGeometry, across: Array, along: Array) -> Array:
    """Detector position, mm, of points at ``across`` the central ray and ``along`` it, mm from the centre."""
    if g.source is None or g.detector is None:
        return across
    if g.beam == "fan-flat":
        return g.detector * across / (along + g.source)
    return g.detector * np.arctan2(across, along + g.source)


def _area(g: ProjectionGeometry, across: Array, along: Array) -> Array:
    """Integral of a pixel's line integrals over the detector, mm^2: its area, enlarged as the fan spreads."""
    area = g.pixel[0] * g.pixel[1]
    if g.source is None or g.detector is None:
        return np.full_like(across, area)
    depth = along + g.source
    distance = np.hypot(across, depth)
    if g.beam == "fan-arc":
        return np.asarray(area * g.detector / distance)
    return np.asarray(area * g.detector * distance / depth**2)


def _area_below(u: Array, low: Array, inner_low: Array, inner_high: Array, high: Array) -> Array:
    """Area up to ``u`` of the trapezoid of height 1 over its four corners, mm."""
    tiny = np.finfo(np.float64).tiny
    rise = np.clip(u, low, inner_low) - low
    flat = np.clip(u, inner_low, inner_high) - inner_low
    fall = np.clip(u, inner_high, high) - inner_high
    up, down = np.maximum(inner_low - low, tiny), np.maximum(high - inner_high, tiny)
    return np.asarray(rise**2 / (2 * up) + flat + fall - fall**2 / (2 * down))
