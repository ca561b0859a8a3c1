"""A conditional denoiser of volumes, quick because it works on cells: see :mod:`voxprior.priors.cells`."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from voxprior.diffusion.path import CosineProduct, Ddpm, Path
from voxprior.networks.unet import UNet, UNetConfig
from voxprior.priors.cells import from_cells, to_cells
from voxprior.priors.denoiser import LOG_VARIANCE_RANGE, Denoised, Preconditioning, precondition

FEATURES = 16
"""Length of the description of a measurement: see :func:`voxprior.priors.volume_bound.describe_axes`."""
STEM = (1, 2, 2)


class VolumePriorConfig(BaseModel):
    """A volume prior.

    ``cosines``: most fine slices a cell. ``variance_cosines``: cosines that carry the log-variance. ``channels``,
    ``blocks``, ``up``, ``strides`` (cells, rows, columns), ``kernel``, ``heads``, ``checkpointing``: as
    :class:`~voxprior.networks.unet.UNetConfig`. ``process``: ``edm`` denoises about the interpolated measurement
    (Karras et al. 2022); ``ddpm-linear`` predicts noise, T = 1000 (OS-DDPM); ``cosine-product`` predicts noise of
    variance .3 (MRI-Super-Resolution). ``tile``: most cells, rows and columns of one network call; ``overlap``: what
    neighbouring tiles share.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cosines: int = 8
    variance_cosines: int = 2
    channels: tuple[int, ...] = (24, 48, 56)
    blocks: tuple[int, ...] = (0, 1, 1)
    up: tuple[int, ...] = (1, 0)
    strides: tuple[tuple[int, int, int], ...] = ((1, 2, 2), (1, 2, 2))
    kernel: Literal["full", "factorised"] = "full"
    heads: tuple[int, ...] = ()
    checkpointing: bool = False
    process: Literal["edm", "ddpm-linear", "cosine-product"] = "edm"
    image_std: float = 0.45
    sigma_min: float = 0.002
    sigma_max: float = 20.0
    tile: tuple[int, int, int] = (48, 192, 192)
    overlap: tuple[int, int, int] = (8, 32, 32)

    def unet(self) -> UNetConfig:
        """The network: noisy cells and interpolated cells in; mean and log-variance out."""
        return UNetConfig(
            inputs=2 * self.cosines,
            outputs=self.cosines + self.variance_cosines,
            features=FEATURES,
            dimensions=3,
            channels=self.channels,
            blocks=self.blocks,
            up=self.up,
            stem=STEM,
            strides=self.strides,
            ends=1,
            kernel=self.kernel,
            heads=self.heads,
            checkpointing=self.checkpointing,
        )


class VolumePrior(nn.Module):
    """The volume prior: D(x, sigma | m, acquisition) for volumes (n, cells * fine, rows, columns).

    The first space axis is the one that is cut into cells. m is the measurement interpolated to the fine grid; the
    ``edm`` process denoises about it, the published ones about zero, told m.
    """

    def __init__(self, config: VolumePriorConfig) -> None:
        super().__init__()
        self.config = config
        self.network = UNet(config.unet())
        self.inner = slice(None)
        """Slices that are restored, of those seen."""

    @cached_property
    def path(self) -> Path | None:
        """The published process that the network was trained on; None for ``edm``."""
        return {"edm": None, "ddpm-linear": Ddpm(), "cosine-product": CosineProduct()}[self.config.process]

    def base(self, m: Tensor) -> Tensor:
        """What the process is about: m, or zero."""
        return m if self.path is None else torch.zeros_like(m)

    def coefficients(self, sigma: Tensor, spread: Tensor) -> Preconditioning:
        """``D = base + skip u + out F(inp u)`` with ``u = x - base``; sigma and spread (n,).

        For the published processes ``x_t = a x``, and F is the noise in x_t, of std ``b / (a sigma)`` (1, or sqrt(.3)).
        """
        bounds = (self.config.sigma_min, self.config.sigma_max)
        if self.path is None:
            return precondition(sigma, spread, bounds)
        unit = math.sqrt(self.path.v) if isinstance(self.path, CosineProduct) else 1.0
        # Beyond the trained levels the label is held, but the input has the scale of its own level.
        times = [self.path.t(min(max(float(s), bounds[0]), bounds[1])) for s in sigma]
        a = sigma.new_tensor([self.path.a(self.path.t(float(s))) for s in sigma])[:, None, None, None]
        label = sigma.new_tensor([4 * t / 1000 - 2 for t in times])
        wide = sigma[:, None, None, None]
        return Preconditioning(torch.ones_like(wide), -wide / unit, a, label)

    def raw(self, u: Tensor, m: Tensor, fine: Tensor, label: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Network output in its own units: F and log-variance, each as u (n, depth, rows, columns).

        ``u`` scaled noisy residual; ``fine`` (n,): fine slices a cell, the same for all; ``vector`` (n, FEATURES).
        """
        q = int(fine[0])
        out = self.network(self._inputs(u, m, q), label, vector)
        mean, variance = out.split([self.config.cosines, self.config.variance_cosines], dim=1)
        # A constant log-variance has one cosine, of sqrt(q): in the mean over the cell it should be itself.
        spread = from_cells(variance * math.sqrt(q), q)
        return from_cells(mean, q), spread.clamp(*LOG_VARIANCE_RANGE)

    def features(
        self, x: Tensor, m: Tensor, fine: Tensor, sigma: Tensor, spread: Tensor, vector: Tensor
    ) -> list[Tensor]:
        """What the encoder holds of noisy volumes, finest level first."""
        c = self.coefficients(sigma, spread)
        u = c.inp * (x - self.base(m))
        return self.network.features(self._inputs(u, m, int(fine[0])), c.label, vector)

    def _inputs(self, u: Tensor, m: Tensor, q: int) -> Tensor:
        n = self.config.cosines
        # Means of slices should look alike whatever their number: m in its own units, noise with unit variance.
        return torch.cat([to_cells(u, q, n), to_cells(m, q, n) / math.sqrt(q)], dim=1)

    def forward(self, x: Tensor, m: Tensor, fine: Tensor, sigma: Tensor, spread: Tensor, vector: Tensor) -> Denoised:
        """Denoise volumes x (n, depth, rows, columns) on the priors' scale; sigma and spread (n,)."""
        c = self.coefficients(sigma, spread)
        base = self.base(m)
        u = x - base
        f, variance = self.raw(c.inp * u, m, fine, c.label, vector)
        return Denoised(base + c.skip * u + c.out * f, c.out.abs() * torch.exp(variance / 2))

    def regress(self, m: Tensor, fine: Tensor, spread: Tensor, vector: Tensor) -> Denoised:
        """The mean estimate: the largest noise level with a noisy input that is exactly m (process ``edm``)."""
        return self.forward(m, m, fine, torch.full_like(spread, self.config.sigma_max), spread, vector)

    def multiply_adds(self, fine: int) -> float:
        """Multiply-adds a fine voxel, convolutions only, at ``fine`` slices a cell."""
        return self.network.multiply_adds / fine


def parameters(prior: nn.Module) -> int:
    """Number of parameters of a network."""
    return int(np.sum([p.numel() for p in prior.parameters()]))
