"""The slice prior without a measurement: what the network is shown, and in which order, units and pieces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.priors.condition import PLANES
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.plain import is_complex, unconditional
from voxprior.priors.weights import load

SHAPE = (10, 12, 8)
COLUMNS = ("x", "m", "phase", "sigma", "spread", "vector")


class Recorder(SlicePrior):
    """A slice prior with random weights that keeps what it is shown."""

    def __init__(self, **config: Any) -> None:
        torch.manual_seed(4)
        super().__init__(SlicePriorConfig(channels=(8, 8), blocks=(1, 1), **config))
        for p in self.network.parameters():
            torch.nn.init.normal_(p, 0, 0.2)
        self.seen: list[dict[str, Tensor]] = []

    def forward(self, *given: Tensor) -> Any:
        self.seen.append(dict(zip(COLUMNS, given, strict=True)))
        return super().forward(*given)


def _draw(seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@torch.no_grad()
def _seen(prior: Recorder, normal: int, affine: np.ndarray | None) -> dict[str, Tensor]:
    unconditional(prior, SHAPE, normal, affine)(_draw(0), 0.7)
    return prior.seen[0]


@pytest.mark.parametrize("normal", [0, 1, 2])
def test_nothing_is_measured(normal: int) -> None:
    """Guards the conditioning: m and phase blank, the std of images for the spread, no description of slices."""
    shown = _seen(Recorder(image_std=0.45), normal, np.diag([1.0, 2.0, 3.0, 1.0]))
    assert not shown["m"].any() and not shown["phase"].any() and not shown["vector"][:, :5].any()
    assert bool((shown["spread"] == 0.45).all()) and bool((shown["sigma"] == 0.7).all())
    rows = 0 if normal else 1
    voxel = [1.0, 2.0, 3.0]
    order = (rows, 3 - rows - normal, normal)
    torch.testing.assert_close(shown["vector"][0, 5:8], torch.log(torch.tensor([voxel[a] for a in order])))
    assert int(shown["vector"][0, 8:].argmax()) == PLANES[rows, 3 - rows - normal]


def test_no_plane_is_named_where_none_is_known() -> None:
    """Guards an image without an affine, or an oblique one: the network is not told a wrong plane."""
    turn = np.eye(4)
    turn[:2, :2] = [[math.cos(0.6), -math.sin(0.6)], [math.sin(0.6), math.cos(0.6)]]
    for affine in (None, turn):
        assert not _seen(Recorder(), 2, affine)["vector"][:, 8:].any()


@pytest.mark.parametrize("flips", [(0,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("normal", [0, 1, 2])
@torch.no_grad()
def test_slices_are_shown_in_ras_order(normal: int, flips: tuple[int, ...]) -> None:
    """Guards TPDM's defect of orientation: the same head stored the other way round has the same denoiser."""
    prior = Recorder()
    signs = np.ones(4)
    signs[list(flips)] = -1
    dims = [a + 1 for a in flips]
    plain = unconditional(prior, SHAPE, normal, np.eye(4))(_draw(0), 0.7)
    turned = unconditional(prior, SHAPE, normal, np.diag(signs))(_draw(0).flip(dims), 0.7)
    torch.testing.assert_close(turned.flip(dims), plain, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_units_are_those_of_the_image() -> None:
    """Guards the scale: image and noise times 500 give the denoised image times 500."""
    prior = Recorder()
    one = unconditional(prior, SHAPE, 1)(_draw(0), 0.7)
    many = unconditional(prior, SHAPE, 1, scale=500.0)(500 * _draw(0), 350.0)
    torch.testing.assert_close(many, 500 * one, rtol=1e-4, atol=1e-2)
    assert unconditional(prior, SHAPE, 1, scale=500.0).sigma_range == (0.002 * 500, 20.0 * 500)


@torch.no_grad()
def test_slices_at_once_do_not_matter() -> None:
    """Guards memory: one slab a call, or all of them."""
    prior = Recorder()
    whole, single = (unconditional(prior, SHAPE, 2, voxels=v)(_draw(0), 0.7) for v in (10**6, 1))
    torch.testing.assert_close(whole, single, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_label_is_the_logarithm_of_the_noise() -> None:
    """Guards against a label in which half of the levels look alike: ln sigma / 4, held at the ends of training."""
    labels: list[float] = []

    class Label(Recorder):
        def raw(self, u: Tensor, m: Tensor, phase: Tensor, label: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
            labels.append(float(label[0]))
            return super().raw(u, m, phase, label, vector)

    d = unconditional(Label(), SHAPE, 0, voxels=10**6)
    for sigma in (1e-4, 0.01, 0.5, 20.0, 378.0):
        d(_draw(0), sigma)
    assert labels == pytest.approx([math.log(s) / 4 for s in (0.002, 0.01, 0.5, 20.0, 20.0)], rel=1e-5)


@torch.no_grad()
def test_complex_priors_take_complex_volumes() -> None:
    """Guards the two parts of a complex slice: they are the slab, shown as they are and put together again."""
    prior = Recorder(slab=2, halo=0)
    x = _draw(0, torch.complex64)
    d = unconditional(prior, SHAPE, 1)(x, 0.7)
    assert is_complex(prior) and d.dtype == torch.complex64 and d.shape == x.shape
    torch.testing.assert_close(prior.seen[0]["x"][0], torch.stack([x[0, :, 0].real, x[0, :, 0].imag]))
    mean = SlicePrior.forward(prior, *(v[:1] for v in prior.seen[0].values())).mean
    torch.testing.assert_close(d[0, :, 0], torch.complex(mean[0, 0], mean[0, 1]), rtol=1e-5, atol=1e-5)
    assert not is_complex(Recorder())


@torch.no_grad()
def test_bundled_prior_removes_noise_without_seams() -> None:
    """Guards the trained weights as a prior of their own, and slabs that show: steps between them are as elsewhere."""
    grid = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (32, 40, 32)), indexing="ij"))
    truth = 0.8 * torch.sigmoid(20 * (0.8 - (grid**2).sum(0).sqrt()))[None]
    sigma = 0.3
    x = truth + sigma * SeededNoise(0)(0, 0, tuple(truth.shape[1:]))
    for normal in (0, 1, 2):
        d = unconditional(load().prior, tuple(truth.shape[1:]), normal, np.eye(4))(x, sigma)
        assert float((d - truth).square().mean().sqrt()) < 0.45 * sigma
        steps = d.diff(dim=normal + 1).abs().mean([a for a in range(4) if a != normal + 1])
        assert float(steps[1::2].mean() / steps[0::2].mean()) < 1.25
