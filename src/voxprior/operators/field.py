"""A scan at 3 T made to look as if at 1.5 T: a simulation, from which scans at 1.5 T differ in more ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter, gaussian_filter1d

Image = NDArray[np.float32]
Range = tuple[float, float]

DARKEST, BRIGHTEST, KNOTS = 0.15, 1.5, 10
"""Brightness of the darkest tissue, of the last knot of a curve of contrast, and knots between them."""
BINS = 64
"""Of the histogram whose peak is the commonest tissue."""
FWHM = float(np.sqrt(8 * np.log(2)))
"""Full width at half maximum of a Gaussian of standard deviation 1."""


class FieldSettings(BaseModel):
    """The simulated change of field strength; of each range a value is drawn a scan.

    ``contrast``: distances of tissues from the commonest one, as a part of those at 3 T: relaxation times of tissues
    are nearer to each other. ``roughness``: standard deviation of the logarithm of the curve's slope, from knot to
    knot. ``blur``: FWHM in voxels of the image, along each axis, of longer echo spacings. ``snr``: of tissue of
    brightness 1, at ``reference`` tesla; the signal grows as the field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    contrast: Range = (0.65, 0.9)
    roughness: float = Field(default=0.15, ge=0)
    blur: Range = (0.3, 1.0)
    snr: Range = (40.0, 100.0)
    field: float = Field(default=1.5, gt=0)
    reference: float = Field(default=3.0, gt=0)


def simulate_field(
    image: NDArray[Any],
    rng: np.random.Generator,
    settings: FieldSettings | None = None,
    measure: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> Image:
    """``measure(blur(curve(image))) + noise``, on the priors' scale: tissue up to about 1, air 0; any shape.

    ``measure``: the decimation, after which the noise comes; none by default. The noise is white and Gaussian with
    standard deviation ``reference / (field snr)``. Brightness that is 0 or less stays what it is.
    """
    settings = FieldSettings() if settings is None else settings
    changed = _compressed(np.asarray(image, dtype=np.float64), rng, settings)
    blurred = gaussian_filter(changed, rng.uniform(*settings.blur) / FWHM)
    measured = blurred if measure is None else measure(blurred)
    noise = settings.reference / settings.field / rng.uniform(*settings.snr)
    return np.asarray(measured + noise * rng.standard_normal(measured.shape), dtype=np.float32)


def commonest(image: NDArray[Any]) -> float:
    """Brightness of the commonest tissue of ``image``, the peak of a smooth histogram; 0 where there is no tissue."""
    tissue = image[(image > DARKEST) & (image < BRIGHTEST)]
    if tissue.size == 0:
        return 0.0
    counts, edges = np.histogram(tissue, BINS, (DARKEST, BRIGHTEST))
    peak = int(np.argmax(gaussian_filter1d(counts.astype(np.float64), 2.0)))
    return float((edges[peak] + edges[peak + 1]) / 2)


def _compressed(image: NDArray[np.float64], rng: np.random.Generator, settings: FieldSettings) -> NDArray[np.float64]:
    """``image`` through a smooth, rising curve that keeps the commonest tissue and air, others nearer to the former."""
    part = rng.uniform(*settings.contrast)
    rough = np.exp(settings.roughness * rng.standard_normal(KNOTS - 1))
    kept = commonest(image)
    if kept == 0:
        return image
    knots = np.linspace(DARKEST, BRIGHTEST, KNOTS)
    steps = np.concatenate([[0.0], np.cumsum(part * rough * np.diff(knots))])
    values = kept + steps - np.interp(kept, knots, steps)
    # A dark tissue that rough slopes brought below air would turn the curve round.
    values = values + max(0.0, DARKEST / 2 - values[0]) * np.linspace(1, 0, KNOTS)
    curve = PchipInterpolator(np.concatenate([[0.0], knots]), np.concatenate([[0.0], values]))
    rest = image - BRIGHTEST
    mapped = np.where(rest > 0, values[-1] + part * rest, curve(np.clip(image, 0, BRIGHTEST)))
    return np.asarray(np.where(image > 0, mapped, image))
