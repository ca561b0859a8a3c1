"""The default method for k-space, with a small network of random weights: exactness, units, seeds, calls, planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.methods.kspace import Kspace, Settings
from voxprior.operators.base import Measurement
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.fourier import Fourier
from voxprior.operators.masks import make_mask
from voxprior.operators.separable import Separable
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.weights import export

SHAPE = (40, 36)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    prior = SlicePrior(SlicePriorConfig(slab=2, halo=0, channels=(8, 8), blocks=(1, 1), image_std=0.3))
    torch.nn.init.normal_(prior.network.head.weight, std=0.02)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    export(prior, path, {"licence": "none", "data": {}, "training": {}, "figures": {}})
    return str(path)


def _image(shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    inside = (grid**2).sum(0) < 0.6
    phase = np.exp(1j * (grid[-1] + 0.5 * grid[0]))
    return torch.from_numpy((inside * (1 + 0.3 * np.cos(7 * grid[0])) * phase).astype(np.complex64))[None]


def _measurement(mask: str = "uniform", acceleration: float = 3, sigma: float = 0.01, gain: float = 1.0) -> Measurement:
    keep = torch.from_numpy(make_mask(mask, SHAPE, acceleration, 8).keep)
    operator = Fourier(keep, torch.from_numpy(simulate_maps(SHAPE, 4, np.random.default_rng(1))))
    y = operator.apply(gain * _image())
    z = torch.view_as_complex(torch.randn(*y.shape, 2, generator=torch.Generator().manual_seed(3)))
    return Measurement(operator, (y + gain * sigma * z) * keep, gain * sigma or None)


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_everything_measured_without_noise_is_given_back(weights: str, mode: str) -> None:
    """With every line of every coil, any network gives the SENSE image back to 1e-5."""
    operator = Fourier(torch.ones(SHAPE, dtype=torch.bool),
                       torch.from_numpy(simulate_maps(SHAPE, 4, np.random.default_rng(1))))
    x = _image()
    result = Kspace()(Measurement(operator, operator.apply(x), 0.0), Settings(mode=mode, steps=4, weights=weights),
                      SeededNoise(0))
    assert float((result.mean - x[0]).abs().max()) < 1e-5


@pytest.mark.parametrize(("mask", "acceleration"), [("uniform", 3), ("gaussian-2d", 4)])
def test_the_result_fits_the_data_to_within_their_noise(weights: str, mask: str, acceleration: float) -> None:
    """The residual of the mean is at most 1.5 noise standard deviations, whatever the network says."""
    measurement = _measurement(mask, acceleration)
    result = Kspace()(measurement, Settings(steps=8, weights=weights), SeededNoise(0))
    operator = measurement.operator
    difference = (operator.apply(result.mean[None]) - measurement.y)[..., operator.mask]  # type: ignore[attr-defined]
    assert float(torch.view_as_real(difference).square().mean().sqrt()) < 0.015


def test_the_answer_follows_the_unit_of_the_data(weights: str) -> None:
    """A hundred times the k-space and noise: a hundred times the image and its std."""
    options = Settings(mode="sample", steps=4, weights=weights)
    one, hundred = (Kspace()(_measurement(gain=g), options, SeededNoise(0)) for g in (1.0, 100.0))
    assert torch.allclose(hundred.mean, 100 * one.mean, atol=0.2)
    assert one.std is not None and hundred.std is not None
    assert torch.allclose(hundred.std, 100 * one.std, rtol=1e-2, atol=1e-2)


def test_samples_are_those_of_their_seed_and_number(weights: str) -> None:
    """The first sample of two is the one of a run of one; another seed gives another."""
    measurement = _measurement()
    one, two, other = (
        Kspace()(measurement, Settings(mode="sample", steps=4, samples=n, weights=weights), SeededNoise(s)).samples
        for n, s in ((1, 0), (2, 0), (1, 1))
    )
    assert one is not None and two is not None and other is not None
    assert torch.equal(one[0], two[0]) and not torch.equal(two[0], two[1]) and not torch.equal(one[0], other[0])


@pytest.mark.parametrize(("mode", "samples", "calls"), [("mean", 1, 10), ("sample", 1, 11), ("sample", 3, 30)])
def test_calls_are_counted(weights: str, mode: str, samples: int, calls: int) -> None:
    """Steps are network calls; a single sample asks once more for its std."""
    options = Settings(mode=mode, steps=10, samples=samples, weights=weights)  # type: ignore[arg-type]
    found = []
    result = Kspace()(_measurement(), options, SeededNoise(0), lambda done, total: found.append((done, total)))
    assert result.calls == calls and found[-1][0] == found[-1][1] <= calls


def test_a_volume_is_reconstructed_whole(weights: str) -> None:
    """Three dimensions by the same code: space (z, y, x), the two phase-encoding axes undersampled."""
    shape = (6, 20, 24)
    keep = torch.from_numpy(make_mask("gaussian-2d", shape[1:], 2, 8).keep).expand(shape)
    maps = torch.from_numpy(np.stack([simulate_maps(shape[1:], 3, np.random.default_rng(2))] * 6, axis=1))
    operator = Fourier(keep, maps)
    x = _image(shape)
    options = Settings(steps=4, weights=weights)
    result = Kspace()(Measurement(operator, operator.apply(x), None), options, SeededNoise(0))
    assert result.mean.shape == shape and result.std is not None and result.std.shape == shape
    zero_filled = operator.adjoint(operator.apply(x))
    assert float((result.mean - x[0]).norm()) < float((zero_filled - x).norm())


def test_slices_are_refused_with_what_to_do(weights: str) -> None:
    """A measurement of another job is told so."""
    with pytest.raises(InputError, match="k-space"):
        Kspace()(Measurement(Separable({}, (4, 4, 4)), torch.zeros(1, 4, 4, 4)), Settings(steps=8, weights=weights),
                 SeededNoise(0))


def test_the_shipped_weights_are_of_the_right_kind() -> None:
    """The default weights load, if the package carries them, as a complex prior."""
    from voxprior.methods.kspace import WEIGHTS
    from voxprior.priors.weights import FOLDER, load

    assert (Path(FOLDER) / f"{WEIGHTS}.safetensors").is_file()
    config = load(WEIGHTS).prior.config
    assert (config.slab, config.halo) == (2, 0)
