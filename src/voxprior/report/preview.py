"""One picture of a restoration: three planes, as measured, by cubic interpolation, restored, and how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from voxprior.volume import SliceGeometry, Volume

DPI = 110
COLUMN = 3.1
"""Width of a column, inches."""
EDGE, TOP, GUTTER, BAR = 0.12, 0.62, 0.06, 0.78
"""Margins, the strip of titles, the space between panels, and the strip of the colour bar, inches."""
MARGIN_MM = 6.0
DARK, PALE, DIM = "#101114", "#e8e8ea", "#9a9ca3"

Array = NDArray[np.float32]


class Plane(NamedTuple):
    """A plane through the volume: what lies across and up, and the letters at left, right, top and bottom."""

    name: str
    normal: int
    across: int
    up: int
    letters: str


PLANES = (
    Plane("sagittal", 0, 1, 2, "APSI"),
    Plane("coronal", 1, 0, 2, "RLSI"),
    Plane("axial", 2, 0, 1, "RLAP"),
)
"""As radiologists look: the patient's right at the left, the nose at the left, the crown at the top."""


@dataclass(frozen=True, eq=False)
class Oriented:
    """A volume with its axes as near as they can be to right, anterior and superior, and its edges in mm.

    The middle of the volume is the origin: slices and fine grid share it.
    """

    data: Array
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, volume: Volume) -> Oriented:
        """Turn and flip ``volume``; nothing is resampled."""
        order = [next(a for a in range(3) if volume.axcodes[a] in pair) for pair in ("LR", "PA", "IS")]
        data = volume.data.transpose(order)
        flipped = [world for world, axis in enumerate(order) if volume.axcodes[axis] in "LPI"]
        spacing = volume.spacing
        return cls(np.flip(data, tuple(flipped)), (spacing[order[0]], spacing[order[1]], spacing[order[2]]))

    def edge(self, axis: int) -> float:
        """Half the extent along ``axis``, mm."""
        return float(self.data.shape[axis] * self.spacing[axis] / 2)

    def cut(self, plane: Plane, position: float) -> Array:
        """The voxels of ``plane`` at ``position`` (mm from the middle), rows upwards, columns across."""
        index = int((position + self.edge(plane.normal)) // self.spacing[plane.normal])
        index = min(max(index, 0), self.data.shape[plane.normal] - 1)
        image: Array = np.take(self.data, index, axis=plane.normal).T  # the axis across comes before the one up
        return image


def preview(measurement: Volume, geometry: SliceGeometry, cubic: Volume, image: Volume, std: Volume | None) -> bytes:
    """A PNG of ``image`` beside the ``measurement`` (blocks), ``cubic`` and its ``std``, all in one unit and place."""
    caption = (
        f"slices {geometry.thickness:.3g} mm thick, {geometry.spacing:.3g} mm apart, "
        f"restored every {geometry.fine_spacing:.3g} mm"
    )
    return beside([("measured", measurement), ("cubic", cubic), ("restored", image)], std, caption)


def beside(
    images: Sequence[tuple[str, Volume]], std: Volume | None, caption: str, window: tuple[float, float] | None = None
) -> bytes:
    """A PNG of titled ``images`` of one place, in one unit, and of the ``std`` of the last, by three planes.

    ``window``: the values that are black and white; by default percentiles of the last image.
    """
    views = [(title, Oriented.of(volume)) for title, volume in images]
    low, high = window_of(images[-1][1]) if window is None else window
    box = box_of(views[-1][1], low + 0.15 * (high - low))
    layout = _Layout(box, len(images), std is not None)
    for column, (title, view) in enumerate(views):
        for row, plane in enumerate(PLANES):
            axes = layout.panel(row, column)
            _show(axes, view, plane, box, {"cmap": "gray", "vmin": low, "vmax": high})
            if column == 0:
                _letters(axes, plane.letters)
        layout.title(column, title)
    if std is not None:
        _uncertainty(layout, Oriented.of(std), box, float(np.percentile(thinned(std), 99.7)) or 1.0)
    layout.caption(caption)
    return layout.png()


Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""Lower and upper bound of what is shown along each patient axis, mm from the middle."""


class _Layout:
    """Panels of true proportions: a column is as wide as the widest plane, a row as high as its plane."""

    def __init__(self, box: Box, images: int, bar: bool) -> None:
        size = [high - low for low, high in box]
        self.box = box
        self.scale = (COLUMN - GUTTER) / max(size[plane.across] for plane in PLANES)
        self.heights = [size[plane.up] * self.scale for plane in PLANES]
        self.widths = [size[plane.across] * self.scale for plane in PLANES]
        self.images, self.bar = images, bar
        self.width = 2 * EDGE + images * COLUMN + (COLUMN + BAR if bar else 0)
        self.height = TOP + EDGE + sum(self.heights) + GUTTER * len(PLANES)
        self.figure = Figure(figsize=(self.width, self.height), dpi=DPI, facecolor=DARK)

    def rectangle(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a panel, inches."""
        left = EDGE + column * COLUMN + (COLUMN - self.widths[row]) / 2
        bottom = self.height - TOP - sum(self.heights[: row + 1]) - GUTTER * row
        return left, bottom, self.widths[row], self.heights[row]

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Axes at a place in inches."""
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height),
            facecolor="black",
        )

    def panel(self, row: int, column: int) -> Axes:
        """Axes of one panel, without a frame."""
        axes = self.axes(*self.rectangle(row, column))
        axes.set_axis_off()
        return axes

    def title(self, column: int, text: str) -> None:
        """A column's title."""
        self._text(EDGE + (column + 0.5) * COLUMN, self.height - TOP + 0.08, text, PALE, 11)

    def caption(self, text: str) -> None:
        """The line above all."""
        self._text(EDGE + (self.images + self.bar) * COLUMN / 2, self.height - 0.22, text, DIM, 8)

    def _text(self, x: float, y: float, text: str, colour: str, size: int) -> None:
        self.figure.text(x / self.width, y / self.height, text, color=colour, fontsize=size, ha="center", va="bottom")

    def png(self) -> bytes:
        """The picture."""
        stream = BytesIO()
        FigureCanvasAgg(self.figure)
        self.figure.savefig(stream, format="png", dpi=DPI, facecolor=DARK, metadata={"Software": "Voxprior"})
        return stream.getvalue()


def _uncertainty(layout: _Layout, view: Oriented, box: Box, high: float) -> None:
    """The last column, with a colour bar of its own."""
    for row, plane in enumerate(PLANES):
        axes = layout.panel(row, layout.images)
        shown = _show(axes, view, plane, box, {"cmap": "magma", "vmin": 0.0, "vmax": high})
    layout.title(layout.images, "uncertainty (std)")
    _, bottom, _, height = layout.rectangle(1, layout.images)
    bar_axes = layout.axes(EDGE + (layout.images + 1) * COLUMN + 0.08, bottom + 0.15 * height, 0.12, 0.7 * height)
    bar = layout.figure.colorbar(shown, cax=bar_axes)
    bar_axes.spines[:].set_visible(False)
    bar.ax.tick_params(colors=DIM, labelsize=7, length=2)
    bar.ax.set_title("input\nunits", color=DIM, fontsize=7)


def _show(axes: Axes, view: Oriented, plane: Plane, box: Box, style: dict[str, Any]) -> Any:
    across, up = view.edge(plane.across), view.edge(plane.up)
    middle = sum(box[plane.normal]) / 2
    image = view.cut(plane, middle)
    shown = axes.imshow(
        image,
        origin="lower",
        extent=(-across, across, -up, up),
        interpolation="nearest",
        aspect="auto",
        **style,
    )
    low, high = box[plane.across]
    axes.set_xlim(high, low)  # right and anterior are at the left
    axes.set_ylim(box[plane.up])
    return shown


def _letters(axes: Axes, letters: str) -> None:
    places = ((0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center"), (0.5, 0.98, "center", "top"))
    for letter, (x, y, ha, va) in zip(letters, (*places, (0.5, 0.02, "center", "bottom")), strict=True):
        text = axes.text(x, y, letter, color=PALE, fontsize=9, ha=ha, va=va, transform=axes.transAxes)
        text.set_path_effects([withStroke(linewidth=2, foreground="black")])


def thinned(volume: Volume) -> Array:
    """A part of the voxels of ``volume`` that is enough for percentiles."""
    step = max(1, int(np.cbrt(volume.data.size / 500_000)))
    return volume.data[::step, ::step, ::step]


def window_of(image: Volume) -> tuple[float, float]:
    """The values of ``image`` that are shown black and white."""
    low, high = (float(v) for v in np.percentile(thinned(image), (1, 99.7)))
    return (low, high) if high > low else (low, low + 1.0)


def box_of(view: Oriented, level: float) -> Box:
    """Bounds of what is brighter than ``level``, with a margin, inside the volume."""
    bright = view.data > level
    bounds = []
    for axis in range(3):
        # a row counts when more than one in 500 of its voxels is bright: specks of noise in the air do not
        share = bright.mean(axis=tuple(a for a in range(3) if a != axis))
        rows = np.flatnonzero(share > 0.002)
        edge, step = view.edge(axis), view.spacing[axis]
        if len(rows) < 2:
            bounds.append((-edge, edge))
            continue
        low, high = rows[0] * step - edge - MARGIN_MM, (rows[-1] + 1) * step - edge + MARGIN_MM
        bounds.append((max(-edge, float(low)), min(edge, float(high))))
    return bounds[0], bounds[1], bounds[2]
