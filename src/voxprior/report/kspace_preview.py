"""One picture of a reconstruction: zero-filled, reconstructed, how sure, and what of the data is not explained."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from voxprior.report.preview import DARK, DIM, DPI, PALE

PANEL = 3.0
"""Width of a panel, inches."""
EDGE, TOP, BAR, GUTTER = 0.12, 0.5, 0.62, 0.08
"""Margins, the strip of titles, the space of a colour bar, and between panels, inches."""
TALLEST = 1.6
"""Height over width of a panel at most."""

Complex = NDArray[np.complexfloating[Any, Any]]


def kspace_preview(
    plain: Complex, image: Complex, unexplained: NDArray[np.float32], std: NDArray[np.float32] | None
) -> bytes:
    """A PNG of a slice: magnitudes of ``plain`` and ``image`` on one scale, ``std`` and ``unexplained`` on their own.

    All (y, x), in one unit; ``std`` None leaves its panel out.
    """
    high = float(np.percentile(np.abs(image), 99.7)) or 1.0
    panels: list[tuple[str, NDArray[Any], str, float]] = [
        ("zero-filled", np.abs(plain), "gray", high),
        ("reconstructed", np.abs(image), "gray", high),
    ]
    if std is not None:
        panels.append(("uncertainty (std)", std, "magma", float(np.percentile(std, 99.7)) or high))
    panels.append(("data not explained", unexplained, "magma", float(unexplained.max()) or high))
    height = PANEL * min(image.shape[0] / image.shape[1], TALLEST)
    coloured = sum(colours != "gray" for _, _, colours, _ in panels)
    size = (2 * EDGE + len(panels) * (PANEL + GUTTER) + coloured * BAR, height + TOP + EDGE)
    figure = Figure(figsize=size, dpi=DPI, facecolor=DARK)
    left = EDGE
    for title, data, colours, top in panels:
        axes = figure.add_axes((left / size[0], EDGE / size[1], PANEL / size[0], height / size[1]), facecolor="black")
        axes.set_axis_off()
        shown = axes.imshow(data, cmap=colours, vmin=0.0, vmax=top, interpolation="nearest", aspect="auto")
        middle = (left + PANEL / 2) / size[0]
        figure.text(middle, 1 - (TOP - 0.1) / size[1], title, color=PALE, fontsize=11, ha="center", va="bottom")
        left += PANEL + GUTTER
        if colours != "gray":
            place = (left / size[0], (EDGE + 0.1 * height) / size[1], 0.12 / size[0], 0.8 * height / size[1])
            bar_axes = figure.add_axes(place)
            bar = figure.colorbar(shown, cax=bar_axes)
            bar_axes.spines[:].set_visible(False)
            bar.ax.tick_params(colors=DIM, labelsize=7, length=2)
            left += BAR
    stream = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png", dpi=DPI, facecolor=DARK, metadata={"Software": "Voxprior"})
    return stream.getvalue()
