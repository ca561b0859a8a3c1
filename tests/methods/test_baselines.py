"""Baselines: right slice centres, exact projection, and honest refusals."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.interpolate import CubicSpline

from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.methods.baselines import NoOptions, cubic, cubic_projected, linear, nearest
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.volume import SliceGeometry

ALL = (nearest, linear, cubic, cubic_projected)


def _geometry(axis=2, count=8, factor=5, gap=0, profile="box"):
    return SliceGeometry(axis, count, 0.8 * factor, 0.8 * (factor - gap), count * factor - gap, 0.8, profile)


def _measure(truth, g):
    shape = tuple(g.count if a == g.axis else n for a, n in enumerate(truth.shape))
    operator = Separable.from_slices(g, shape)
    return Measurement(operator, operator.apply(torch.tensor(np.array(truth), dtype=torch.float32)[None]))


def _run(method, measurement):
    return method(measurement, method.Options(), SeededNoise(0))


def _along(values, axis):
    shape = [6, 7, 9]
    shape[axis] = len(values)
    return np.broadcast_to(np.asarray(values).reshape([-1 if a == axis else 1 for a in range(3)]), shape)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("gap", [0, 1])
@pytest.mark.parametrize("method", [linear, cubic, cubic_projected])
def test_a_ramp_keeps_its_place_between_the_slice_centres(method, gap, axis):
    """Interpolation from block edges instead of slice centres would shift the head by half a slice."""
    g = _geometry(axis, gap=gap)
    ramp = np.arange(g.fine_count) * 3.0 + 40
    found = _run(method, _measure(_along(ramp, axis), g)).mean.numpy()
    inside = slice(g.fine_count // 8, -(g.fine_count // 8))
    profile = np.moveaxis(found, axis, -1)[2, 2]
    np.testing.assert_allclose(profile[inside], ramp[inside], atol=2e-3)


def test_beyond_the_outer_centres_the_edge_slice_is_held():
    """A cubic that is extrapolated overshoots into the air around the head."""
    g = _geometry()
    found = _run(cubic, _measure(_along(np.arange(g.fine_count) * 3.0, 2), g)).mean[0, 0]
    assert torch.allclose(found[:3], found[2].expand(3))
    assert torch.allclose(found[-3:], found[-3].expand(3))


def test_nearest_repeats_each_slice():
    """With an odd whole factor every slice covers exactly its own voxels."""
    g = _geometry(count=4, factor=3)
    y = np.array([4.0, 1.0, 7.0, 2.0])
    measurement = Measurement(
        Separable.from_slices(g, (2, 2, 4)), torch.as_tensor(np.tile(y, (1, 2, 2, 1)), dtype=torch.float32)
    )
    assert _run(nearest, measurement).mean[1, 1].tolist() == np.repeat(y, 3).tolist()


def test_cubic_is_the_natural_spline_through_the_slices():
    """An independent spline solver must give the same curve between the centres."""
    g = _geometry(count=9, factor=4)
    truth = np.random.default_rng(3).standard_normal((3, 4, g.fine_count))
    measurement = _measure(truth, g)
    z = (np.arange(9) - 4) * g.spacing
    fine = (np.arange(36) - 17.5) * g.fine_spacing
    expected = CubicSpline(z, measurement.y[0].double().numpy(), axis=-1, bc_type="natural")(np.clip(fine, z[0], z[-1]))
    np.testing.assert_allclose(_run(cubic, measurement).mean.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("profile", ["box", "gaussian"])
def test_projection_explains_the_slices_and_interpolation_does_not(profile):
    """The residual after projection is rounding, before it is not: so the projection is what removes it."""
    g = _geometry(axis=1, profile=profile)
    measurement = _measure(np.random.default_rng(0).random((6, g.fine_count, 7)), g)

    def residual(method):
        found = measurement.operator.apply(_run(method, measurement).mean[None])
        return float((found - measurement.y).norm() / measurement.y.norm())

    assert residual(cubic_projected) < 1e-5
    assert residual(cubic) > 1e-2


@pytest.mark.parametrize("method", ALL)
def test_every_baseline_meets_the_contract(method):
    """Shape, type, and no network call, sample or std that a table could mistake for a measured one."""
    g = _geometry(axis=0, count=4, factor=2)
    seen = []
    result = method(
        _measure(np.random.default_rng(0).random((8, 5, 6)), g),
        method.Options(),
        SeededNoise(0),
        lambda done, total: seen.append((done, total)),
    )
    assert result.mean.shape == (8, 5, 6)
    assert result.mean.dtype == torch.float32
    assert (result.calls, result.std, result.samples, result.status) == (0, None, None, "done")
    assert seen == [(1, 1)]
    assert method.citation


@pytest.mark.parametrize("method", ALL)
def test_other_measurements_are_refused(method):
    """A decimation without known voxel centres cannot be interpolated: silence would return a wrong image."""
    g = _geometry(axis=0, count=4, factor=2)
    plane = Separable({0: g.matrix(), 1: np.eye(5)}, (8, 5, 6), (g,))
    for operator in (Separable({0: g.matrix()}, (8, 5, 6)), plane):
        with pytest.raises(InputError, match="slices, or known coarse axes"):
            _run(method, Measurement(operator, torch.zeros(1, 4, 5, 6)))
    with pytest.raises(InputError, match="one scan"):
        _run(method, Measurement(Separable.from_slices(g, (4, 5, 6)), torch.zeros(2, 4, 5, 6)))


def test_a_baseline_has_no_options():
    """A misspelt option must not pass in silence."""
    with pytest.raises(ValidationError):
        NoOptions.model_validate({"steps": 3})
