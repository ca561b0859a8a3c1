"""The simulated weaker field: what it changes, by how much, and what it leaves alone."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from pydantic import ValidationError

from voxprior.operators.decimation import Refinement, decimate, decimation
from voxprior.operators.field import BRIGHTEST, FieldSettings, commonest, simulate_field

STILL = {"blur": (1e-6, 1e-6), "snr": (1e9, 1e9)}
"""No blur and no noise: the curve alone."""


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _tissues() -> np.ndarray:
    """Air, and blocks of three tissues of which the middle one is the commonest."""
    image = np.zeros((24, 20, 18), np.float32)
    image[2:22, 2:18, 2:16] = 0.6
    image[4:9, 4:9, 4:12] = 0.95
    image[12:17, 4:9, 4:12] = 0.3
    return image


@pytest.mark.parametrize("seed", range(5))
def test_tissues_come_nearer_to_the_commonest(seed: int) -> None:
    """With a smooth curve each contrast is the stated part of what it was; air and the commonest tissue stay."""
    image = _tissues()
    assert commonest(image) == pytest.approx(0.6, abs=0.02)
    found = simulate_field(image, _rng(seed), FieldSettings(contrast=(0.7, 0.7), roughness=0.0, **STILL))
    kept = commonest(image)
    for level in (0.3, 0.6, 0.95):
        assert found[image == np.float32(level)] == pytest.approx(kept + 0.7 * (level - kept), abs=1e-4)
    assert np.abs(found[image == 0]).max() < 1e-6


@pytest.mark.parametrize("seed", range(20))
def test_the_curve_rises_and_joins_air(seed: int) -> None:
    """Two tissues never change places, bright vessels included, and nothing jumps."""
    ramp = np.linspace(0, BRIGHTEST + 0.5, 4001).reshape(-1, 1, 1)
    # A single column has a flat histogram; a block of one tissue decides which is the commonest.
    image = np.concatenate([ramp, np.full((4001, 1, 1), 0.55)], axis=1)
    found = simulate_field(image, _rng(seed), FieldSettings(roughness=0.4, blur=(1e-6, 1e-6), snr=(1e9, 1e9)))[:, 0, 0]
    steps = np.diff(found)
    assert steps.min() > -1e-6 and steps.max() < 0.02
    assert abs(found[0]) < 1e-6


def test_noise_comes_after_the_measurement_and_grows_as_the_field_falls() -> None:
    """The standard deviation on the coarse grid is reference / (field snr), not averaged down."""
    image = np.full((32, 32, 32), 0.5, np.float32)
    axes = decimation((16, 16, 32), (2.0, 2.0, 1.0), Refinement((0, 1), 2.0))
    settings = FieldSettings(contrast=(1, 1), roughness=0, blur=(0.5, 0.5), snr=(50, 50))
    found = simulate_field(image, _rng(), settings, partial(decimate, axes=axes))
    assert found.shape == (16, 16, 32) and found.dtype == np.float32
    assert found.std() == pytest.approx(2 / 50, rel=0.05)
    full = simulate_field(image, _rng(), settings.model_copy(update={"field": 3.0}))
    assert full.std() == pytest.approx(1 / 50, rel=0.05)


def test_blur_has_the_stated_width() -> None:
    """A point spreads to a Gaussian of that full width at half maximum, and keeps its sum."""
    image = np.zeros((21, 21, 21))
    image[10, 10, 10] = 0.05  # darker than any tissue: the curve leaves it alone
    found = simulate_field(image, _rng(), FieldSettings(blur=(3.0, 3.0), snr=(1e9, 1e9)))
    line = found.sum(axis=(1, 2)) / found.sum()
    place = np.arange(21) - 10.0
    assert np.sqrt(line @ place**2) * np.sqrt(8 * np.log(2)) == pytest.approx(3.0, rel=0.02)
    assert found.sum() == pytest.approx(0.05, rel=1e-3)


def test_the_same_numbers_give_the_same_scan_and_others_another() -> None:
    """Seeded by the generator that is passed, and by nothing else."""
    image = _tissues()
    first, again, other = (simulate_field(image, _rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    with pytest.raises(ValidationError):
        FieldSettings(tesla=7)


def test_an_empty_image_is_noise() -> None:
    """A crop of air has no commonest tissue: nothing fails, nothing appears."""
    found = simulate_field(np.zeros((8, 8, 8)), _rng())
    assert commonest(np.zeros((8, 8, 8))) == 0 and abs(float(found.mean())) < 0.02
