"""A volume prior bound to a measurement does not care how the file stores it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from volume_priors import SMALL, live, smooth, stack, untrained
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable, along
from voxprior.operators.tomography import Tomography
from voxprior.priors.condition import interpolate
from voxprior.priors.denoiser import Denoised
from voxprior.priors.volume import FEATURES, VolumePrior, VolumePriorConfig
from voxprior.priors.volume_bound import BoundVolume, cell_axis, describe_axes, on_cells
from voxprior.volume import SliceGeometry

PROFILE = (0.0, 0.2, 1.0, 0.9, 0.1)
"""Not symmetric, so that turning the axis without turning the profile is found."""


class Pointwise(VolumePrior):
    """A network that looks at single voxels: nothing in it knows rows from columns."""

    def forward(
        self, x: Tensor, m: Tensor, fine: Tensor, sigma: Tensor, spread: Tensor, vector: Tensor
    ) -> Denoised:
        told = vector[:, :5].sum(1) + fine + sigma + spread
        mean = m + 0.1 * torch.tanh(3 * (x - m) + 2 * m**2) * (1 + 0.01 * told[:, None, None, None])
        return Denoised(mean, mean.abs())


def _bind(prior: VolumePrior, measurement: Measurement) -> BoundVolume:
    single = Measurement(measurement.operator, measurement.y.float(), measurement.sigma, measurement.affine)
    return BoundVolume(prior, single)


def _answers(prior: VolumePrior, measurement: Measurement) -> tuple[Tensor, Tensor]:
    bound = _bind(prior, measurement)
    mean, std, _ = bound.mean()
    return bound.leave(mean)[0], bound.spread(std)[0]


def _turned(truth: Tensor, axis: int, order: tuple[int, ...], signs: tuple[int, ...]) -> Measurement:
    """The scan of ``truth``, stored with its axes permuted and turned, and an affine that says so."""
    flips = [a for a in range(3) if signs[a] < 0]
    affine: NDArray[np.float64] = np.eye(4)[:, [*order, 3]].copy()
    for a in flips:
        affine[:3, a] *= -1
    new = order.index(axis)
    profile = PROFILE[::-1] if new in flips else PROFILE
    return stack(truth[0].permute(order).flip(flips)[None], new, 3.0, affine, profile)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_48_orientations_give_one_answer(order: tuple[int, ...]) -> None:
    """Axes permuted and turned in the file: the same voxels, permuted and turned, mean and std."""
    truth = smooth(8, 6, 12)
    prior = Pointwise(VolumePriorConfig(**SMALL))
    expected = _answers(prior, _turned(truth, 2, (0, 1, 2), (1, 1, 1)))
    for signs in itertools.product((1, -1), repeat=3):
        flips = [a for a in range(3) if signs[a] < 0]
        found = _answers(prior, _turned(truth, 2, order, signs))
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b.permute(order).flip(flips), rtol=0, atol=1e-5)


def test_a_network_sees_the_patient_the_right_way_round() -> None:
    """A network that tells left from right gives the same for a file stored from the other ends."""
    truth, prior = smooth(8, 8, 12), live()
    expected = _answers(prior, _turned(truth, 2, (0, 1, 2), (1, 1, 1)))[0]
    assert not torch.allclose(expected.flip(0), _answers(prior, stack(truth.flip(1), 2, 3.0, None, PROFILE))[0])
    for signs in ((-1, 1, 1), (1, -1, -1), (-1, -1, -1)):
        flips = [a for a in range(3) if signs[a] < 0]
        found = _answers(prior, _turned(truth, 2, (0, 1, 2), signs))[0]
        torch.testing.assert_close(found, expected.flip(flips), rtol=0, atol=1e-4)


def test_result_scales_with_the_input() -> None:
    """A scan in other units, noise and all, gives the same restoration in those units."""
    m = stack(smooth(8, 8, 12), 2, 4)
    one = _answers(live(), Measurement(m.operator, m.y, 0.01, m.affine))
    many = _answers(live(), Measurement(m.operator, 700 * m.y, 7.0, m.affine))
    for a, b in zip(one, many, strict=True):
        torch.testing.assert_close(b, 700 * a, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_real_factor_ends_on_the_grid_asked_for(axis: int) -> None:
    """37 x 50 x 61 at 3.5: cells of four within, the grid of the operator without; an untrained prior is m on it."""
    measurement = stack(smooth(37, 50, 61), axis, 3.5)
    operator = measurement.operator
    assert isinstance(operator, Separable) and operator.slices is not None
    bound = _bind(untrained(tile=(16, 64, 64)), measurement)
    assert bound.fine == 4 and bound.m.shape[axis + 1] == 4 * operator.slices.count
    found = bound.leave(bound.mean()[0])
    assert tuple(found.shape[1:]) == operator.shape
    expected = along(measurement.y, interpolate(operator.slices).matrix, axis)
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-5)
    std = bound.spread(bound.mean()[1])
    assert std.shape == found.shape and bool((std >= 0).all())


def test_what_the_prior_adds_is_carried_over_to_the_grid_asked_for() -> None:
    """A smooth change on the cells' grid is the same change, in mm, on the other: not stretched, not shifted."""
    measurement = stack(smooth(4, 4, 63), 2, 3.5)
    g = measurement.operator.slices  # type: ignore[attr-defined]
    bound = _bind(untrained(), measurement)
    cells = (np.arange(bound.m.shape[3]) - (bound.m.shape[3] - 1) / 2) * 3.5 / bound.fine
    asked = (np.arange(g.fine_count) - (g.fine_count - 1) / 2) * 1.0
    wave = torch.from_numpy(np.sin(cells / 9 + 0.3)).float()
    moved = (bound.leave(bound.m + wave) - bound.leave(bound.m))[0, 0, 0] / bound.scale
    np.testing.assert_allclose(moved[3:-3].numpy(), np.sin(asked / 9 + 0.3)[3:-3], atol=2e-3)


