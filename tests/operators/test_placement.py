"""Slices anywhere in space, against the operator of one stack, closed forms and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from voxprior.operators.placement import Grid, Parallel, Stack, Tilted, place
from voxprior.operators.separable import Separable
from voxprior.operators.tilted import TiltedSlices, operator_of
from voxprior.volume import SliceGeometry, fine_affine

THICK = SliceGeometry(2, 5, 4.0, 4.0, 20, 1.0)
AFFINE = np.array([[-1.0, 0, 0, 5], [0, 1.0, 0, -7], [0, 0, 4.0, 3], [0, 0, 0, 1]])
SHAPE = (9, 8, 5)
GRID = Grid(fine_affine(AFFINE, THICK), (9, 8, 20))


def turned(degrees: float) -> np.ndarray:
    """AFFINE turned about the first axis through the middle of the stack."""
    middle = AFFINE @ [4, 3.5, 2, 1]
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.eye(4)
    turn[1:3, 1:3] = [[c, -s], [s, c]]
    shift, back = np.eye(4), np.eye(4)
    shift[:3, 3], back[:3, 3] = -middle[:3], middle[:3]
    return back @ turn @ shift @ AFFINE


def _world(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Where voxel centres are, mm, (3, *shape)."""
    return np.einsum("wc,cijk->wijk", affine[:3, :3], np.indices(shape)) + affine[:3, 3, None, None, None]


@pytest.mark.parametrize("profile", ["box", "gaussian", "slr"])
def test_the_first_scan_is_measured_as_it_is_alone(profile: str) -> None:
    """Guards one truth: on its own grid a stack has the operator that one scan has."""
    g = SliceGeometry(2, 5, 4.0, 3.0, 19, 1.0, profile)
    placed = place(Stack.of(AFFINE, SHAPE, g), Grid(fine_affine(AFFINE, g), (9, 8, 19)))
    assert isinstance(placed, Parallel) and set(placed.matrices) == {2}
    assert placed.matrices[2] == pytest.approx(g.matrix(), abs=1e-9)
    data = np.arange(9 * 8 * 5).reshape(SHAPE)
    assert (placed.choose(data) == data).all()


@given(order=st.permutations([0, 1, 2]), flips=st.tuples(*[st.booleans()] * 3), shift=st.floats(-1, 1))
def test_a_ramp_comes_out_at_the_centre_of_every_voxel(order: list[int], flips: tuple[bool, ...], shift: float) -> None:
    """Guards axes, directions and offsets: of a linear image each voxel measures the value at its own place in mm."""
    spacing = np.array([1.0, 1.0, 4.0])
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, world in enumerate(order):
        affine[world, axis] = spacing[axis] * (-1 if flips[axis] else 1)
    shape = (10, 11, 3)
    affine[:3, 3] = np.array([shift, -shift, 0.3]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    grid = Grid(np.array([[1.0, 0, 0, -12], [0, 1.0, 0, -12], [0, 0, 1.0, -12], [0, 0, 0, 1]]), (25, 25, 25))
    placed = place(Stack(affine, shape, 2, 3.0), grid)
    assert isinstance(placed, Parallel)
    weights = np.array([1.0, -2.0, 3.0])
    image = np.einsum("wijk,w->ijk", np.indices(grid.shape) - 12.0, weights)
    expected = placed.choose(np.einsum("wijk,w->ijk", _world(affine, shape), weights))
    # A voxel counts as a point at its centre: one that is covered in part is off by at most s^2 / (8 width) an edge.
    assert np.abs(placed.apply(image) - expected).max() <= 2 * np.abs(weights).sum() / 8 + 1e-9


@given(st.floats(1.0, 45.0))
def test_tilted_slices_read_a_ramp_at_their_own_place(degrees: float) -> None:
    """Guards the sparse matrix: rows sum to 1, and inside the grid a linear image is read where the voxel is."""
    stack = Stack(turned(degrees), SHAPE, 2, 3.0, "gaussian")
    grid = Grid(GRID.affine.copy(), (15, 40, 50))
    grid.affine[:3, 3] -= GRID.affine[:3, :3] @ [3, 16, 15]
    placed = place(stack, grid)
    assert isinstance(placed, Tilted)
    assert placed.matrix.sum(axis=1) == pytest.approx(1)
    weights = np.array([1.0, -2.0, 3.0])
    image = np.einsum("wijk,w->ijk", _world(grid.affine, grid.shape), weights)
    expected = np.einsum("wijk,w->ijk", _world(stack.affine, SHAPE), weights)
    assert placed.kept.all()
    assert placed.apply(image) == pytest.approx(placed.choose(expected), abs=0.01)


def test_a_tilt_that_shrinks_away_becomes_the_parallel_operator() -> None:
    """Guards the two ways against each other: the sparse one at next to no tilt measures as the separable one."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(np.cumsum(np.cumsum(rng.standard_normal((1, 9, 8, 20)), 3), 2))
    straight, way = operator_of(Stack(AFFINE, SHAPE, 2, 4.0), GRID)
    tilted, placed = operator_of(Stack(turned(0.9), SHAPE, 2, 4.0), GRID)
    assert isinstance(straight, Separable) and isinstance(tilted, TiltedSlices) and isinstance(placed, Tilted)
    measured = np.full(SHAPE, np.nan)
    measured[placed.kept] = tilted.apply(x)[0].numpy()
    wanted = straight.apply(x)[0].numpy()
    assert isinstance(way, Parallel) and placed.kept.mean() > 0.95
    assert np.nanmean((measured - wanted) ** 2) < 0.03 * wanted.var()


def test_numpy_and_torch_measure_alike() -> None:
    """Guards the proof: what verify recomputes is what the restoration fitted."""
    x = np.random.default_rng(1).standard_normal(GRID.shape)
    for affine in (AFFINE, turned(20.0)):
        operator, placed = operator_of(Stack(affine, SHAPE, 2, 4.0), GRID)
        found = operator.apply(torch.from_numpy(x)[None])[0].numpy()
        assert found == pytest.approx(placed.apply(x), abs=1e-12)


def test_a_stack_elsewhere_is_refused() -> None:
    """Guards against scans of two patients: nothing of the stack on the grid is an error, not an empty fit."""
    for affine in (AFFINE, turned(20.0)):
        away = affine.copy()
        away[0, 3] += 500
        with pytest.raises(ValueError, match="outside"):
            place(Stack(away, SHAPE, 2, 4.0), GRID)
    stack = Stack(turned(20.0), SHAPE, 2, 4.0, (0.0, 1.0, 0.0))
    assert Stack.from_dict(stack.to_dict()).to_dict() == stack.to_dict()
