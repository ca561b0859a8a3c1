"""Drawings of a page: a profile through an edge, and the residual by slice, coil or view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from voxprior.report.preview import Oriented
from voxprior.volume import Volume

INK = "#123456"
"""Stands for the colour of the page's text, which follows the reader's choice of light or dark."""
RESULT = "#2f86e0"
"""Colour of the result."""
OTHERS = ("#8a8f98", "#d98200", "#2ca36b", "#b35cc4")
"""Colours of what it is compared with, in order."""
REACH_MM = 25.0
"""Length of a profile on either side of the edge."""
INNER = 0.5
"""Middle part of the volume, along each axis, in which the edge is looked for."""

Array = NDArray[np.float32]


class Line(NamedTuple):
    """Values at places (mm) from an edge."""

    place: NDArray[np.float64]
    value: Array


def edge_profile(images: Mapping[str, Volume], std: Volume | None, axis: int | None = None) -> str:
    """An SVG of every image along one line through the steepest edge of the last, with its std.

    ``axis``: array axis of the last image along which the line runs, by default that of the steepest edge.
    """
    views = {title: Oriented.of(volume) for title, volume in images.items()}
    result = list(images.values())[-1]
    view = views[list(views)[-1]]
    along, point = _edge(view, None if axis is None else _world(result, axis))
    centre = [point[a] * view.spacing[a] + view.spacing[a] / 2 - view.edge(a) for a in range(3)]
    figure, axes = _axes("mm from the edge", "input units")
    for (title, one), colour in zip(views.items(), _colours(len(views)), strict=True):
        line = _line(one, centre, along)
        if one.spacing[along] > 1.5 * view.spacing[along]:
            axes.step(line.place, line.value, where="mid", color=colour, label=title, linewidth=1.3)
        else:
            axes.plot(line.place, line.value, color=colour, label=title, linewidth=1.6)
    if std is not None:
        spread = _line(Oriented.of(std), centre, along).value
        line = _line(view, centre, along)
        low, high = line.value - 1.645 * spread, line.value + 1.645 * spread
        axes.fill_between(line.place, low, high, color=RESULT, alpha=0.22, linewidth=0, label="90 %")
    _legend(axes)
    return _svg(figure)


def slice_profile(images: Mapping[str, Array], std: Array | None) -> str:
    """An SVG of ``images`` (y, x) along the row through the steepest edge of the last; places in voxels."""
    arrays = {title: np.asarray(image, np.float32) for title, image in images.items()}
    result = list(arrays.values())[-1]
    rows, columns = result.shape
    inner = np.zeros(result.shape, dtype=np.float32)
    r, c = (int(n * (1 - INNER) / 2) for n in (rows, columns))
    step = np.abs(np.diff(uniform_filter1d(result, 3, axis=0), axis=1))
    inner[r : rows - r, c : columns - c - 1] = step[r : rows - r, c : columns - c - 1]
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    figure, axes = _axes("voxels from the edge", "input units")
    place = np.arange(columns) - float(column)
    kept = np.abs(place) <= REACH_MM
    for (title, image), colour in zip(arrays.items(), _colours(len(arrays)), strict=True):
        axes.plot(place[kept], image[row][kept], color=colour, label=title, linewidth=1.6)
    if std is not None:
        low, high = result[row] - 1.645 * std[row], result[row] + 1.645 * std[row]
        axes.fill_between(place[kept], low[kept], high[kept], color=RESULT, alpha=0.22, linewidth=0, label="90 %")
    _legend(axes)
    return _svg(figure)


def residual_bars(residuals: Sequence[float], what: str) -> str:
    """An SVG with a bar for each of ``residuals`` (parts of the norm of the data), of ``what``: slice, coil, view."""
    figure, axes = _axes(what, "residual")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.bar(np.arange(len(residuals)), residuals, color=RESULT, width=0.8)
    axes.set_ylim(0, 1.1 * max(*residuals, 1e-12))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    axes.yaxis.get_offset_text().set_color(INK)
    return _svg(figure)


def dots(values: Sequence[float], across: str, up: str) -> str:
    """An SVG with a dot for each of ``values``, and a line at their median."""
    figure, axes = _axes(across, up)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.plot(np.arange(1, len(values) + 1), values, "o", color=RESULT, markersize=5)
    axes.axhline(float(np.median(values)), color=INK, linewidth=1, alpha=0.5)
    axes.set_ylim(0, 1.15 * max(*values, 1e-12))
    return _svg(figure)


def _world(volume: Volume, axis: int) -> int:
    """The patient axis (0 right, 1 front, 2 up) of an array axis."""
    code = volume.axcodes[axis]
    return next(world for world, pair in enumerate(("LR", "PA", "IS")) if code in pair)


def _edge(view: Oriented, axis: int | None) -> tuple[int, list[int]]:
    """The axis of the steepest edge in the middle of the volume, and the voxel before it."""
    best: tuple[float, int, list[int]] = (-1.0, 0, [0, 0, 0])
    inner = [slice(int(n * (1 - INNER) / 2), n - int(n * (1 - INNER) / 2)) for n in view.data.shape]
    core = np.ascontiguousarray(view.data[tuple(inner)], dtype=np.float32)
    for along in range(3) if axis is None else (axis,):
        if core.shape[along] < 2:
            continue
        smooth = core
        for other in {0, 1, 2} - {along}:
            smooth = uniform_filter1d(smooth, 3, axis=other)
        steep = np.abs(np.diff(smooth, axis=along)) / view.spacing[along]
        found = np.unravel_index(int(steep.argmax()), steep.shape)
        if float(steep[found]) > best[0]:
            point = [int(k) + part.start for k, part in zip(found, inner, strict=True)]
            best = float(steep[found]), along, point
    return best[1], best[2]


def _line(view: Oriented, centre: Sequence[float], along: int) -> Line:
    """The voxels of ``view`` along ``along`` through ``centre`` (mm from the middle), near it."""
    index: list[Any] = []
    for axis in range(3):
        place = int((centre[axis] + view.edge(axis)) // view.spacing[axis])
        index.append(slice(None) if axis == along else min(max(place, 0), view.data.shape[axis] - 1))
    steps = (np.arange(view.data.shape[along]) + 0.5) * view.spacing[along] - view.edge(along) - centre[along]
    kept = np.abs(steps) <= max(REACH_MM, 2 * view.spacing[along])
    return Line(steps[kept], view.data[tuple(index)][kept])


def _axes(across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.2, 2.7))
    figure.set_layout_engine("constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot(facecolor="none")
    axes.set_xlabel(across, color=INK)
    axes.set_ylabel(up, color=INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.grid(color=INK, alpha=0.12, linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def _colours(count: int) -> list[str]:
    """For so many lines, the last that of the result."""
    return [*(OTHERS[k % len(OTHERS)] for k in range(count - 1)), RESULT]


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, ncols=5, loc="lower left", bbox_to_anchor=(0, 1))


def _svg(figure: Figure) -> str:
    """The drawing as an element of a page: no XML head, text as text, its ink the colour of the text around it."""
    stream = StringIO()
    FigureCanvasSVG(figure)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "voxprior"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")
