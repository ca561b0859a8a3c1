"""Random contrasts, so that one prior serves scanners and sequences that it has not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.ndimage import gaussian_filter

Image = NDArray[np.float32]


class ContrastConfig(BaseModel):
    """Probability of each change of contrast; the first three exclude each other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gamma: float = 0.35
    monotone: float = 0.12
    non_monotone: float = 0.12
    bias: float = 0.3


def contrast(image: Image, rng: np.random.Generator, config: ContrastConfig) -> Image:
    """Return ``image`` (slices, rows, columns) >= 0 with another contrast and brightness, zero staying zero."""
    u = rng.random()
    if u < config.gamma:
        image = np.power(np.maximum(image, 0), np.float32(np.exp(rng.uniform(-0.45, 0.45))))
    elif u < config.gamma + config.monotone:
        image = _mapped(image, np.concatenate([[0], np.cumsum(rng.exponential(size=7))]))
    elif u < config.gamma + config.monotone + config.non_monotone:
        image = _mapped(image, np.concatenate([[0], rng.uniform(0.05, 1, size=7)]))
    if rng.random() < config.bias:
        image = image * _bias(image.shape, rng)
    return np.asarray(image * np.float32(rng.uniform(0.85, 1.15)), dtype=np.float32)


def density(image: Image, rng: np.random.Generator) -> Image:
    """Return a CT ``image`` (multiples of the attenuation of water) with other densities: other tissues, other spectra.

    Every other image is left alone but for some percent of brightness; air stays air.
    """
    if rng.random() < 0.5:
        knots = np.array([0, 0.3, 0.85, 1.0, 1.08, 1.3, 2.0, 3.0])
        steps = np.diff(knots) * np.exp(0.5 * rng.standard_normal(len(knots) - 1))
        values = np.concatenate([[0], np.cumsum(steps)])
        image = np.interp(image, knots, values / np.interp(1.0, knots, values))
    return np.asarray(image * np.float32(rng.uniform(0.94, 1.06)), dtype=np.float32)


def paint(labels: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Give every tissue label a random brightness and texture, then blur as a scanner does."""
    levels = rng.uniform(0.05, 1, size=256).astype(np.float32)
    levels[0] = 0
    rough = rng.uniform(0, 0.06, size=256).astype(np.float32)
    index = labels.astype(np.int64)
    painted = levels[index] + rough[index] * rng.standard_normal(labels.shape, dtype=np.float32)
    painted[index == 0] = 0
    return np.asarray(gaussian_filter(np.maximum(painted, 0), rng.uniform(0.3, 0.7)), dtype=np.float32)


def _mapped(image: Image, values: NDArray[np.float64]) -> Image:
    knots = np.linspace(0, 1.3, len(values))
    result = np.interp(image, knots, values).astype(np.float32)
    foreground = result[image > 0.1]
    if foreground.size <= 50:
        return image
    return np.asarray(result / max(float(np.percentile(foreground, 99)), 1e-3), dtype=np.float32)


def _bias(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    field = np.zeros((1, 1, 1), dtype=np.float32)
    for axis, n in enumerate(shape):
        wave = np.cos(np.linspace(0, np.pi * rng.uniform(0.2, 1.2), n) + rng.uniform(0, 2 * np.pi))
        field = field + (0.15 * rng.standard_normal() * wave).astype(np.float32).reshape(
            [-1 if a == axis else 1 for a in range(3)]
        )
    return np.asarray(np.exp(field), dtype=np.float32)
