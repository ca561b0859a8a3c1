"""Baselines of volumes that are coarse along several axes: bicubic, tricubic, and their projections."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from voxprior.diffusion.noise import SeededNoise
from voxprior.methods.baselines import NoOptions, cubic, cubic_projected, linear, nearest
from voxprior.operators.base import Measurement
from voxprior.operators.decimation import Refinement, decimation
from voxprior.operators.separable import Separable

SHAPE = (8, 7, 6)


def _measurement(axes: tuple[int, ...], factor: float = 2.0, profile: str = "box") -> Measurement:
    geometry = decimation(SHAPE, (1.0, 1.2, 0.8), Refinement(axes, factor, profile))
    operator = Separable.from_axes(geometry, SHAPE)
    truth = torch.rand(1, *operator.shape, generator=torch.Generator().manual_seed(0)) + 1
    return Measurement(operator, operator.apply(truth))


def _run(method, measurement: Measurement) -> np.ndarray:
    return method(measurement, NoOptions(), SeededNoise(0)).mean.numpy()


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (0, 1, 2)])
def test_cubic_along_every_axis_is_the_spline_of_splines(axes: tuple[int, ...]) -> None:
    """An independent spline, one axis after the other in the other order, gives the same."""
    measurement = _measurement(axes, 2.5)
    expected = measurement.y[0].double().numpy()
    for axis in reversed(axes):
        n = SHAPE[axis]
        centres = (np.arange(n) + 0.5) * 2.5 - 0.5
        fine = (np.arange(int(np.ceil(n * 2.5))) - (np.ceil(n * 2.5) - n * 2.5) / 2).clip(centres[0], centres[-1])
        expected = CubicSpline(centres, expected, axis=axis, bc_type="natural")(fine)
    np.testing.assert_allclose(_run(cubic, measurement), expected, atol=2e-5)


def test_nearest_repeats_voxels_along_both_axes() -> None:
    """With an odd factor every coarse voxel covers exactly its own fine ones."""
    measurement = _measurement((0, 2), 3.0)
    expected = measurement.y[0].numpy().repeat(3, axis=0).repeat(3, axis=2)
    np.testing.assert_array_equal(_run(nearest, measurement), expected)


def test_linear_keeps_a_plane() -> None:
    """Values that rise along two axes at once are read between the right centres of both."""
    measurement = _measurement((0, 1))
    i, j, _ = np.indices(SHAPE)
    y = torch.from_numpy((3.0 * i - 2.0 * j + 20).astype(np.float32))[None]
    found = _run(linear, Measurement(measurement.operator, y))
    fine_i, fine_j, _ = np.indices(found.shape)
    expected = 3.0 * ((fine_i + 0.5) / 2 - 0.5) - 2.0 * ((fine_j + 0.5) / 2 - 0.5) + 20
    np.testing.assert_allclose(found[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-4)


@pytest.mark.parametrize("profile", ["box", "kspace"])
@pytest.mark.parametrize(("axes", "factor"), [((0, 1), 2.0), ((0, 1, 2), 2.0), ((1, 2), 1.7)])
def test_the_projection_explains_the_voxels_exactly(axes: tuple[int, ...], factor: float, profile: str) -> None:
    """The certificate promises at most 1e-4; interpolation alone is far from it."""
    measurement = _measurement(axes, factor, profile)

    def residual(method) -> float:
        back = measurement.operator.apply(torch.from_numpy(_run(method, measurement))[None])
        return float((back - measurement.y).norm() / measurement.y.norm())

    assert residual(cubic_projected) < 1e-5
    assert residual(cubic) > 5e-3
