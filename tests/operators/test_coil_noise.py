"""Noise levels and whitening against noise of known covariance, with and without a strong signal on top."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantoms import HEAD_SLICE
from voxprior.errors import InputError
from voxprior.operators.coil_noise import corner_noise, noise_samples, whitening
from voxprior.operators.masks import make_mask

SHAPE = (160, 128)


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
def test_a_noise_scan_that_determines_nothing_is_refused(change: object, words: str) -> None:
    """Too short, a dead coil, a coil twice, NaN: one line says which."""
    noise = _white(np.random.default_rng(0), 4, 50)
    with pytest.raises(InputError, match=words):
        whitening(change(noise))  # type: ignore[operator]


@pytest.mark.parametrize("name", ["full", "uniform", "random-uniform", "poisson"])
@pytest.mark.parametrize("level", [0.1, 0.01, 0.001])
@pytest.mark.parametrize("order", [2, 3])
def test_corner_noise_is_not_fooled_by_signal(name: str, level: float, order: int) -> None:
    """A head with hard edges in 9 and 16 coils, the signal 10 to 1000 times the noise: within 10 %.

    The k-space is a closed form, so that its outer part holds signal well above the noise, as a scan's does.
    """
    kspace = HEAD_SLICE.coils(SHAPE, order)
    kspace += level * _white(np.random.default_rng(1), *kspace.shape)
    mask = _mask(name)
    assert abs(corner_noise(np.where(mask, kspace, 0).astype(np.complex64), mask) / level - 1) < 0.1


@pytest.mark.parametrize("name", ["full", "uniform", "random-uniform"])
def test_corner_noise_of_one_coil(name: str) -> None:
    """Without other coils the air beside the head tells; SNR 20."""
    kspace = HEAD_SLICE.kspace(SHAPE) + 0.05 * _white(np.random.default_rng(1), *SHAPE)
    mask = _mask(name)
    assert abs(corner_noise(np.where(mask, kspace, 0)[None], mask) / 0.05 - 1) < 0.1


def test_corner_noise_of_a_wide_object_without_air() -> None:
    """Guards against a level read off the image's corners: the object fills the field of view along the lines."""
    kspace = HEAD_SLICE.coils((2 * SHAPE[0], SHAPE[1]))[:, ::3][:, :106]
    kspace = kspace + 0.01 * _white(np.random.default_rng(1), *kspace.shape)
    mask = make_mask("uniform", kspace.shape[1:], 3, 24).keep
    assert abs(corner_noise(np.where(mask, kspace, 0), mask) / 0.01 - 1) < 0.1


def test_corner_noise_of_scattered_samples_of_one_coil_is_an_upper_bound() -> None:
    """There is nothing to tell signal and noise apart, and the figure must not be too small."""
    kspace = HEAD_SLICE.kspace(SHAPE) + 0.02 * _white(np.random.default_rng(1), *SHAPE)
    mask = _mask("poisson")
    assert 0.019 < corner_noise(np.where(mask, kspace, 0)[None], mask) < 0.1


@pytest.mark.parametrize("name", ["full", "uniform", "poisson"])
def test_noise_samples_whiten_what_has_no_noise_scan(name: str) -> None:
    """Correlated noise at SNR 30: the samples' whitening leaves the noise alone within 15 % of white."""
    rng = np.random.default_rng(2)
    kspace = HEAD_SLICE.coils(SHAPE)
    mix = np.eye(9) + 0.3 * _white(rng, 9, 9)
    noise = 0.03 * np.einsum("cd,dyx->cyx", mix, _white(rng, 9, *SHAPE))
    mask = _mask(name)
    samples = noise_samples(np.where(mask, kspace + noise, 0), mask)
    assert samples.shape[0] == 9 and samples.shape[1] >= 100
    white = whitening(samples) @ noise[:, mask]
    covariance = white @ white.conj().T / (2 * white.shape[1])
    assert np.linalg.norm(covariance - np.eye(9), 2) < 0.5
    assert abs(np.trace(covariance).real / 9 - 1) < 0.15
