"""A prior bound to a measurement does not care how the file stores it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.bound import BoundPrior
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.volume import SliceGeometry, fine_affine

PROFILE = (0.0, 0.2, 1.0, 0.9, 0.1)
"""Not symmetric, so that turning the axis without turning the profile is found."""


def _prior() -> SlicePrior:
    torch.manual_seed(0)
    prior = SlicePrior(SlicePriorConfig(channels=(8, 8), blocks=(1, 1)))
    for p in prior.parameters():
        torch.nn.init.normal_(p, std=0.15)
    return prior.eval().requires_grad_(False)


def _bind(
    y: torch.Tensor, affine: np.ndarray, axis: int, profile: str | tuple[float, ...] = "box", **options: int
) -> BoundPrior:
    g = SliceGeometry(axis, y.shape[axis + 1], 3.0, 3.0, 3 * y.shape[axis + 1], 1.0, profile)
    operator = Separable.from_slices(g, tuple(y.shape[1:]))
    return BoundPrior(_prior(), Measurement(operator, y, None, fine_affine(affine, g)), **options)


def _image(*shape: int) -> torch.Tensor:
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(5)) + 0.2


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
def test_axis_order_and_direction_do_not_change_the_answer(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    """Storing the same scan with its axes permuted and turned gives the same voxels, permuted and turned."""
    y, affine = _image(11, 5, 9), np.diag([1.0, 3.0, 1.0, 1.0])
    reference, _, _ = (b := _bind(y, affine, 1, PROFILE)).mean()
    expected = b.leave(reference)[0].permute(order)
    turned, moved = affine[:, [*order, 3]].copy(), y[0].permute(order)
    flips = [a for a in range(3) if signs[a] < 0]
    for a in flips:
        turned[:3, 3] += turned[:3, a] * (moved.shape[a] - 1)
        turned[:3, a] *= -1
    axis = order.index(1)
    profile = PROFILE if axis not in flips else PROFILE[::-1]
    bound = _bind(moved.flip(flips)[None], turned, axis, profile)
    found = bound.leave(bound.mean()[0])[0]
    assert torch.allclose(found, expected.flip(flips), atol=1e-4)


def test_result_scales_with_the_input() -> None:
    """A scan in other units gives the same restoration in those units."""
    y, affine = _image(8, 5, 9), np.diag([1.0, 3.0, 1.0, 1.0])
    one, many = _bind(y, affine, 1), _bind(700 * y, affine, 1)
    assert torch.allclose(many.leave(many.mean()[0]), 700 * one.leave(one.mean()[0]), rtol=1e-4, atol=1e-2)


def test_number_of_slabs_at_once_does_not_change_the_answer() -> None:
    """One slab a call or all at once: the same result, and the calls are counted."""
    y, affine = _image(11, 5, 9), np.diag([1.0, 3.0, 1.0, 1.0])
    whole, _, few = _bind(y, affine, 1).mean()
    single, _, many = _bind(y, affine, 1, voxels=1).mean()
    assert torch.allclose(whole, single, atol=1e-5) and few == many == 2


def test_the_mean_is_the_denoiser_at_the_largest_level() -> None:
    """The mean mode is the average over planes of D at sigma_max with x = m."""
    bound = _bind(_image(11, 5, 9), np.diag([1.0, 3.0, 1.0, 1.0]), 1)
    planes = [bound.denoiser(n)(bound.m, bound.prior.config.sigma_max) for n in bound.normals]
    assert torch.allclose(bound.mean()[0], torch.stack(planes).mean(0), atol=1e-5)


def test_the_inner_measurement_is_that_of_the_turned_volume() -> None:
    """Degrading in RAS order gives the turned slices, also for a profile that is not symmetric."""
    y = _image(8, 5, 9)
    affine = np.diag([1.0, -3.0, 1.0, 1.0])
    g = SliceGeometry(1, 5, 3.0, 3.0, 15, 1.0, PROFILE)
    operator = Separable.from_slices(g, (8, 5, 9))
    bound = BoundPrior(_prior(), Measurement(operator, y, None, fine_affine(affine, g)))
    x = torch.rand(1, *operator.shape)
    assert torch.allclose(bound.measurement.operator.apply(bound.enter(x)), bound.enter(operator.apply(x)), atol=1e-5)


def test_other_operators_are_refused() -> None:
    """A slice prior cannot be bound to an operator without slices, or to slices without a place."""
    y = _image(8, 5, 9)
    with pytest.raises(TypeError, match="slices"):
        BoundPrior(_prior(), Measurement(Separable({}, (8, 5, 9)), y, None, np.eye(4)))
