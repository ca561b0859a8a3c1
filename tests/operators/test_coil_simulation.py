"""Fields of current loops against Biot and Savart's integral, and the maps that are made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxprior.operators import coil_simulation
from voxprior.operators.coil_simulation import Loop, head_coil, loop_field, simulate_maps

TILTED = Loop(np.array([0.1, 0.2, -0.3]), np.array([0.48, 0.6, 0.64]), 0.7)


def _integral(loop: Loop, point: np.ndarray, wires: int = 4000) -> np.ndarray:
    """``1 / (4 pi) sum dl x r / |r|^3`` over the circle, the current right-handed about the normal."""
    first = np.cross(loop.normal, [0.0, 0.0, 1.0])
    first /= np.linalg.norm(first)
    second = np.cross(loop.normal, first)
    angle = 2 * np.pi * np.arange(wires)[:, None] / wires
    wire = loop.centre + loop.radius * (np.cos(angle) * first + np.sin(angle) * second)
    step = loop.radius * (-np.sin(angle) * first + np.cos(angle) * second) * 2 * np.pi / wires
    away = point - wire
    distance = np.linalg.norm(away, axis=1, keepdims=True)
    return np.sum(np.cross(step, away) / distance**3, axis=0) / (4 * np.pi)


def test_on_the_axis_the_field_is_the_textbook_formula() -> None:
    """``B = a^2 / (2 (a^2 + h^2)^(3/2))`` along the normal, the point in the middle of the loop among them."""
    height = np.linspace(-2, 2, 9)
    found = loop_field(TILTED, TILTED.centre + height[:, None] * TILTED.normal)
    a = TILTED.radius
    expected = (a**2 / 2 / (a**2 + height**2) ** 1.5)[:, None] * TILTED.normal
    np.testing.assert_allclose(found, expected, atol=1e-10)


@given(point=st.tuples(*[st.floats(-1.5, 1.5)] * 3))
def test_off_the_axis_it_is_the_integral_over_the_wire(point: tuple[float, float, float]) -> None:
    """Elliptic integrals equal the sum over 4000 pieces of wire, which converges fast where the wire is not near."""
    offset = np.array(point) - TILTED.centre
    along = offset @ TILTED.normal
    if np.hypot(np.linalg.norm(offset - along * TILTED.normal) - TILTED.radius, along) < 0.05:
        return
    found = loop_field(TILTED, np.array(point))
    np.testing.assert_allclose(found, _integral(TILTED, np.array(point)), atol=1e-9)


def test_on_the_wire_a_thick_conductor_keeps_the_field_finite() -> None:
    """Guards corners of the slice that lie on a loop, where a thin wire has an infinite field."""
    side = np.cross(TILTED.normal, [0.0, 0.0, 1.0])
    wire = TILTED.centre + TILTED.radius * side / np.linalg.norm(side)
    assert np.linalg.norm(loop_field(TILTED, wire, coil_simulation.WIRE)) < 10
    # Far away the thickness does not count.
    far = TILTED.centre + np.array([0.0, 3.0, 4.0])
    np.testing.assert_allclose(loop_field(TILTED, far, 0.12), loop_field(TILTED, far), rtol=5e-3)


@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)), coils=st.integers(1, 33), seed=st.integers(0, 2**32)
)
def test_maps_share_the_signal_and_depend_on_the_generator_alone(
    shape: tuple[int, int], coils: int, seed: int
) -> None:
    """Sum of |maps|^2 is 1, any shape and number; the same generator gives the same maps, another one others."""
    maps = simulate_maps(shape, coils, np.random.default_rng(seed))
    assert maps.shape == (coils, *shape) and maps.dtype == np.complex64
    np.testing.assert_allclose((np.abs(maps) ** 2).sum(0), 1, atol=1e-5)
    assert np.array_equal(maps, simulate_maps(shape, coils, np.random.default_rng(seed)))
    if coils > 1:
        assert not np.allclose(maps, simulate_maps(shape, coils, np.random.default_rng(seed + 1)))


@pytest.mark.parametrize("seed", range(6))
def test_splines_carry_the_fields_to_the_pixels(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the head, maps from the coarse grid equal those with the field computed at every pixel to 0.2 %."""
    coarse = simulate_maps((120, 96), 6, np.random.default_rng(seed))
    monkeypatch.setattr(coil_simulation, "COARSE", 120)
    exact = simulate_maps((120, 96), 6, np.random.default_rng(seed))
    head = np.hypot(np.linspace(-1, 1, 120)[:, None], np.linspace(-0.8, 0.8, 96)) < 0.8
    assert np.abs(coarse - exact)[:, head].max() < 2e-3


def test_coils_differ_and_none_is_silent() -> None:
    """Over many draws coils see different regions: two maps correlate well below 1, and each has signal."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        maps = simulate_maps((24, 24), 8, rng).reshape(8, -1)
        energy = np.linalg.norm(maps, axis=1)
        overlap = np.abs(maps.conj() @ maps.T) / np.outer(energy, energy)
        assert energy.min() > 0.01 * energy.max()
        assert np.median(overlap[np.triu_indices(8, 1)]) < 0.95


def test_loops_surround_the_head() -> None:
    """As many loops as asked for, centred on a cylinder, their normals pointing inwards."""
    for coils in (2, 8, 15, 32):
        loops = head_coil(coils, np.random.default_rng(coils))
        assert len(loops) == coils
        distance = [np.hypot(*loop.centre[:2]) for loop in loops]
        np.testing.assert_allclose(distance, distance[0])
        assert all(loop.centre[:2] @ loop.normal[:2] < 0 for loop in loops)


def test_no_coil_is_refused() -> None:
    """A mistake of the caller, not of a user."""
    with pytest.raises(ValueError, match="at least one coil"):
        simulate_maps((8, 8), 0, np.random.default_rng(0))
