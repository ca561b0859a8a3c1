"""The matrix of a truncated k-space against Fourier transforms, harmonics and its own symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxprior.operators.profiles import fine_centres, slice_centres, slice_matrix
from voxprior.volume import SliceGeometry

SIZES = st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(n, 30)))


def _matrix(n: int, big: int) -> np.ndarray:
    return slice_matrix(SliceGeometry(0, n, big / n, big / n, big, 1.0, "kspace"))


@given(sizes=SIZES, seed=st.integers(0, 99))
def test_it_is_the_image_of_the_central_coefficients(sizes: tuple[int, int], seed: int) -> None:
    """An FFT, its coefficients -n/2 .. (n-1)/2, and the sum at the coarse voxel centres (i + 1/2) f - 1/2."""
    n, big = sizes
    x = np.random.default_rng(seed).standard_normal(big)
    m = np.arange(-(n // 2), (n + 1) // 2)
    coefficients = np.fft.fft(x)[m % big]
    centres = (np.arange(n) + 0.5) * big / n - 0.5
    image = np.exp(2j * np.pi * np.outer(centres, m) / big) @ coefficients / big
    np.testing.assert_allclose(_matrix(n, big) @ x, image.real, atol=1e-12)


@given(sizes=SIZES)
def test_a_constant_stays_and_a_mirror_image_is_mirrored(sizes: tuple[int, int]) -> None:
    """A shift by part of a voxel, or a Nyquist coefficient on one side, would break the symmetry."""
    a = _matrix(*sizes)
    np.testing.assert_allclose(a.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(a[::-1, ::-1], a, atol=1e-12)


@pytest.mark.parametrize(("n", "big"), [(5, 10), (6, 12), (5, 13), (8, 8), (7, 7)])
def test_waves_inside_pass_unchanged_and_waves_outside_vanish(n: int, big: int) -> None:
    """Each wave is read at the coarse centres; at Nyquist of an even count its value there is halved, once."""
    fine, coarse, a = np.arange(big), (np.arange(n) + 0.5) * big / n - 0.5, _matrix(n, big)
    for m in range(big // 2 + 1):
        for phase in (0.0, 1.1):
            wave = a @ np.cos(2 * np.pi * m * fine / big + phase)
            expected = np.cos(2 * np.pi * m * coarse / big + phase)
            if 2 * m == n < big:
                # The kept coefficient alone: the real part of half the wave.
                np.testing.assert_allclose(wave, expected / 2, atol=1e-12)
            elif 2 * m < n or n == big:
                np.testing.assert_allclose(wave, expected, atol=1e-12)
            else:
                np.testing.assert_allclose(wave, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("n", "big", "condition"), [(5, 10, 1), (6, 12, 2), (7, 7, 1), (8, 8, 1), (9, 20, 1), (4, 6, 2)]
)
def test_the_projection_onto_it_is_well_conditioned(n: int, big: int, condition: float) -> None:
    """The rows of an odd count are orthogonal; the halved Nyquist coefficient costs a factor of two."""
    values = np.linalg.eigvalsh(_matrix(n, big) @ _matrix(n, big).T)
    assert values[-1] / values[0] == pytest.approx(condition)
    assert values[-1] == pytest.approx(n / big)


@given(count=st.integers(3, 40), factor=st.floats(1.05, 4.0))
def test_any_ratio_keeps_constants_rank_and_slow_waves(count: int, factor: float) -> None:
    """Where the fine grid is a little longer than the coarse one the waves are those of the fine grid."""
    big = int(np.ceil(count * factor - 1e-3))
    g = SliceGeometry(0, count, factor, factor, big, 1.0, "kspace")
    a = slice_matrix(g)
    assert np.allclose(a.sum(axis=1), 1)
    values = np.linalg.eigvalsh(a @ a.T)
    assert values[-1] / values[0] < 100, "the projection would not be exact"
    slow = np.cos(2 * np.pi * fine_centres(g) / big + 0.4)
    np.testing.assert_allclose(a @ slow, np.cos(2 * np.pi * slice_centres(g) / big + 0.4), atol=1e-10)
