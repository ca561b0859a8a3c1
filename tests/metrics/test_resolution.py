"""Where spectra end, on images whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import zoom

from voxprior.metrics.detail_noise import detail_noise
from voxprior.metrics.resolution import LEAST_SAMPLES, cut_off

EDGE = 64


def image(seed: int, exponent: float, edge: int = EDGE) -> NDArray[np.float64]:
    """A random image whose amplitude falls as frequency^-exponent, of unit std about 5."""
    rng = np.random.default_rng(seed)
    f = np.sqrt(sum(np.square(a) for a in np.meshgrid(*[np.fft.fftfreq(edge)] * 3, indexing="ij")))
    x = np.fft.ifftn(np.fft.fftn(rng.normal(size=f.shape)) / np.maximum(f, 0.5 / edge) ** exponent).real
    return x / x.std() + 5


def zero_filled(x: NDArray[np.float64], kept: float, axis: int) -> NDArray[np.float64]:
    """Without the frequencies above ``kept`` of Nyquist along ``axis``."""
    spectrum = np.moveaxis(np.fft.fft(x, axis=axis), axis, -1)
    spectrum[..., np.abs(np.fft.fftfreq(x.shape[axis])) > kept / 2] = 0
    return np.fft.ifft(np.moveaxis(spectrum, -1, axis), axis=axis).real


@settings(max_examples=8)
@given(
    seed=st.integers(0, 99),
    exponent=st.floats(1.4, 2.2),
    kept=st.floats(0.35, 0.75),
    axis=st.integers(0, 2),
    noise=st.sampled_from([0.0, 0.002, 0.01]),
)
def test_zero_filling_is_found_where_it_is(seed: int, exponent: float, kept: float, axis: int, noise: float) -> None:
    """Guards axis and frequency: within 6 % of Nyquist, rounding and a little noise on top, and nothing elsewhere."""
    x = zero_filled(image(seed, exponent), kept, axis)
    x = x + noise * np.random.default_rng(seed).normal(size=x.shape)
    for a in range(3):
        found = cut_off(x.astype(np.float32), a)
        if a != axis:
            assert found is None
        else:
            assert found is not None
            assert found.frequency == pytest.approx(kept, abs=0.06)


@settings(max_examples=8)
@given(seed=st.integers(0, 99), exponent=st.floats(1.2, 2.4), noise=st.floats(0, 0.3))
def test_what_was_measured_as_stored_has_no_end(seed: int, exponent: float, noise: float) -> None:
    """Guards against false alarms: any law of falling power, down to a floor of noise."""
    x = image(seed, exponent) + noise * np.random.default_rng(seed).normal(size=(EDGE,) * 3)
    assert [cut_off(x, axis) for axis in range(3)] == [None] * 3


@pytest.mark.parametrize("order", [1, 3])
def test_interpolated_slices_are_found(order: int) -> None:
    """Guards a spline through every other slice: its soft end is found, if not quite where it is."""
    x = zoom(image(3, 1.7)[:, :, ::2], (1, 1, 2), order=order, mode="nearest")
    found = cut_off(x, 2)
    assert found is not None
    assert 0.4 < found.frequency < 0.8
    assert cut_off(x, 0) is None


def test_windows_of_reconstructions_are_no_interpolation() -> None:
    """Guards axes whose highest frequencies a Tukey window takes down, as every scanner's does."""
    f = np.abs(np.fft.fftfreq(EDGE)) * 2
    window = np.where(f > 0.8, 0.5 + 0.5 * np.cos(np.pi * (f - 0.8) / 0.4), 1.0)
    x = np.fft.ifft(np.fft.fft(image(5, 1.7), axis=0) * window[:, None, None], axis=0).real
    assert cut_off(x + 1e-3 * np.random.default_rng(0).normal(size=x.shape), 0) is None


def test_short_and_constant_axes_say_nothing() -> None:
    """Guards few slices, and images without a spectrum."""
    x = image(1, 1.7)
    assert cut_off(zero_filled(x, 0.5, 0)[: LEAST_SAMPLES - 1], 0) is None
    assert cut_off(np.full((40, 40, 40), 3.0), 1) is None


@settings(max_examples=10)
@given(sigma=st.floats(0.05, 20), normal=st.integers(0, 2))
def test_detail_noise_is_the_noise(sigma: float, normal: int) -> None:
    """Guards factor, units and axis on noise of a known std about a bright level."""
    x = 100 * sigma + sigma * np.random.default_rng(4).normal(size=(24, 30, 26))
    assert detail_noise(x, normal) == pytest.approx(sigma, rel=0.06)
    assert detail_noise(x[:3, :3, :3], normal) is None