def test_entering_and_leaving_are_inverse() -> None:
    """On a grid of whole cells an image comes back as it was, in its units and order."""
    measurement = stack(smooth(6, 8, 12), 1, 4, np.diag([-1.0, 1.0, -1.0, 1.0]))
    bound = _bind(untrained(), measurement)
    x = torch.rand(2, 6, 8, 12)
    torch.testing.assert_close(bound.leave(bound.enter(x)), x)
    inner = bound.measurement
    torch.testing.assert_close(
        inner.operator.apply(bound.enter(x)), bound.enter(measurement.operator.apply(x)), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)])
def test_volumes_coarse_in_two_directions(pair: tuple[int, int]) -> None:
    """Twice coarser within the slices: the third axis is cut into cells of one slice, and nothing is regridded."""
    truth = smooth(12, 16, 14)
    axes = [SliceGeometry(a, truth.shape[a + 1] // 2, 2.0, 2.0, truth.shape[a + 1], 1.0) for a in pair]
    measured = tuple(n // 2 if a in pair else n for a, n in enumerate(truth.shape[1:]))
    operator = Separable.from_axes(axes, measured)
    bound = _bind(untrained(), Measurement(operator, operator.apply(truth), None, np.eye(4)))
    assert bound.axis == 3 - sum(pair) and bound.fine == 1
    found = bound.leave(bound.mean()[0])
    assert found.shape == truth.shape
    assert float((found - truth).square().mean().sqrt()) < 0.05 * float(truth.max())
    assert bound.vector[0] == 0 and bound.vector[8] == 1


def test_tiles_bound_memory_and_are_counted() -> None:
    """No network call is larger than the card says; progress counts tiles, and a pass is one call."""
    seen: list[tuple[int, ...]] = []

    class Watched(Pointwise):
        def forward(self, x: Tensor, *told: Tensor) -> Denoised:
            seen.append(tuple(x.shape[1:]))
            return super().forward(x, *told)

    bound = _bind(Watched(VolumePriorConfig(**SMALL)), stack(smooth(40, 24, 48), 2, 4))
    steps: list[tuple[int, int]] = []
    _, _, calls = bound.mean(lambda done, total: steps.append((done, total)))
    assert calls == 1 and len(seen) == bound.calls == steps[-1][0] == steps[-1][1]
    assert all(a <= 32 and b <= 16 and c <= 16 for a, b, c in seen)
    assert {s[0] for s in seen} == {32}, "the cells come first, whatever the axis"


def test_samples_in_a_batch_do_not_mix() -> None:
    """Two states of one volume go through as two."""
    bound = _bind(live(), stack(smooth(8, 8, 12), 2, 4))
    x = torch.randn(2, 8, 8, 12)
    with torch.no_grad():
        both, alone = bound.denoiser()(x, 0.5), bound.denoiser()(x[1:], 0.5)
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-5)
    assert bound.denoiser().sigma_range == (0.002, 20.0)


def test_cells_are_as_near_to_the_grid_asked_for_as_can_be() -> None:
    """Whole numbers of fine slices, at most as many as there are cosines, at least one; slices keep their kernel."""
    for spacing, fine in ((3.5, 4), (3.4, 3), (0.3, 1), (12.0, 8)):
        g = SliceGeometry(1, 5, spacing, 2.0, 17, 1.0)
        cells = on_cells(g, 8)
        assert (cells.fine_count, cells.fine_spacing) == (5 * fine, spacing / fine)
        assert (cells.thickness, cells.spacing, cells.count) == (2.0, spacing, 5)
    a, b = (SliceGeometry(i, 5, 2.0, 2.0, 10, 1.0) for i in (0, 2))
    assert cell_axis([a]) == 0 and cell_axis([a, b]) == 1 and cell_axis([b, SliceGeometry(1, 5, 2, 2, 10, 1)]) == 0


def test_the_description_says_what_was_measured() -> None:
    """Each number has its place: what is coarse and how, noise, voxels, degradation, directions."""
    g = SliceGeometry(1, 6, 6.0, 5.0, 36, 1.0)
    one = describe_axes((g,), 1, (0.9, 1.0, 1.1), (2, 1, 0), 0.02)
    assert one.shape == (FEATURES,) and one[0] == 1 and one[8] == 0
    np.testing.assert_allclose(one[1:3], np.log([5.0, 6.0]), rtol=1e-6)
    # A box of 5 about the middle of 6 voxels holds four of them and half of the outer two: a std of 1.5 of spacing 6.
    assert one[3] == pytest.approx(0.25)
    assert one[4] == pytest.approx(0.2) and one[12] == 0
    # Slices, then the others as they lie in the patient: array axis 2 is left-right here, 0 head-foot.
    np.testing.assert_allclose(one[5:8], np.log([1.0, 1.1, 0.9]), rtol=1e-6)
    assert list(one[13:]) == [0, 1, 0]
    other = describe_axes((g,), 1, (0.9, 1.0, 1.1), None, 0.02, "1.5t")
    assert other[12] == 1 and not other[13:].any()


@pytest.mark.parametrize("case", ["no axes", "no affine", "views"])
def test_other_measurements_are_refused(case: str) -> None:
    """A prior of volumes needs to know what is coarse, and where the patient is."""
    g = SliceGeometry(2, 3, 4.0, 4.0, 12, 1.0)
    operators: dict[str, Any] = {
        "no axes": Separable({2: g.matrix()}, (6, 6, 12)),
        "no affine": Separable.from_slices(g, (6, 6, 3)),
        "views": Tomography,
    }
    affine = None if case == "no affine" else np.eye(4)
    with pytest.raises(TypeError, match="volume prior"):
        BoundVolume(untrained(), Measurement(operators[case], torch.ones(1, 6, 6, 3), None, affine))
