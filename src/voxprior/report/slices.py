"""Pictures of volumes alone: the middle slices of the three planes, as radiologists look at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from voxprior.report.preview import DARK, DPI, PALE, PLANES, Oriented, Plane
from voxprior.volume import Volume, axis_codes

COLUMN = 2.6
"""Width of a picture, inches."""
WORDS = ("LR", "PA", "IS")
"""Codes of the directions along each world axis."""

Array = NDArray[np.float32]


class Panel(NamedTuple):
    """A title, an image whose rows go up and whose columns go from left to right, and the height of a pixel."""

    title: str
    image: Array
    aspect: float


def planes_picture(volumes: Mapping[str, Volume]) -> bytes:
    """A PNG with a row a volume, under its title: sagittal, coronal and axial slices through the middle."""
    rows = []
    for title, volume in volumes.items():
        view = Oriented.of(volume)
        rows.append([_panel(title, plane, view.cut(plane, 0.0), view.spacing) for plane in PLANES])
    return _draw(rows)


def slice_picture(image: Array) -> bytes:
    """A PNG of one slice (y, x) as it is stored, row 0 at the top."""
    return _draw([[Panel("", image[::-1], 1.0)]])


def slices_picture(slices: Sequence[Array], affine: NDArray[np.float64]) -> bytes:
    """A PNG of three slices, the one normal to each array axis of a grid with this 4 x 4 affine."""
    codes = axis_codes(affine)
    order = [next(a for a in range(3) if codes[a] in pair) for pair in WORDS]
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    spacing = (float(steps[order[0]]), float(steps[order[1]]), float(steps[order[2]]))
    shown = []
    for plane in PLANES:
        rest = [a for a in range(3) if a != order[plane.normal]]
        image = slices[order[plane.normal]]
        for axis, place in zip(rest, (0, 1), strict=True):
            image = np.flip(image, place) if codes[axis] in "LPI" else image
        image = image.T if rest[0] == order[plane.across] else image  # rows go up, columns across
        shown.append(_panel("", plane, image, spacing))
    return _draw([shown])


def _panel(title: str, plane: Plane, image: Array, spacing: tuple[float, float, float]) -> Panel:
    """A plane as radiologists see it: right and anterior are at the left."""
    return Panel(f"{title} {plane.name}".strip(), image[:, ::-1], spacing[plane.up] / spacing[plane.across])


def _draw(rows: Sequence[Sequence[Panel]]) -> bytes:
    heights = [max(p.image.shape[0] * p.aspect / p.image.shape[1] for p in row) for row in rows]
    columns = max(map(len, rows))
    figure = Figure(figsize=(columns * COLUMN, COLUMN * sum(heights) + 0.3 * len(rows)), dpi=DPI, facecolor=DARK)
    figure.set_layout_engine("constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for places, row in zip(grid, rows, strict=True):
        low, high = np.percentile(np.concatenate([panel.image.ravel() for panel in row]), [0.5, 99.7])
        style = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-12), "origin": "lower"}
        for axes, panel in zip(places, row, strict=True):
            axes.imshow(panel.image, aspect=panel.aspect, **style)
            axes.set_axis_off()
            axes.set_title(panel.title, color=PALE, fontsize=8)
    stored = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stored, format="png", facecolor=DARK, metadata={"Software": "Voxprior"})
    return stored.getvalue()
