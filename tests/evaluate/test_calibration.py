"""Coverage against Gaussians whose answer is known."""

import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.evaluate.calibration import LEVELS, calibrate, half_width

SHAPE = (50, 50, 40)
EVERYWHERE = np.ones(SHAPE, dtype=bool)
TOLERANCE = 4 * 0.5 / np.sqrt(np.prod(SHAPE))
"""Four standard errors of a share of independent voxels."""


@pytest.mark.parametrize("count", [2, 8])
def test_intervals_of_few_samples_cover_what_they_say(count):
    """Eight exchangeable Gaussian samples with mean +- z s would cover 46/73/84 % where 50/80/90 % are stated."""
    rng = np.random.default_rng(count)
    scale = rng.uniform(0.5, 3, SHAPE)
    truth = scale * rng.standard_normal(SHAPE)
    samples = scale * rng.standard_normal((count, *SHAPE))
    found = calibrate(samples.mean(0), samples.std(0, ddof=1), truth, EVERYWHERE, count)
    for level in LEVELS:
        assert found.coverage[f"{level:g}"] == pytest.approx(level, abs=TOLERANCE)


def test_a_std_of_the_error_itself_uses_the_normal_quantile():
    """The one-call std claims the size of the error, without a factor for few samples."""
    rng = np.random.default_rng(0)
    std = rng.uniform(0.5, 3, SHAPE)
    found = calibrate(np.zeros(SHAPE), std, std * rng.standard_normal(SHAPE), EVERYWHERE)
    for level in LEVELS:
        assert found.coverage[f"{level:g}"] == pytest.approx(level, abs=TOLERANCE)
    assert found.ratio == pytest.approx(1.0, abs=0.02)


def test_a_std_that_is_twice_too_large_is_found_out():
    """Coverage alone could be met by luck: the ratio says by how much the size is off."""
    rng = np.random.default_rng(0)
    found = calibrate(np.zeros(SHAPE), 2 * np.ones(SHAPE), rng.standard_normal(SHAPE), EVERYWHERE)
    assert found.ratio == pytest.approx(2.0, abs=0.03)
    assert found.coverage["0.5"] > 0.8
    assert found.correlation is None


def test_correlation_is_that_of_std_and_error_in_the_mask():
    """The map must point at where the error is; what lies outside the head must not count."""
    error = np.linspace(0, 5, EVERYWHERE.size).reshape(SHAPE)
    mask = EVERYWHERE.copy()
    mask[:5] = False
    std = np.where(mask, 3 * error + 1, -error)
    assert calibrate(np.zeros(SHAPE), std, error, mask).correlation == pytest.approx(1.0, abs=1e-9)


def test_known_factors():
    """t(7) at 90 % is 1.8946; times sqrt(1 + 1/8). The normal one is 1.6449."""
    assert half_width(0.9, 8) == pytest.approx(1.894579 * np.sqrt(1.125), abs=1e-5)
    assert half_width(0.9, None) == pytest.approx(1.644854, abs=1e-5)


def test_one_sample_and_an_empty_mask_are_refused():
    """Neither has an interval."""
    with pytest.raises(InputError, match="no spread"):
        half_width(0.9, 1)
    with pytest.raises(InputError, match="foreground is empty"):
        calibrate(np.zeros(SHAPE), np.zeros(SHAPE), np.zeros(SHAPE), ~EVERYWHERE)
