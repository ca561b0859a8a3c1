"""Pictures of an evaluation: the figures of a folder, and slices that have no truth to be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from voxprior.evaluate.recon.folders import Row

DPI = 110
COLUMNS = (("psnr", "PSNR, dB"), ("ssim", "SSIM"), ("nmse", "NMSE"))
WINDOW, SPREAD_WINDOW = 99.0, 99.5
"""Percentiles that are white: of the magnitude, and of the uncertainty."""
RESIDUAL_GAIN = 50.0
"""What the data contain and the image does not explain is shown so much brighter than the image."""

Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Looked:
    """A reconstruction to look at, magnitudes (y, x): ``image``, its ``std`` or None, and the ``unexplained`` part.

    ``caption``: a line of figures.
    """

    label: str
    image: Image
    std: Image | None
    unexplained: Image
    caption: str


def draw_scores(rows: Sequence[Row], path: Path) -> None:
    """A dot for each volume in a panel each for PSNR, SSIM and NMSE, whole and in the object, with their medians."""
    figure = Figure(figsize=(9.0, 3.2), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, title) in zip(figure.subplots(1, len(COLUMNS)), COLUMNS, strict=True):
        for place, suffix in enumerate(("", "_object")):
            values = np.array([getattr(row, name + suffix) for row in rows])
            values = values[np.isfinite(values)]
            # A spread across the column that depends on the order of the files alone, so that dots do not hide dots.
            across = place + 0.5 * ((np.arange(len(values)) * 0.618) % 1 - 0.5)
            axes.plot(across, values, "o", markersize=3, alpha=0.6)
            if values.size:
                axes.hlines(np.median(values), place - 0.3, place + 0.3, colors="black")
        axes.set_xticks([0, 1], ["whole", "object"])
        axes.set_xlim(-0.5, 1.5)
        axes.set_title(title, fontsize=10)
    figure.suptitle(f"{len(rows)} volumes; line: median", fontsize=9)
    figure.savefig(path)


def draw_slices(title: str, shown: Sequence[Looked], path: Path) -> None:
    """A row for each reconstruction: image, uncertainty, and what of the data it does not explain (much brightened)."""
    height, width = shown[0].image.shape
    white = float(np.percentile(shown[-1].image, WINDOW)) or 1.0
    spreads = [float(np.percentile(one.std, SPREAD_WINDOW)) for one in shown if one.std is not None]
    figure = Figure(figsize=(9.0, 0.4 + len(shown) * (3.0 * height / width + 0.3)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(shown), 3, squeeze=False)
    for axes, one in zip(panels, shown, strict=True):
        images = (one.image, one.std, RESIDUAL_GAIN * one.unexplained)
        tops = (white, max(spreads, default=1.0), white)
        titles = (f"{one.label}: {one.caption}", "uncertainty (std)", f"unexplained, x{RESIDUAL_GAIN:g}")
        for panel, image, top, words in zip(axes, images, tops, titles, strict=True):
            panel.set_axis_off()
            if image is None:
                continue
            style: dict[str, Any] = {"cmap": "magma" if words.startswith("unc") else "gray", "vmin": 0, "vmax": top}
            panel.imshow(image, interpolation="nearest", **style)
            panel.set_title(words, fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path)
