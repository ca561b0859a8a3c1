"""A slice prior of two axes, bound to a volume that is coarse along several."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from voxprior.errors import InputError
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.bound import BoundPrior
from voxprior.priors.condition import FEATURES, GRID_FEATURES, PLACE, describe, describe_grid, phase_maps
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.grid import BoundGrid
from voxprior.priors.weights import widened
from voxprior.volume import SliceGeometry

Spacing = tuple[float, float, float]


def _prior(axes: int = 2, std: float = 0.15) -> SlicePrior:
    torch.manual_seed(0)
    prior = SlicePrior(SlicePriorConfig(channels=(8, 8), blocks=(1, 1), axes=axes))
    for p in prior.parameters():
        torch.nn.init.normal_(p, std=std)
    return prior.eval().requires_grad_(False)


def _geometry(axis: int, count: int, profile: str | tuple[float, ...] = "box") -> SliceGeometry:
    return SliceGeometry(axis, count, 2.0, 2.0, 2 * count, 1.0, profile)


def _bind(
    y: torch.Tensor,
    coarse: tuple[int, ...],
    affine: np.ndarray,
    profile: str | tuple[float, ...] = "box",
    **options: int,
) -> BoundGrid:
    axes = tuple(_geometry(a, y.shape[a + 1], profile) for a in coarse)
    operator = Separable.from_axes(axes, tuple(y.shape[1:]))
    return BoundGrid(_prior(), Measurement(operator, y, None, affine), **options)


def _image(*shape: int) -> torch.Tensor:
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(5)) + 0.2


def test_a_widened_prior_is_the_prior_it_was() -> None:
    """Guards the start of a training: with zeros for what is new, mean and std of a slice stack are the same."""
    narrow = _prior(axes=1)
    wide = SlicePrior(SlicePriorConfig(**{**narrow.config.model_dump(), "axes": 2}))
    wide.load_state_dict(widened(narrow.state_dict(), wide.state_dict()))
    y, g = _image(6, 5, 7), _geometry(1, 5)
    measurement = Measurement(Separable.from_axes((g,), (6, 5, 7)), y, 0.01, np.diag([-1.0, 1.0, 1.0, 1.0]))
    one, two = BoundPrior(narrow, measurement), BoundGrid(wide.requires_grad_(False), measurement)
    for a, b in zip(one.mean(), two.mean(two.planes("one")), strict=True):
        assert torch.allclose(torch.as_tensor(a), torch.as_tensor(b), atol=1e-6)
    x = _image(6, 10, 7)
    places = {plane.normal: plane for plane in two.planes("one")}
    for normal in one.normals:
        assert torch.allclose(one.denoiser(normal)(x, 0.3), two.denoiser(places[normal])(x, 0.3), atol=1e-6)


def test_widening_leaves_other_differences_to_be_refused() -> None:
    """A network of another width is not made to fit."""
    state = _prior(axes=1).state_dict()
    other = SlicePrior(SlicePriorConfig(channels=(16, 8), blocks=(1, 1), axes=2))
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict(widened(state, other.state_dict()))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1)])
@pytest.mark.parametrize("which", ["one", "three"])
def test_axis_order_and_direction_do_not_change_the_answer(
    order: tuple[int, ...], signs: tuple[int, ...], which: str
) -> None:
    """Storing the same scan with its axes permuted and turned gives the same voxels, permuted and turned."""
    y, affine, profile = _image(5, 4, 6), np.eye(4), (0.0, 0.2, 1.0, 0.9, 0.1)
    b = _bind(y, (0, 1), affine, profile)
    expected = b.leave(b.mean(b.planes(which))[0])[0].permute(order)  # type: ignore[arg-type]
    axes = [_geometry(order.index(a), y.shape[a + 1], profile) for a in (0, 1)]
    turned, moved = affine[:, [*order, 3]].copy(), y[0].permute(order)
    flips = [a for a in range(3) if signs[a] < 0]
    for a in flips:
        turned[:3, a] *= -1
    axes = [
        SliceGeometry(g.axis, g.count, 2.0, 2.0, g.fine_count, 1.0, profile[::-1] if g.axis in flips else profile)
        for g in axes
    ]
    operator = Separable.from_axes(axes, tuple(moved.shape))
    bound = BoundGrid(_prior(), Measurement(operator, moved.flip(flips)[None], None, turned))
    found = bound.leave(bound.mean(bound.planes(which))[0])[0]  # type: ignore[arg-type]
    assert torch.allclose(found, expected.flip(flips), atol=1e-4)


def test_result_scales_with_the_input_and_not_with_the_batch() -> None:
    """Units of the input and slabs a call change nothing but the units."""
    y = _image(5, 4, 9)
    plain = _bind(y, (0, 1), np.eye(4))
    scaled, small = _bind(1000 * y, (0, 1), np.eye(4)), _bind(y, (0, 1), np.eye(4), voxels=100)
    planes = plain.planes("three")
    mean = plain.leave(plain.mean(planes)[0])
    assert torch.allclose(scaled.leave(scaled.mean(planes)[0]), 1000 * mean, rtol=1e-4, atol=1e-2)
    assert torch.allclose(small.leave(small.mean(planes)[0]), mean, atol=1e-5)
    x = _image(10, 8, 9)
    assert torch.allclose(small.denoiser(planes[1])(x, 0.2), plain.denoiser(planes[1])(x, 0.2), atol=1e-5)


def test_three_directions_are_averaged() -> None:
    """The combination of three networks is the mean of each alone, with one call each."""
    bound = _bind(_image(5, 4, 6), (0, 1), np.eye(4))
    planes = bound.planes("three")
    assert {p.normal for p in planes} == {0, 1, 2} and planes[0] == bound.planes("one")[0]
    mean, std, calls = bound.mean(planes)
    alone = [bound.mean([p]) for p in planes]
    assert calls == 3
    assert torch.allclose(mean, torch.stack([m for m, _, _ in alone]).mean(0), atol=1e-6)
    assert torch.allclose(std, torch.stack([s for _, s, _ in alone]).mean(0), atol=1e-6)
    assert not torch.allclose(alone[0][0], alone[1][0], atol=1e-3)


@pytest.mark.parametrize("profile", ["box", "kspace"])
def test_a_ramp_is_interpolated_to_itself(profile: str) -> None:
    """MS-08: coarse voxels are read at their centres; with corners on corners a ramp would come back shifted."""
    ramp = torch.linspace(0.2, 1.2, 24)[:, None, None].expand(24, 6, 3)[None].contiguous()
    axes = (_geometry(0, 12, "box"), _geometry(1, 3, profile))
    operator = Separable.from_axes(axes, (12, 3, 3))
    bound = BoundGrid(_prior(), Measurement(operator, operator.apply(ramp), None, np.eye(4)))
    found = bound.leave(bound.m)[0, 4:-4]
    assert torch.allclose(found, ramp[0, 4:-4], atol=2e-3)


def test_volumes_coarse_in_every_direction_and_by_any_factor() -> None:
    """MS-11, MS-15: depth is an axis as others are, and sizes need not be even, nor factors whole."""
    axes = tuple(SliceGeometry(a, n, 1.7, 1.7, fine, 1.0) for a, n, fine in ((0, 5, 9), (1, 4, 7), (2, 3, 6)))
    bound = BoundGrid(_prior(), Measurement(Separable.from_axes(axes, (5, 4, 3)), _image(5, 4, 3), None, np.eye(4)))
    for which in ("one", "three"):
        assert bound.mean(bound.planes(which))[0].shape == (1, 9, 7, 6)


def test_the_network_is_told_the_place_of_a_slab_along_a_coarse_normal() -> None:
    """Slabs that begin on the first and on the second half of a coarse voxel have descriptions of their own."""
    bound = _bind(_image(5, 4, 6), (0, 1), np.eye(4))
    across = next(p for p in bound.planes("three") if p.normal == 1)
    told = bound.vectors(across, [0, 1, 2])
    assert told.shape == (3, GRID_FEATURES)
    assert torch.allclose(told[0], told[2], atol=1e-6)
    assert not torch.allclose(told[0, PLACE : PLACE + 2], told[1, PLACE : PLACE + 2], atol=0.1)
    flat = bound.vectors(bound.planes("one")[0], [0, 1])
    assert torch.equal(flat[0], flat[1])


def test_degradations_are_told_apart() -> None:
    """The first part of the description is that of a slice stack; each cause has a mark of its own."""
    g = _geometry(0, 8)
    told = {d: describe_grid((g, g, None), (1, 1, 1), (0, 1), degradation=d) for d in ("box", "kspace", "1.5t")}
    assert len({tuple(v) for v in told.values()}) == 3
    np.testing.assert_array_equal(told["box"][:FEATURES], describe(g, (1, 1, 1), (0, 1)))


def test_phase_maps_vary_along_their_own_axis() -> None:
    """Rows first, then columns; a fine axis has zeros."""
    rows = np.arange(6.0).reshape(2, 3)
    maps = phase_maps(rows, None, (3, 4))
    np.testing.assert_array_equal(maps[:2, :, 2], rows)
    assert (maps[2:] == 0).all()
    np.testing.assert_array_equal(phase_maps(None, rows, (4, 3))[2:, 1], rows)


def test_what_cannot_be_bound_is_refused() -> None:
    """Weights of slice stacks, and volumes without a place."""
    y, g = _image(5, 4, 6), _geometry(0, 5)
    operator = Separable.from_axes((g,), (5, 4, 6))
    with pytest.raises(InputError, match="coarse slices alone"):
        BoundGrid(_prior(axes=1), Measurement(operator, y, None, np.eye(4)))
    with pytest.raises(TypeError, match="affine"):
        BoundGrid(_prior(), Measurement(operator, y))
