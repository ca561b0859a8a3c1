"""A prior as deepinv's denoiser, with a stand-in for its base class; tests/external has the real one."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from voxprior.errors import InputError
from voxprior.operators.deepinv import DeepinvOperator, with_channels, without_channels
from voxprior.priors.deepinv import deepinv_denoiser, deepinv_slices
from voxprior.priors.gaussian import StationaryGaussian, power_law
from voxprior.priors.plain import unconditional
from voxprior.priors.weights import load

SHAPE = (4, 6, 5)


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> type[nn.Module]:
    """``deepinv.models.Denoiser``, as far as it is needed."""

    class Denoiser(nn.Module):
        pass

    package, models = ModuleType("deepinv"), ModuleType("deepinv.models")
    models.Denoiser = Denoiser  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deepinv", package)
    monkeypatch.setitem(sys.modules, "deepinv.models", models)
    return Denoiser


def _images(*size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=dtype)


def _gaussian(shape: tuple[int, ...]) -> StationaryGaussian:
    return StationaryGaussian(torch.full((), 0.4, dtype=torch.float64), power_law(shape, 0.3))


def test_it_is_a_denoiser_that_gives_what_the_prior_gives(base: type[nn.Module]) -> None:
    """Guards the class, the channel axis, and one level or one a sample, in whatever deepinv gives it."""
    denoise = deepinv_denoiser(_gaussian)
    assert isinstance(denoise, base)
    x = _images(2, 1, *SHAPE)
    expected = _gaussian(SHAPE)(x[:, 0], 0.5)[:, None]
    for sigma in (0.5, torch.tensor(0.5), torch.full((2,), 0.5), torch.full((2, 1, 1, 1), 0.5)):
        torch.testing.assert_close(denoise(x, sigma), expected, rtol=0, atol=0)
    each = denoise(x, torch.tensor([0.5, 2.0]))
    torch.testing.assert_close(each[:1], expected[:1])
    torch.testing.assert_close(each[1:], _gaussian(SHAPE)(x[1:, 0], 2.0)[:, None], rtol=1e-6, atol=1e-6)


def test_complex_images_are_two_channels() -> None:
    """Guards real and imaginary part, and sigma as the std of each."""
    x = _images(2, 2, 6, 5)
    found = deepinv_denoiser(_gaussian)(x, 0.5)
    expected = _gaussian((6, 5))(torch.complex(x[:, 0], x[:, 1]), 0.5)
    torch.testing.assert_close(torch.complex(found[:, 0], found[:, 1]), expected)
    torch.testing.assert_close(without_channels(with_channels(expected), 2), expected)


def test_gradients_flow() -> None:
    """Guards solvers that differentiate through the prior: J is symmetric, J' v = J v of a linear prior."""
    denoise = deepinv_denoiser(_gaussian)
    x = _images(1, 1, *SHAPE).requires_grad_()
    v = _images(1, 1, *SHAPE).flip(2)
    (pulled,) = torch.autograd.grad((denoise(x, 0.5) * v).sum(), x)
    torch.testing.assert_close(pulled, denoise(v, 0.5) - denoise(torch.zeros_like(v), 0.5))


def test_trained_slices_keep_their_place() -> None:
    """Guards weights by name: volumes of any size through the same slices as everywhere else, gradients included."""
    denoise = deepinv_slices("head-slices", normal=2, scale=3.0)
    x = 3 * _images(1, 1, 7, 9, 5, dtype=torch.float32).abs()
    expected = unconditional(load("head-slices").prior, (7, 9, 5), 2, None, 3.0)(x[:, 0], 0.6)
    torch.testing.assert_close(denoise(x, 0.6)[:, 0], expected)
    leaf = x.clone().requires_grad_()
    denoise(leaf, 0.6).sum().backward()
    assert leaf.grad is not None and bool(torch.isfinite(leaf.grad).all()) and float(leaf.grad.abs().max()) > 0.1
    single = deepinv_slices("head-kspace")(_images(1, 2, 12, 10, dtype=torch.float32), 0.3)
    assert single.shape == (1, 2, 12, 10)


@pytest.mark.parametrize(
    ("x", "sigma", "message"),
    [
        ((1, 3, 6, 5), 0.1, "3 channels"),
        ((3, 1, 6, 5), [0.1, 0.2], "2 noise levels for 3 images"),
    ],
)
def test_what_it_cannot_take_is_told(x: tuple[int, ...], sigma: Any, message: str) -> None:
    """Guards one line for colours and for levels that do not fit."""
    with pytest.raises(InputError, match=message):
        deepinv_denoiser(_gaussian)(_images(*x), sigma)


def test_a_single_slice_is_refused_where_the_prior_looks_at_its_neighbours() -> None:
    """Copies of a slice in the place of its neighbours would share its noise, and pass for anatomy."""
    with pytest.raises(InputError, match="of volumes"):
        deepinv_slices("head-slices")(_images(1, 1, 6, 5, dtype=torch.float32), 0.1)


def test_without_deepinv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards an optional package: nothing needs it at import, and its absence is told in a line."""
    monkeypatch.setitem(sys.modules, "deepinv.models", None)
    with pytest.raises(InputError, match=r"extra 'deepinv'; pip install 'voxprior\[deepinv\]'"):
        deepinv_denoiser(_gaussian)


def test_a_physics_that_is_none_is_told() -> None:
    """Guards the operator's door: no adjoint, several measurements, colours."""
    with pytest.raises(InputError, match="no A and A_adjoint"):
        DeepinvOperator(nn.Identity())  # type: ignore[arg-type]

    class Several:
        def A(self, x: Tensor) -> list[Tensor]:
            return [x, x]

        def A_adjoint(self, y: Tensor) -> Tensor:
            return y.expand(-1, 3, -1)

    with pytest.raises(InputError, match="several things"):
        DeepinvOperator(Several()).apply(_images(1, 6))
    with pytest.raises(InputError, match="3 channels"):
        DeepinvOperator(Several()).adjoint(_images(1, 1, 6))
