"""The std of the null space and of the noise, against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxprior.operators.base import null_space, pinv
from voxprior.operators.separable import Separable
from voxprior.operators.spread import grain_std, noise_std, null_std
from voxprior.volume import SliceGeometry


def _dense(f, count, shape):
    """Columns of a linear map of images of ``shape``."""
    basis = torch.eye(count, dtype=torch.float64).reshape(count, *shape)
    return f(basis).reshape(count, -1).T.numpy()


@settings(max_examples=12, deadline=None)
@given(
    factors=st.lists(st.sampled_from([1.0, 1.5, 2.0, 3.0]), min_size=1, max_size=2),
    profile=st.sampled_from(["box", "gaussian"]),
    seed=st.integers(0, 99),
)
def test_spreads_are_those_of_dense_matrices(factors: list[float], profile: str, seed: int) -> None:
    """Guards diag(P S P') and diag(A+ A+') along one axis and along two, for ratios that are not whole."""
    axes = [SliceGeometry(a, 3, f, f, round(3 * f), 1.0, profile) for a, f in enumerate(factors)]
    shape = tuple(round(3 * f) for f in factors) + (2,) * (3 - len(factors))
    data = tuple(3 for _ in factors) + (2,) * (3 - len(factors))
    operator = Separable.from_axes(axes, data)
    if operator.condition > 50:
        return
    std = torch.from_numpy(np.random.default_rng(seed).uniform(0.5, 2, shape))
    p = _dense(lambda x: null_space(operator, x), std.numel(), shape)
    expected = np.sqrt(np.clip((p**2) @ np.square(std.numpy().ravel()), 0, None))
    np.testing.assert_allclose(null_std(operator, std).numpy().ravel(), expected, atol=2e-6)
    row = np.prod([np.sqrt((g.matrix() ** 2).sum(1)).mean() for g in axes])
    expected = 0.7 / row * np.sqrt((p**2).sum(1))
    np.testing.assert_allclose(grain_std(operator, 0.7, std).numpy().ravel(), expected, atol=2e-6)
    inverse = _dense(lambda y: pinv(operator, y, torch.zeros(len(y), *shape, dtype=y.dtype)), int(np.prod(data)), data)
    expected = 0.7 * np.sqrt((inverse**2).sum(1))
    np.testing.assert_allclose(noise_std(operator, 0.7, std).numpy().ravel(), expected, rtol=1e-5)


def test_what_the_data_determine_has_the_noise_alone() -> None:
    """Guards the separation: with slices as thin as the voxels nothing is invented, and the std is the noise's."""
    operator = Separable.from_axes([SliceGeometry(0, 5, 1.0, 1.0, 5, 1.0, "box")], (5, 2, 2))
    std = torch.full((5, 2, 2), 3.0)
    assert float(null_std(operator, std).max()) == 0
    assert noise_std(operator, 0.4, std).numpy() == pytest.approx(0.4)


def test_a_pair_of_voxels_shares_its_error() -> None:
    """Guards the form for x2: the mean of the pair is known, so both err by the same, whatever was predicted."""
    operator = Separable.from_axes([SliceGeometry(0, 4, 2.0, 2.0, 8, 1.0, "box")], (4, 1, 1))
    left = null_std(operator, torch.arange(1.0, 9).reshape(8, 1, 1)).ravel()
    assert left[0::2].numpy() == pytest.approx(left[1::2].numpy())
    assert float(left[0]) == pytest.approx(np.sqrt((1 + 4) / 4))
