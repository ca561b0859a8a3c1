"""Noise levels and whitening against noise of known covariance, with and without a strong signal on top."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantoms import HEAD_SLICE
from voxprior.errors import InputError
from voxprior.operators.coil_noise import corner_noise, noise_samples, whitening
from voxprior.operators.masks import make_mask

SHAPE = (128, 96)


@cache
def _head(order: int) -> np.ndarray:
    """K-space of the head in (order + 1)^2 coils; one in closed form for 0."""
    return HEAD_SLICE.coils(SHAPE, order) if order else HEAD_SLICE.kspace(SHAPE)[None]


def _white(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def _mask(name: str) -> np.ndarray:
    return np.ones(SHAPE, bool) if name == "full" else make_mask(name, SHAPE, 4, 24).keep


@given(coils=st.integers(1, 12), seed=st.integers(0, 2**32), level=st.floats(1e-6, 1e6))
def test_whitened_noise_has_unit_std_per_real_component(coils: int, seed: int, level: float) -> None:
    """Correlated noise of any level becomes the identity: real and imaginary parts of every coil have std 1."""
    rng = np.random.default_rng(seed)
    mix = _white(rng, coils, coils) + 2 * np.eye(coils)
    noise = level * mix @ _white(rng, coils, 2000)
    white = whitening(noise) @ noise
    np.testing.assert_allclose(white @ white.conj().T / 4000, np.eye(coils), atol=2e-3)
    assert abs(white.real.std() - 1) < 0.1 and abs(white.imag.std() - 1) < 0.1
    # Coils mix one way only, as in the Cholesky factor, so that the first is merely scaled.
    assert np.allclose(whitening(noise)[0, 1:], 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n: n[:, :7], "8 or more"),
        (lambda n: np.where(np.arange(4)[:, None] == 2, 0, n), "coil 2 is zero"),
        (lambda n: n[[0, 1, 1, 3]], "copies"),
        (lambda n: np.where(np.arange(50) == 3, np.nan, n), "finite"),
    ],
)
def test_noise_that_determines_nothing_is_refused(change: Callable[[np.ndarray], np.ndarray], words: str) -> None:
    """Too short, a dead coil, a coil twice, NaN: one line says which."""
    noise = _white(np.random.default_rng(0), 4, 50)
    with pytest.raises(InputError, match=words):
        whitening(change(noise))


@pytest.mark.parametrize(
    ("order", "name"),
    [(1, "full"), (1, "uniform"), (2, "full"), (2, "uniform"), (2, "random-uniform"), (2, "poisson")],
)
@pytest.mark.parametrize("level", [0.1, 0.01, 0.001])
def test_corner_noise_is_not_fooled_by_signal(name: str, level: float, order: int) -> None:
    """A head with hard edges in 4 and 9 coils, the signal 10 to 1000 times the noise: within 10 %.

    The k-space is a closed form, so that its outer part holds signal well above the noise, as a scan's does.
    """
    kspace = _head(order) + level * _white(np.random.default_rng(1), (order + 1) ** 2, *SHAPE)
    mask = _mask(name)
    assert abs(corner_noise(np.where(mask, kspace, 0).astype(np.complex64), mask) / level - 1) < 0.1


@pytest.mark.parametrize("name", ["full", "uniform", "random-uniform"])
def test_corner_noise_of_one_coil(name: str) -> None:
    """Without other coils the air beside the head tells; SNR 20."""
    kspace = _head(0) + 0.05 * _white(np.random.default_rng(1), 1, *SHAPE)
    mask = _mask(name)
    assert abs(corner_noise(np.where(mask, kspace, 0), mask) / 0.05 - 1) < 0.1


def test_corner_noise_of_a_wide_object_without_air() -> None:
    """Guards against a level read off the image's corners: the object fills the field of view along the lines."""
    # Every second sample along the lines: the field of view halves, and the head folds all over it.
    kspace = HEAD_SLICE.coils((2 * SHAPE[0], SHAPE[1]))[:, ::2]
    kspace = kspace + 0.01 * _white(np.random.default_rng(1), *kspace.shape)
    mask = make_mask("uniform", kspace.shape[1:], 3, 24).keep
    assert abs(corner_noise(np.where(mask, kspace, 0), mask) / 0.01 - 1) < 0.1


def test_corner_noise_of_scattered_samples_of_one_coil_is_an_upper_bound() -> None:
    """There is nothing to tell signal and noise apart, and the figure must not be too small."""
    kspace = _head(0) + 0.02 * _white(np.random.default_rng(1), 1, *SHAPE)
    mask = _mask("poisson")
    assert 0.019 < corner_noise(np.where(mask, kspace, 0), mask) < 0.1


@pytest.mark.parametrize(("name", "bound"), [("full", 0.2), ("uniform", 0.5), ("poisson", 0.75)])
def test_noise_samples_whiten_what_has_no_noise_scan(name: str, bound: float) -> None:
    """Correlated noise at SNR 30: after the samples' whitening the noise alone is white as nearly as so few tell.

    Scattered samples hold signal too, which counts as noise in a few directions.
    """
    rng = np.random.default_rng(2)
    kspace = _head(2)
    mix = np.eye(9) + 0.3 * _white(rng, 9, 9)
    noise = 0.03 * np.einsum("cd,dyx->cyx", mix, _white(rng, 9, *SHAPE))
    mask = _mask(name)
    samples = noise_samples(np.where(mask, kspace + noise, 0), mask)
    assert samples.shape[0] == 9 and samples.shape[1] >= 300
    white = whitening(samples) @ noise[:, mask]
    covariance = white @ white.conj().T / (2 * white.shape[1])
    assert np.linalg.norm(covariance - np.eye(9), 2) < bound
    assert abs(np.trace(covariance).real / 9 - 1) < 0.15
