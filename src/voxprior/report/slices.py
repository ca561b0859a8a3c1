"""Pictures of volumes alone: the middle slices of the three planes, as radiologists look at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

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


def planes_picture(volumes: Mapping[str, Volume]) -> bytes:
    """A PNG with a row a volume, under its title: sagittal, coronal and axial slices through the middle."""
    rows = {}
    for title, volume in volumes.items():
        view = Oriented.of(volume)
        rows[title] = [(plane, view.cut(plane, 0.0), _aspect(plane, view.spacing)) for plane in PLANES]
    return _draw(rows)


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
        shown.append((plane, image, _aspect(plane, spacing)))
    return _draw({"": shown})


def _aspect(plane: Plane, spacing: tuple[float, float, float]) -> float:
    return spacing[plane.up] / spacing[plane.across]


def _draw(rows: Mapping[str, Sequence[tuple[Plane, Array, float]]]) -> bytes:
    heights = [max(image.shape[0] * aspect / image.shape[1] for _, image, aspect in row) for row in rows.values()]
    figure = Figure(figsize=(3 * COLUMN, COLUMN * sum(heights) + 0.3 * len(rows)), dpi=DPI, facecolor=DARK)
    figure.set_layout_engine("constrained")
    grid = figure.subplots(len(rows), 3, squeeze=False, height_ratios=heights)
    for axes, (title, row) in zip(grid, rows.items(), strict=True):
        everything = np.concatenate([image.ravel() for _, image, _ in row])
        low, high = np.percentile(everything, [0.5, 99.7])
        for panel, (plane, image, aspect) in zip(axes, row, strict=True):
            seen = image[:, ::-1]  # right and anterior are at the left
            panel.imshow(seen, cmap="gray", vmin=low, vmax=max(high, low + 1e-12), origin="lower", aspect=aspect)
            panel.set_axis_off()
            panel.set_title(f"{title} {plane.name}".strip(), color=PALE, fontsize=8)
    stored = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stored, format="png", facecolor=DARK, metadata={"Software": "Voxprior"})
    return stored.getvalue()
