"""The default method for X-ray views, with a small network of random weights: data, units, seeds, calls, one slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from voxprior.diffusion.noise import SeededNoise
from voxprior.errors import InputError
from voxprior.methods.ct import Ct, Settings
from voxprior.methods.tomography import TvSettings, tv
from voxprior.operators.base import Measurement
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.operators.separable import Separable
from voxprior.operators.tomography import Tomography, whitened
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.weights import export

MU = 0.0193


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    prior = SlicePrior(SlicePriorConfig(slab=2, halo=1, channels=(8, 8), blocks=(1, 1), image_std=0.7))
    torch.nn.init.normal_(prior.network.head.weight, std=0.02)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    export(prior, path, {"licence": "none", "data": {}, "training": {}, "figures": {}})
    return str(path)


def _image(slices: int = 3, gain: float = 1.0) -> torch.Tensor:
    y, x = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 30), indexing="ij")
    body = (x**2 + y**2 < 0.8).astype(np.float32) + 0.5 * ((x - 0.2) ** 2 + y**2 < 0.1)
    return torch.from_numpy(np.repeat(body[..., None], slices, 2).astype(np.float32))[None] * (MU * gain)


def _measurement(views: int = 20, gain: float = 1.0, slices: int = 3) -> Measurement:
    angles = tuple(180 * k / views for k in range(views))
    operator = Tomography(ProjectionGeometry((32, 30), (2.0 / gain, 2.0 / gain), angles, 46, 2.0 / gain),
                          (32, 30, slices), 2)
    return Measurement(operator, operator.apply(_image(slices, gain)), None, np.diag([2 / gain, 2 / gain, 2.0, 1.0]))


def _run(weights: str, measurement: Measurement, **settings: object) -> object:
    return Ct()(measurement, Settings(weights=weights, **{"steps": 4, **settings}), SeededNoise(1))  # type: ignore[arg-type]


def test_the_result_fits_the_views_better_than_total_variation(weights: str) -> None:
    """Whatever the network, the last word is a proximal point of the views."""
    m = _measurement()
    start = tv(m, TvSettings(), SeededNoise(0)).mean[None]

    def residual(x: torch.Tensor) -> float:
        return float((m.operator.apply(x) - m.y).norm() / m.y.norm())

    found = _run(weights, m, steps=8).mean[None]  # type: ignore[attr-defined]
    assert residual(found) < max(residual(start), 0.01)


def test_the_answer_follows_the_unit_of_length(weights: str) -> None:
    """Half the pixel and twice the attenuation are the same image; the prior is asked in multiples of water."""
    one = _run(weights, _measurement(), mu_water=MU).mean  # type: ignore[attr-defined]
    two = _run(weights, _measurement(gain=2.0), mu_water=2 * MU).mean  # type: ignore[attr-defined]
    assert torch.allclose(two / 2, one, atol=2e-2 * float(one.max()))


@pytest.mark.parametrize(("mode", "samples", "calls"), [("mean", 1, 4), ("sample", 1, 9), ("sample", 3, 16)])
def test_calls_are_counted(weights: str, mode: str, samples: int, calls: int) -> None:
    """The std of a mean and of a single sample comes from the variance head, in a call of its own."""
    result = _run(weights, _measurement(), mode=mode, samples=samples)
    assert result.calls == calls and result.std.shape == result.mean.shape  # type: ignore[attr-defined]
    assert bool((result.std >= 0).all())  # type: ignore[attr-defined]


def test_samples_are_those_of_their_number(weights: str) -> None:
    """The second of two samples differs from the first, which does not depend on how many are drawn."""
    two = _run(weights, _measurement(), mode="sample", samples=2).samples  # type: ignore[attr-defined]
    one = _run(weights, _measurement(), mode="sample").samples  # type: ignore[attr-defined]
    assert torch.equal(one[0], two[0]) and not torch.allclose(two[0], two[1])


def test_one_slice_is_the_volume_of_one(weights: str) -> None:
    """A sinogram of one slice gives what the same slice gives as a volume of one, but for the place in the patient."""
    volume = replace(_measurement(slices=1), affine=None)
    operator = volume.operator
    assert isinstance(operator, Tomography)
    flat = Measurement(Tomography(operator.geometry), volume.y[:, 0], None)
    whole, single = _run(weights, volume).mean, _run(weights, flat).mean  # type: ignore[attr-defined]
    assert single.shape == (32, 30)
    # The network sees a volume of one slice turned; its values need not be equal to the bit.
    assert torch.allclose(single, whole[..., 0], atol=0.05 * float(whole.max()))


def test_counted_photons_are_weighted(weights: str) -> None:
    """Whitened rays carry a noise of one: a ray of no weight does not change the image."""
    m = _measurement()
    sigma = torch.full(m.y.shape[1:], 0.01)
    sigma[:, 3] = float("inf")
    broken = m.y.clone()
    broken[:, :, 3] += 5
    runs = [_run(weights, whitened(Measurement(m.operator, y, sigma, m.affine))).mean  # type: ignore[attr-defined]
            for y in (m.y, broken)]
    assert torch.allclose(*runs, atol=1e-3 * float(runs[0].max()))


def test_other_measurements_are_refused(weights: str) -> None:
    """Thick slices are not X-ray views."""
    matrix = np.eye(4)
    operator = Separable({0: matrix}, (4, 4, 4))
    with pytest.raises(InputError, match="X-ray views"):
        _run(weights, Measurement(operator, torch.zeros(1, 4, 4, 4)))
    with pytest.raises(InputError, match="complex"):
        Ct()(_measurement(), Settings(weights="head-kspace"), SeededNoise(0))
