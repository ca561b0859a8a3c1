"""Which axes are coarse, and where the fine grid lies."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxprior.errors import InputError
from voxprior.operators.decimation import (
    Refinement,
    coarse_affine,
    coarse_axes,
    coarsened,
    decimate,
    decimation,
    refined,
)
from voxprior.volume import Volume


@pytest.mark.parametrize(
    ("spacing", "axes"),
    [
        ((1.0, 2.0, 2.0), (1, 2)),
        ((3.0, 2.0, 1.0), (0, 1)),
        ((1.0, 1.5, 1.6), (1, 2)),
        ((1.0, 1.0, 5.0), (0, 1)),
        ((5.0, 1.0, 1.1), (1, 2)),
        ((1.0, 1.0, 1.0), (0, 1)),
        ((0.9, 1.2, 0.9), (0, 2)),
        ((1.4, 1.2, 1.0), (1, 2)),
    ],
)
def test_axes_are_the_coarse_ones_or_the_two_finest(spacing: tuple[float, float, float], axes: tuple[int, int]) -> None:
    """At least 1.5 times the finest; of none, or one slice axis, the plane of the slices."""
    assert coarse_axes(spacing) == axes


@pytest.mark.parametrize("bad", ["", "l", "iij", "i,j", "xy", "ijkk"])
def test_unknown_and_repeated_axes_are_refused(bad: str) -> None:
    """A letter too much would decimate twice."""
    with pytest.raises(InputError, match="--axes"):
        coarse_axes((1.0, 1.0, 1.0), bad)


def test_named_axes_come_in_array_order() -> None:
    """KI and ik are the same request."""
    assert coarse_axes((1.0, 1.0, 1.0), "KI") == coarse_axes((9.0, 1.0, 1.0), "ik") == (0, 2)


def _affines() -> list[np.ndarray]:
    """The 48 orientations, and two oblique ones."""
    found = []
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        affine = np.eye(4)
        affine[:3, :3] = np.eye(3)[:, list(order)] * signs
        found.append(affine)
    for seed in (1, 2):
        q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
        affine = np.eye(4)
        affine[:3, :3] = q
        found.append(affine)
    return found


@given(
    affine=st.sampled_from(_affines()),
    axes=st.sampled_from(["i", "ij", "ik", "jk", "ijk"]),
    factor=st.floats(1.1, 3.5),
    shape=st.tuples(*[st.integers(6, 12)] * 3),
)
def test_a_point_keeps_its_millimetres(
    affine: np.ndarray, axes: str, factor: float, shape: tuple[int, int, int]
) -> None:
    """The middle of the head stays: fine spacing is the coarse one over the factor, about the same centre."""
    spacing = np.array([0.9, 1.3, 1.1])
    affine = affine @ np.diag([*spacing, 1.0])
    affine[:3, 3] = [-31.0, 12.0, 7.0]
    volume = Volume(np.zeros(shape, np.float32), affine)
    geometry = decimation(shape, volume.spacing, Refinement(coarse_axes(spacing, axes), factor))
    fine_shape, fine = refined(volume, geometry)
    named = [axis in axes for axis in "ijk"]
    wanted = np.where(named, spacing / factor, spacing)
    np.testing.assert_allclose(np.linalg.norm(fine[:3, :3], axis=0), wanted, rtol=1e-12)
    middle = [affine @ [*((np.array(n) - 1) / 2), 1] for affine, n in ((affine, shape), (fine, fine_shape))]
    np.testing.assert_allclose(*middle, atol=1e-9)
    covered = np.array(fine_shape) * wanted - np.array(shape) * spacing
    assert (covered > -1e-2).all() and (covered < wanted).all()
    # A ramp along a world axis, averaged, is the same ramp at the coarse centres (ends and odd ratios aside).
    if factor == round(factor):
        ramp = _coordinate(fine_shape, fine)
        np.testing.assert_allclose(decimate(ramp, geometry), _coordinate(shape, affine), atol=1e-6)


def _coordinate(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    return np.tensordot(affine[0, :3], np.indices(shape), 1) + affine[0, 3]


@pytest.mark.parametrize("affine", _affines()[::5])
def test_a_ramp_of_millimetres_is_measured_as_itself(affine: np.ndarray) -> None:
    """World coordinates averaged over coarse voxels are those of their centres: box exactly, for whole factors."""
    affine = affine @ np.diag([1.0, 2.0, 1.5, 1.0])
    truth = Volume(_coordinate((12, 13, 15), affine).astype(np.float32), affine)
    cropped, ((*axes,),) = coarsened(truth, [Refinement((0, 2), 3.0)])
    assert cropped.data.shape == (12, 13, 15)
    measured = decimate(cropped.data, axes)
    np.testing.assert_allclose(measured, _coordinate(measured.shape, coarse_affine(affine, [axes])), atol=1e-4)


@given(factors=st.lists(st.floats(1.1, 3.0), min_size=1, max_size=3), n=st.integers(40, 60))
def test_the_truth_is_cropped_to_what_coarse_voxels_cover(factors: list[float], n: int) -> None:
    """Refined stage by stage, the coarsest grid comes back to the truth's shape, place and spacing."""
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    truth = Volume(np.zeros((n, 9, 8), np.float32), affine)
    cropped, stages = coarsened(truth, [Refinement((0,), f) for f in factors])
    coarse = coarse_affine(cropped.affine, stages)
    shape, there = (stages[0][0].count, 9, 8), coarse
    for axes in stages:
        shape, there = refined(Volume(np.zeros(shape, np.float32), there), axes)
    assert shape == cropped.data.shape
    np.testing.assert_allclose(there, cropped.affine, atol=1e-9)
    index = np.linalg.inv(affine) @ cropped.affine
    np.testing.assert_allclose(index[:3, 3], np.rint(index[:3, 3]), atol=1e-9)
    assert n - cropped.data.shape[0] < np.prod(factors) + len(factors) * max(factors) + 1


def test_what_cannot_be_refined_is_refused() -> None:
    """One voxel has no neighbours, and a slip of the keyboard no memory."""
    with pytest.raises(InputError, match="holds 1 voxel"):
        decimation((5, 1, 5), (1.0, 1.0, 1.0), Refinement((1,), 2.0))
    with pytest.raises(InputError, match="at most"):
        decimation((500, 5, 5), (1.0, 1.0, 1.0), Refinement((0,), 16.0))
    with pytest.raises(InputError, match="leaves 1 of 5"):
        coarsened(Volume(np.zeros((5, 9, 9), np.float32), np.eye(4)), [Refinement((0,), 3.0)])
