"""Spline down-sampling: constants, ramps in patient space, and what is known of the published way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxprior.errors import InputError
from voxprior.operators.profiles import slice_matrix
from voxprior.training.sources.spline import spline_downsample
from voxprior.volume import SliceGeometry

AFFINE = np.array([[0, -1.6, 0, 90], [1.6, 0, 0, -126], [0, 0, 1.6, -72], [0, 0, 0, 1.0]])


def _world(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    index = np.stack([*np.meshgrid(*map(np.arange, shape), indexing="ij"), np.ones(shape)])
    return np.einsum("wi,i...->w...", affine[:3], index)


@settings(max_examples=8, deadline=None)
@given(
    shape=st.tuples(*[st.integers(24, 37)] * 3), factor=st.floats(1.2, 3),
    variant=st.sampled_from(["filtered", "published"]),
)
def test_constants_and_ramps(shape: tuple[int, int, int], factor: float, variant: str) -> None:
    """A constant stays; a ramp in patient space has, away from the borders, the values of where its voxels are."""
    direction = np.array([0.3, -0.5, 0.8])
    ramp = np.einsum("w,w...->...", direction, _world(shape, AFFINE)).astype(np.float32)
    for image, truth in ((np.full(shape, 7.0), None), (ramp, direction)):
        coarse, affine = spline_downsample(image, AFFINE, 1.6 * factor, variant)
        wanted = np.full(coarse.shape, 7.0) if truth is None else np.einsum(
            "w,w...->...", truth, _world(coarse.shape, affine))
        edge = tuple(slice(3, n - 3) for n in coarse.shape) if truth is not None else ...
        assert np.allclose(coarse[edge], wanted[edge], atol=0.02)


def test_integer_factors_keep_the_field_of_view() -> None:
    """By two, the coarse voxels tile the fine ones: the first centre is half a fine voxel in, the last mirrors it."""
    coarse, affine = spline_downsample(np.zeros((12, 14, 16)), AFFINE, 3.2)
    assert coarse.shape == (6, 7, 8)
    assert np.allclose(affine[:3, :3], 2 * AFFINE[:3, :3])
    assert np.allclose(affine @ [0, 0, 0, 1], AFFINE @ [0.5, 0.5, 0.5, 1])
    assert np.allclose(affine @ [5, 6, 7, 1], AFFINE @ [10.5, 12.5, 14.5, 1])


def test_the_low_pass_is_a_gaussian_of_the_spacing() -> None:
    """Along one axis the result is near that of our Gaussian slice profile of that width, an independent operator."""
    rng = np.random.default_rng(0)
    image = np.cumsum(rng.standard_normal((4, 5, 60)), axis=2).astype(np.float32)
    coarse, _ = spline_downsample(image, np.eye(4), (1, 1, 4))
    profile = slice_matrix(SliceGeometry(2, 15, 4.0, 4.0, 60, 1.0, "gaussian"))
    assert np.abs(coarse - image @ profile.T)[..., 2:-2].max() < 0.05 * image.std()
    fine = np.sin(np.pi * np.arange(60) / 1.5)[None, None] * np.ones((4, 5, 1))  # far beyond what 4 mm can show
    assert np.abs(spline_downsample(fine, np.eye(4), (1, 1, 4))[0][..., 2:-2]).max() < 0.01
    assert np.abs(spline_downsample(fine, np.eye(4), (1, 1, 4), "published")[0][..., 2:-2]).max() > 0.3


def test_the_published_sizes() -> None:
    """1.6 mm to a nominal 3 mm: (113, 136, 113) to (60, 73, 60), whose true spacing is 3.037, 3.000, 3.037 mm."""
    coarse, affine = spline_downsample(np.zeros((113, 136, 113), np.float32), AFFINE, 3.0, "published")
    assert coarse.shape == (60, 73, 60)
    assert np.linalg.norm(affine[:3, :3], axis=0) == pytest.approx([3.0373, 3.0, 3.0373], abs=1e-4)
    last = affine @ [59, 72, 59, 1]
    assert np.allclose(affine[:, 3], AFFINE[:, 3]) and np.allclose(last, AFFINE @ [112, 135, 112, 1])


def test_an_axis_that_is_coarse_already_stays() -> None:
    """A spacing of the voxels themselves changes nothing along that axis."""
    image = np.random.default_rng(0).standard_normal((8, 9, 20)).astype(np.float32)
    coarse, affine = spline_downsample(image, np.eye(4), (1, 1, 2))
    assert coarse.shape == (8, 9, 10) and np.allclose(np.diag(affine), [1, 1, 2, 1])
    same, _ = spline_downsample(image, np.eye(4), 1.0)
    assert np.allclose(same, image, atol=1e-5)


@pytest.mark.parametrize(("spacing", "variant", "word"), [(0.5, "filtered", "finer"), (2.0, "other", "unknown"),
                                                          (30.0, "filtered", "fewer"), (np.nan, "filtered", "finer")])
def test_wrong_settings(spacing: float, variant: str, word: str) -> None:
    """A spacing that cannot be made, or a variant that is not there, is an input error."""
    with pytest.raises(InputError, match=word):
        spline_downsample(np.zeros((16, 16, 16)), np.eye(4), spacing, variant)
