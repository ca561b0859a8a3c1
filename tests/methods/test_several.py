"""Several scans are explained, and what none of them sees well stays as it was estimated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from torch import Tensor

from phantoms import HEAD
from voxprior.methods.several import LEAST_NOISE, LEAST_NOISE_HELD, fit
from voxprior.operators import base
from voxprior.operators.base import Measurement
from voxprior.operators.placement import Grid, Stack
from voxprior.operators.tilted import operator_of

SHAPE, VOXEL, THICK = (20, 24, 20), 2.0, 4.0
GRID = Grid(np.diag([VOXEL, VOXEL, VOXEL, 1.0]), SHAPE)
NOISE = 3.0


def _truth() -> NDArray[np.float64]:
    places = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * VOXEL for n in SHAPE], indexing="ij")
    return np.asarray(gaussian_filter(HEAD.at(*places), 0.7))


def _measured(move: NDArray[np.float64]) -> tuple[Measurement, Tensor]:
    """Three orthogonal stacks with noise, the others ``move`` away from the voxels of the grid; a blurred estimate."""
    rng, truth = np.random.default_rng(3), _truth()
    found, data = [], []
    for axis, place in ((2, np.eye(4)), (1, move), (0, move)):
        steps = np.where(np.arange(3) == axis, THICK, VOXEL)
        affine = np.diag([*steps, 1.0])
        affine[axis, 3] = (THICK - VOXEL) / 2
        counts = np.round(np.array(SHAPE) * VOXEL / steps).astype(int)
        stack = Stack(place @ affine, (int(counts[0]), int(counts[1]), int(counts[2])), axis, THICK)
        operator, where = operator_of(stack, GRID)
        found.append(operator)
        y = where.apply(truth)
        data.append(torch.from_numpy(y + NOISE * rng.standard_normal(y.shape)).float()[None])
    joined = base.Stack(found, [one.data_shape for one in found])
    estimate = torch.from_numpy(gaussian_filter(truth, 0.8)).float()[None]
    return Measurement(joined, joined.join(data), NOISE), estimate


def test_known_noise_is_not_explained_at_the_price_of_the_estimate() -> None:
    """With an estimate nearer to the truth than the data are, the fit keeps it nearer than the projection does."""
    measured, _ = _measured(np.eye(4))
    close = torch.from_numpy(_truth() + np.random.default_rng(4).standard_normal(SHAPE)).float()[None]
    weighed, plain = (fit(close, measured, error).image for error in (1.0, np.inf))
    assert _error(weighed) < _error(close) and _error(plain) > 2 * _error(weighed)
    exact = Measurement(measured.operator, measured.y, None)
    torch.testing.assert_close(fit(close, exact, 1.0).image, plain)


def _error(image: Tensor) -> float:
    return float(np.sqrt(np.square(image[0].numpy() - _truth()).mean()))


def test_scans_on_the_voxels_of_the_grid_are_explained_as_well_as_can_be() -> None:
    """The plain projection, to rounding: nothing that the scans say is given up."""
    measured, estimate = _measured(np.eye(4))
    fitted = fit(estimate, measured)
    torch.testing.assert_close(fitted.image, measured.operator.prox(estimate, measured.y, 0.0), rtol=1e-4, atol=1e-2)
    assert fitted.least == LEAST_NOISE


@pytest.mark.parametrize("turn", [0.0, 4.0], ids=["between", "across"])
def test_scans_across_or_between_the_voxels_do_not_enlarge_noise(turn: float) -> None:
    """The error falls by the fit; that of the plain projection grows far beyond the noise of the data."""
    move = np.eye(4)
    move[:3, :3] = Rotation.from_rotvec([turn, -turn, turn / 2], degrees=True).as_matrix()
    move[:3, 3] = [0.9, 1.1, -0.8]
    measured, estimate = _measured(move)
    fitted = fit(estimate, measured)
    plain = measured.operator.prox(estimate, measured.y, 0.0)
    assert _error(fitted.image) < _error(estimate) and _error(fitted.image) < 2 * NOISE
    assert _error(plain) > 5 * _error(fitted.image)
    before, after = ((measured.operator.apply(x) - measured.y).norm() for x in (estimate, fitted.image))
    assert after < 0.5 * before, "and the scans are explained far better than before"
    assert fitted.least == LEAST_NOISE_HELD
