"""A prior as a denoiser of deepinv, for its reconstructions. deepinv is imported when one is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.denoiser import Denoiser
from voxprior.errors import InputError
from voxprior.operators.deepinv import with_channels, without_channels
from voxprior.priors.complex import ComplexDenoiser
from voxprior.priors.plain import is_complex, unconditional
from voxprior.priors.weights import DEFAULT, load

KEPT = 4
"""Shapes whose denoisers are kept."""

ForShape = Callable[[tuple[int, ...]], Denoiser]
"""Space of an image to the denoiser of such images."""


def deepinv_denoiser(prior: ForShape) -> Any:
    """A ``deepinv.models.Denoiser`` that asks ``prior``, for images of one channel, or of two: real and imaginary part.

    Its ``forward(x, sigma)`` takes x (sample, channel, *space) of any size on the scale of the prior, and sigma as one
    number or one a sample, the std of each channel. Gradients flow. Raises :class:`InputError` where deepinv is not
    installed, and for images of colours.
    """
    try:
        from deepinv.models import Denoiser as Base
    except ImportError:
        raise InputError("a denoiser for deepinv needs the extra 'deepinv'; pip install 'voxprior[deepinv]'") from None
    made = lru_cache(KEPT)(prior)

    class VoxpriorDenoiser(Base):  # type: ignore[misc]
        """A prior of Voxprior."""

        def forward(self, x: Tensor, sigma: Any, **_: Any) -> Tensor:
            """(sample, channel, *space) without noise of std ``sigma``."""
            images = without_channels(x, 2 if x.shape[1] == 2 else 1)
            return with_channels(_denoised(made(tuple(images.shape[1:])), images, sigma))

    return VoxpriorDenoiser()


def deepinv_slices(
    weights: str = DEFAULT,
    normal: int = 0,
    affine: NDArray[np.float64] | None = None,
    scale: float = 1.0,
    device: str = "cpu",
) -> Any:
    """:func:`deepinv_denoiser` of trained ``weights``: volumes slice by slice, normal to space axis ``normal``.

    ``affine``: of the grid, 4 x 4; ``scale``: image units per unit of the prior, the 99th percentile of the foreground.
    Weights of complex slices take single ones (sample, 2, y, x) too. Raises :class:`InputError` as
    :func:`voxprior.priors.weights.load`, and for a single slice where the prior looks at its neighbours.
    """
    prior = load(weights).prior.to(device)

    def for_shape(shape: tuple[int, ...]) -> Denoiser:
        if len(shape) == 3:
            return unconditional(prior, shape, normal, affine, scale)
        if len(shape) == 2 and is_complex(prior):
            return ComplexDenoiser(prior, scale)
        raise InputError(f"images {shape} where weights {weights} are of volumes; give (sample, channel, i, j, k)")

    return deepinv_denoiser(for_shape)


def _denoised(denoise: Denoiser, images: Tensor, sigma: Any) -> Tensor:
    levels = torch.as_tensor(sigma, dtype=torch.float64).flatten().tolist()
    if len(levels) not in (1, len(images)):
        raise InputError(f"{len(levels)} noise levels for {len(images)} images; give one, or one an image")
    if len(set(levels)) == 1:
        return denoise(images, levels[0])
    return torch.cat([denoise(one[None], level) for one, level in zip(images, levels, strict=True)])
