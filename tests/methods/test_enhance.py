"""The default method of in-plane super-resolution, with a network of random weights: what holds for any of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.methods.enhance import Settings, voxprior
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.weights import export
from voxprior.volume import SliceGeometry


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    prior = SlicePrior(SlicePriorConfig(channels=(8, 8), blocks=(1, 1), axes=2))
    for p in prior.parameters():
        torch.nn.init.normal_(p, std=0.05)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    export(prior, path, dict.fromkeys(("licence", "data", "training", "figures"), ""))
    return str(path)


def _measurement(profile: str = "box", noise: float | None = None) -> Measurement:
    axes = tuple(SliceGeometry(a, n, 2.0, 2.0, 2 * n, 1.0, profile) for a, n in ((0, 5), (2, 6)))
    operator = Separable.from_axes(axes, (5, 8, 6))
    truth = 200 + 50 * torch.randn(1, 10, 8, 12, generator=torch.Generator().manual_seed(0))
    return Measurement(operator, operator.apply(truth), noise, np.diag([1.0, -1.0, 1.0, 1.0]))


def _residual(measurement: Measurement, image: torch.Tensor) -> float:
    y = measurement.operator.apply(image[None])
    return float((y - measurement.y).norm() / measurement.y.norm())


@pytest.mark.parametrize("profile", ["box", "kspace"])
@pytest.mark.parametrize("mode", ["mean", "sample"])
@pytest.mark.parametrize("planes", ["one", "three"])
def test_the_result_explains_the_measurement(weights: str, profile: str, mode: str, planes: str) -> None:
    """Whatever the network says, the coarse voxels of mean and samples are those that were measured."""
    measurement = _measurement(profile)
    options = Settings.model_validate(
        {"mode": mode, "steps": 3, "samples": 2, "planes": planes, "degradation": profile, "weights": weights}
    )
    result = voxprior(measurement, options, SeededNoise(0))
    assert result.mean.shape == (10, 8, 12) and result.notes["projection"] == "exact"
    assert _residual(measurement, result.mean) < 1e-4
    assert result.std is not None and bool((result.std > 0).all())
    assert result.calls == ({"one": 1, "three": 3}[planes] if mode == "mean" else 6)
    if mode == "sample":
        assert result.samples is not None and not torch.equal(result.samples[0], result.samples[1])
        assert max(_residual(measurement, s) for s in result.samples) < 1e-4


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_a_weak_field_is_not_projected(weights: str, mode: str) -> None:
    """MS-09: contrast differs, so that the coarse voxels of the result are not those that were measured."""
    measurement = _measurement(noise=20.0)
    told = {"mode": mode, "steps": 3, "weights": weights}
    result = voxprior(measurement, Settings.model_validate({**told, "degradation": "1.5t"}), SeededNoise(0))
    box = voxprior(measurement, Settings.model_validate(told), SeededNoise(0))
    assert result.notes["projection"] == "none" and _residual(measurement, result.mean) > 1e-3
    assert not torch.allclose(result.mean, box.mean, rtol=1e-3)
    assert result.std is not None and bool((result.std > 0).all())


def test_a_sample_is_a_function_of_its_seed(weights: str) -> None:
    """The same seed gives the same bits, another one another sample."""
    settings = Settings(mode="sample", steps=3, weights=weights)
    one, again, other = (voxprior(_measurement(), settings, SeededNoise(seed)).mean for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_a_field_change_at_the_size_it_has(weights: str) -> None:
    """Factor 1: contrast and noise alone; the grid stays, and the result is finite."""
    axes = tuple(SliceGeometry(a, 8, 1.0, 1.0, 8, 1.0) for a in (0, 1))
    y = torch.rand(1, 8, 8, 6)
    measurement = Measurement(Separable.from_axes(axes, (8, 8, 6)), y, None, np.eye(4))
    result = voxprior(measurement, Settings(degradation="1.5t", weights=weights), SeededNoise(0))
    assert result.mean.shape == (8, 8, 6) and bool(result.mean.isfinite().all())


@pytest.mark.parametrize("axes", [(0, 1), (0, 1, 2)])
def test_three_coarse_axes_are_not_for_the_network_of_volumes(axes: tuple[int, ...]) -> None:
    """It was never trained on them; what it was trained on is not doubted."""
    known = tuple(SliceGeometry(a, 4, 2.0, 2.0, 8, 1.0) for a in axes)
    shape = tuple(4 if a in axes else 8 for a in range(3))
    measurement = Measurement(Separable.from_axes(known, shape), torch.rand(1, *shape), None, np.eye(4))
    result = voxprior(measurement, Settings(planes="volume"), SeededNoise(0))
    assert bool(result.warnings) == (len(axes) == 3)


def test_other_measurements_are_refused(weights: str) -> None:
    """No known axes, or no place in the patient."""
    g = SliceGeometry(0, 5, 2.0, 2.0, 10, 1.0)
    y = torch.rand(1, 5, 8, 12)
    for measurement in (
        Measurement(Separable({0: g.matrix()}, (10, 8, 12)), y, None, np.eye(4)),
        Measurement(Separable.from_axes((g,), (5, 8, 12)), y),
    ):
        with pytest.raises(InputError, match="along known axes"):
            voxprior(measurement, Settings(weights=weights), SeededNoise(0))
