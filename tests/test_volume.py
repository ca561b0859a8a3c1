"""Geometry: a point in the patient keeps its millimetres, whatever the order and direction of the axes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxprior.errors import InputError
from voxprior.operators.profiles import fine_centres, slice_centres
from voxprior.volume import (
    SliceGeometry,
    Volume,
    axis_codes,
    fine_affine,
    slice_affine,
    slice_geometry,
    thick_axis,
)

ORIENTATIONS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def _affine(order: tuple[int, ...], signs: tuple[int, ...], spacing: tuple[float, ...], tilt: float) -> np.ndarray:
    """An affine whose array axis a points along world axis order[a], turned by ``tilt`` about an oblique axis."""
    c, s = math.cos(tilt), math.sin(tilt)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    for axis in range(3):
        affine[:3, axis] = turn[:, order[axis]] * signs[axis] * spacing[axis]
    affine[:3, 3] = (-17.0, 31.0, 5.5)
    return affine


@pytest.mark.parametrize("tilt", [0.0, 0.2])
@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_sphere_keeps_its_millimetres(order: tuple[int, ...], signs: tuple[int, ...], tilt: float) -> None:
    """A blurred sphere, thickened along the coarse axis, stays at its world coordinates on the restored grid."""
    affine = _affine(order, signs, (1.1, 1.0, 1.0), tilt)
    shape = (41, 36, 38)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    centre = affine[:3, :3] @ np.array([19.3, 17.2, 18.9]) + affine[:3, 3]
    x = np.exp(-(((world - centre) / 5.0) ** 2).sum(-1))
    axis = order.index(1)
    g = SliceGeometry(axis, shape[axis] // 4, 4 * 1.0, 4 * 1.0, shape[axis] // 4 * 4, 1.0)
    step = 1.1 if axis == 0 else 1.0
    g = SliceGeometry(axis, g.count, 4 * step, 4 * step, g.fine_count, step)
    fine = np.take(x, range(g.fine_count), axis=axis)
    thick = np.moveaxis(np.tensordot(g.matrix(), fine, (1, axis)), 0, axis)
    volume = Volume(thick.astype(np.float32), slice_affine(affine_of(affine, axis, 0), g))
    found = slice_geometry(volume, spacing=step)
    assert found.axis == axis and found.fine_count == g.fine_count
    back = fine_affine(volume.affine, found)
    weights = np.moveaxis(np.tensordot(g.matrix().T, thick, (1, axis)), 0, axis)
    position = np.stack(np.meshgrid(*map(np.arange, weights.shape), indexing="ij"), -1) @ back[:3, :3].T + back[:3, 3]
    mass = (position * weights[..., None]).sum((0, 1, 2)) / weights.sum()
    truth = (world.take(range(g.fine_count), axis=axis) * fine[..., None]).sum((0, 1, 2)) / fine.sum()
    assert np.abs(mass - truth).max() < 1e-3


def affine_of(affine: np.ndarray, axis: int, first: int) -> np.ndarray:
    """The affine of a volume that starts at index ``first`` along ``axis``."""
    moved = affine.copy()
    moved[:3, 3] += first * affine[:3, axis]
    return moved


@given(
    count=st.integers(2, 60),
    distance=st.floats(0.8, 9.0),
    part=st.floats(0.3, 1.8),
    fine=st.floats(0.3, 1.0),
    axis=st.integers(0, 2),
)
def test_fine_grid_is_centred_on_the_span(
    count: int, distance: float, part: float, fine: float, axis: int
) -> None:
    """The fine grid covers the span, exceeds it by less than a voxel, shares its centre, and the affines invert."""
    fine = min(fine, distance)
    thickness = part * distance
    g = SliceGeometry(axis, count, distance, thickness, math.ceil(((count - 1) * distance + thickness) / fine), fine)
    affine = _affine((2, 0, 1), (1, -1, 1), tuple(distance if a == axis else 1.0 for a in range(3)), 0.3)
    back = slice_affine(fine_affine(affine, g), g)
    assert np.allclose(back, affine, atol=1e-9)
    assert np.allclose(fine_centres(g).mean(), slice_centres(g).mean(), atol=1e-9)
    assert g.span - 1e-9 <= g.fine_count * g.fine_spacing < g.span + fine + 1e-6
    assert SliceGeometry.from_dict(g.to_dict()) == g


def _volume(shape: tuple[int, ...] = (8, 9, 10), spacing: tuple[float, ...] = (1, 1, 5)) -> Volume:
    return Volume(np.ones(shape, np.float32), np.diag([*spacing, 1.0]))


def test_thickness_defaults_to_the_distance_and_gap_takes_its_part() -> None:
    """Without options the slices touch; a gap of 1 mm leaves 4 of 5; a thickness of 6 is an overlap of 1."""
    assert slice_geometry(_volume()).thickness == 5
    assert slice_geometry(_volume(), gap=1).thickness == 4
    assert slice_geometry(_volume(), thickness=6).gap == -1
    assert slice_geometry(_volume(), thickness=4).fine_count == math.ceil(9 * 5 + 4)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"thickness": 4, "gap": 2}, "add up"),
        ({"thickness": -1}, "thickness"),
        ({"thickness": 21}, "thickness"),
        ({"thickness": float("nan")}, "finite"),
        ({"gap": 5}, "thickness"),
        ({"spacing": 0}, "spacing"),
        ({"spacing": 6}, "spacing"),
        ({"spacing": 1e-3}, "most"),
        ({"profile": "round"}, "profile"),
        ({"axis": "q"}, "axis"),
    ],
)
def test_contradictions_are_refused_in_one_line(options: dict[str, object], word: str) -> None:
    """Each contradictory or senseless option names itself in a single line."""
    with pytest.raises(InputError, match=word) as caught:
        slice_geometry(_volume(), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_no_thick_axis_asks_for_a_name() -> None:
    """A volume of equal voxels has no slice axis of its own; --axis chooses one."""
    with pytest.raises(InputError, match="--axis"):
        slice_geometry(_volume(spacing=(1, 1, 1.1)))
    assert slice_geometry(_volume(spacing=(1, 1, 1)), axis="j").axis == 1
    assert thick_axis((1.0, 3.0, 1.0)) == 1


def test_volume_is_immutable_and_needs_an_affine() -> None:
    """Voxels cannot be written through a Volume, and a singular affine is refused."""
    volume = _volume()
    with pytest.raises(ValueError, match="read-only"):
        volume.data[0, 0, 0] = 2
    with pytest.raises(InputError, match="singular"):
        Volume(volume.data, np.zeros((4, 4)))
    with pytest.raises(InputError, match="3-D"):
        Volume(np.ones((3, 3), np.float32), np.eye(4))


def test_axis_codes_agree_with_nibabel() -> None:
    """nibabel is the oracle for all 48 orientations, straight and tilted."""
    from nibabel.orientations import aff2axcodes

    for (order, signs), tilt in itertools.product(ORIENTATIONS, (0.0, 0.3)):
        affine = _affine(order, signs, (1.0, 2.0, 0.5), tilt)
        assert axis_codes(affine) == aff2axcodes(affine)
