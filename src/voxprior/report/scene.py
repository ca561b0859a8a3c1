"""Layers of one place, cut into pictures that a page lays over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, LinearSegmentedColormap
from numpy.typing import NDArray
from PIL import Image

from voxprior.report.preview import PLANES, Box, Oriented, Plane, box_of, thinned, window_of
from voxprior.volume import Volume

POSITIONS = 5
"""Cuts a plane."""
COVERED = 0.6
"""Part of what is shown, about its middle, that the cuts are spread over."""
BRIGHT = 0.15
"""Part of the window above which a voxel belongs to what is shown."""

Colours = Literal["grey", "spread", "signed"]
"""Intensities; a map from 0 up; a map about 0."""
Array = NDArray[np.float32]


class Layer(NamedTuple):
    """One of the pictures laid over each other: its title, its colours, and the values at both ends of them."""

    title: str
    colours: Colours
    low: float
    high: float

    @property
    def bar(self) -> bytes:
        """A PNG of the colours from ``low`` to ``high``, one pixel high."""
        return _png(np.linspace(self.low, self.high, 256, dtype=np.float32)[None], self)


class View(NamedTuple):
    """A plane: its name, the letters at left, right, top and bottom, its size in mm, and PNGs ``[cut][layer]``."""

    name: str
    letters: str
    width: float
    height: float
    cuts: tuple[tuple[bytes, ...], ...]


@dataclass(frozen=True, eq=False)
class Scene:
    """What a page shows of a result; ``figures``: drawings (SVG) with a sentence under each."""

    layers: tuple[Layer, ...]
    views: tuple[View, ...]
    figures: Mapping[str, str]


def volumes_scene(
    images: Mapping[str, Volume],
    maps: Mapping[str, tuple[Volume | None, Colours]],
    window: tuple[float, float] | None = None,
    figures: Mapping[str, str] | None = None,
) -> Scene:
    """``images`` by title, in one unit and about one centre, the last the result; ``maps`` of it with their colours.

    ``window``: values that are black and white, by default percentiles of the result. A map that is None is left out.
    """
    result = list(images.values())[-1]
    low, high = window_of(result) if window is None else window
    layers = [Layer(title, "grey", low, high) for title in images]
    views = [Oriented.of(volume) for volume in images.values()]
    reference = views[-1]
    for title, (volume, colours) in maps.items():
        if volume is not None:
            layers.append(_map_layer(title, colours, thinned(volume)))
            views.append(Oriented.of(volume))
    box = box_of(reference, low + BRIGHT * (high - low))
    planes = tuple(_view(plane, box, reference, views, layers) for plane in PLANES)
    return Scene(tuple(layers), planes, figures or {})


def slice_scene(
    images: Mapping[str, Array],
    maps: Mapping[str, tuple[Array | None, Colours]],
    figures: Mapping[str, str] | None = None,
) -> Scene:
    """One slice (y, x), row 0 at the top: ``images`` on the scale of the last, and ``maps`` on their own."""
    result = list(images.values())[-1]
    high = float(np.percentile(result, 99.7)) or 1.0
    layers = [Layer(title, "grey", 0.0, high) for title in images]
    arrays = list(images.values())
    for title, (array, colours) in maps.items():
        if array is not None:
            layers.append(_map_layer(title, colours, array))
            arrays.append(array)
    cut = tuple(_png(array, layer) for array, layer in zip(arrays, layers, strict=True))
    rows, columns = result.shape
    return Scene(tuple(layers), (View("slice", "", float(columns), float(rows), (cut,)),), figures or {})


def _map_layer(title: str, colours: Colours, data: Array) -> Layer:
    high = float(np.percentile(np.abs(data), 99.7)) or float(np.abs(data).max()) or 1.0
    return Layer(title, colours, -high if colours == "signed" else 0.0, high)


def _view(plane: Plane, box: Box, reference: Oriented, views: Sequence[Oriented], layers: Sequence[Layer]) -> View:
    low, high = box[plane.normal]
    middle, reach = (low + high) / 2, COVERED * (high - low) / 2
    cuts = []
    for position in np.linspace(middle - reach, middle + reach, POSITIONS):
        shown = (_sampled(view, plane, float(position), box, reference) for view in views)
        cuts.append(tuple(_png(image, layer) for image, layer in zip(shown, layers, strict=True)))
    size = [box[axis][1] - box[axis][0] for axis in (plane.across, plane.up)]
    return View(plane.name, plane.letters, size[0], size[1], tuple(cuts))


def _sampled(view: Oriented, plane: Plane, position: float, box: Box, reference: Oriented) -> Array:
    """The voxels of ``view`` at the places of the reference's, so that layers lie on each other pixel by pixel.

    Row 0 is the top; right and anterior are at the left.
    """
    image = view.cut(plane, position)
    for place, axis in enumerate((plane.up, plane.across)):
        step = reference.spacing[axis]
        centres = np.arange(box[axis][1] - step / 2, box[axis][0], -step)
        index = np.floor((centres + view.edge(axis)) / view.spacing[axis]).astype(int)
        image = np.take(image, np.clip(index, 0, image.shape[place] - 1), axis=place)
    return image


def _png(image: NDArray[Any], layer: Layer) -> bytes:
    """A PNG with a palette; values beyond the ends of the layer take the colours there."""
    scaled = (np.asarray(image, np.float64) - layer.low) / (layer.high - layer.low)
    picture = Image.fromarray((np.clip(scaled, 0, 1) * 255).round().astype(np.uint8), "L" if _grey(layer) else None)
    if not _grey(layer):
        picture.putpalette(_palette(layer.colours))
    stream = BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _grey(layer: Layer) -> bool:
    return layer.colours == "grey"


@cache
def _palette(colours: Colours) -> bytes:
    signed = ["#8fd3ff", "#1f6fd0", "#0d1b33", "#0b0b0d", "#331507", "#d8601a", "#ffd9a0"]
    chosen: Colormap = colormaps["magma"]
    if colours == "signed":  # dark in the middle, so that it reads as the other map does: bright is much
        chosen = LinearSegmentedColormap.from_list("signed", signed)
    return bytes((chosen(np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8).tobytes())
