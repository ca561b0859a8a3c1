"""Preconditioning about the interpolated measurement."""

from __future__ import annotations

import pytest
import torch

from voxprior.priors.condition import FEATURES, describe, interpolate
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig, precondition
from voxprior.volume import SliceGeometry

SMALL = SlicePriorConfig(channels=(8, 8), blocks=(1, 1))


def _inputs(n: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "x": torch.rand(n, 6, 16, 24),
        "m": torch.rand(n, 6, 16, 24),
        "phase": torch.rand(n, 2, 16),
        "sigma": torch.full((n,), 0.5),
        "spread": torch.full((n,), 0.1),
        "vector": torch.rand(n, FEATURES),
    }


def test_preconditioning_is_that_of_the_paper() -> None:
    """With m = 0 the coefficients are EDM's: skip, out and in for sigma = 0.5 and data std 0.5."""
    c = precondition(torch.tensor([0.5]), torch.tensor([0.5]), (1e-3, 80.0))
    assert float(c.skip) == pytest.approx(0.5)
    assert float(c.out) == pytest.approx(0.5 / 2**0.5)
    assert float(c.inp) == pytest.approx(2**0.5)
    assert float(c.label) == pytest.approx(-0.6931472 / 4)


def test_an_untrained_denoiser_is_the_best_linear_one_about_m() -> None:
    """With F = 0, D is the posterior mean of N(m, spread^2) under noise sigma^2."""
    v = _inputs()
    found = SlicePrior(SMALL)(**v).mean
    gain = 0.1**2 / (0.1**2 + 0.5**2)
    inner = slice(2, 4)
    assert torch.allclose(found, v["m"][:, inner] + gain * (v["x"] - v["m"])[:, inner], atol=1e-6)


def test_without_noise_the_denoiser_returns_its_input() -> None:
    """As sigma goes to zero, D goes to x, whatever the network says."""
    prior = SlicePrior(SMALL)
    torch.nn.init.normal_(prior.network.head.weight, std=0.1)
    v = _inputs() | {"sigma": torch.full((2,), 1e-6)}
    assert torch.allclose(prior(**v).mean, v["x"][:, 2:4], atol=1e-4)


def test_labels_are_clamped_to_the_trained_range() -> None:
    """Above the largest trained level the network is told the largest, while the coefficients go on."""
    c = precondition(torch.tensor([1e3]), torch.tensor([0.5]), (1e-3, 20.0))
    assert float(c.label) == pytest.approx(float(torch.log(torch.tensor(20.0))) / 4)
    assert float(c.skip) < 1e-6


def test_the_mean_estimate_is_the_largest_level_with_a_quiet_input() -> None:
    """regress() is D at sigma_max with x = m, so (a) and (b) are one set of weights."""
    prior = SlicePrior(SMALL)
    torch.nn.init.normal_(prior.network.head.weight, std=0.1)
    v = _inputs()
    expected = prior(v["m"], v["m"], v["phase"], torch.full((2,), 20.0), v["spread"], v["vector"])
    found = prior.regress(v["m"], v["phase"], v["spread"], v["vector"])
    assert torch.equal(found.mean, expected.mean) and (found.std > 0).all()


def test_description_tells_acquisitions_apart() -> None:
    """Thickness, distance, profile, voxel and plane each change the vector; no measurement leaves it blank."""
    base = SliceGeometry(0, 10, 5.0, 5.0, 50, 1.0)
    seen = [
        describe(base, (1, 1, 1), (0, 1)),
        describe(SliceGeometry(0, 10, 5.0, 4.0, 50, 1.0), (1, 1, 1), (0, 1)),
        describe(SliceGeometry(0, 10, 4.0, 4.0, 50, 1.0), (1, 1, 1), (0, 1)),
        describe(SliceGeometry(0, 10, 5.0, 5.0, 50, 1.0, "gaussian"), (1, 1, 1), (0, 1)),
        describe(base, (1, 0.8, 1), (0, 1)),
        describe(base, (1, 1, 1), (1, 0)),
        describe(base, (1, 1, 1), None),
        describe(base, (1, 1, 1), (0, 1), noise=0.02),
        describe(None, (1, 1, 1), (0, 1)),
    ]
    assert len({tuple(v.tolist()) for v in seen}) == len(seen)
    assert describe(None, (1, 1, 1), None).tolist() == [0.0] * FEATURES


def test_expected_spread_grows_with_thickness() -> None:
    """The spread that scales the network's output rises with the slice distance, from below .06 to above .08."""
    spreads = [interpolate(SliceGeometry(0, 20, f, f, 20 * f, 1.0)).residual for f in (2, 3, 5, 8)]
    assert spreads == sorted(spreads) and spreads[0] < 0.06 and spreads[-1] > 0.08
