"""A network behind EDM preconditioning, about the mean that the measurement gives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from voxprior.diffusion.path import Path
from voxprior.networks.unet import UNet, UNetConfig
from voxprior.priors.condition import FEATURES, GRID_FEATURES

LOG_VARIANCE_RANGE = (-9.0, 3.0)


class SlicePriorConfig(BaseModel):
    """A slice prior: it sees ``slab`` slices and ``halo`` on either side, and restores the ``slab``.

    ``axes``: how many axes of a slice it is told the sampling of, 1 (rows) or 2 (rows and columns).
    ``image_std``: of unconditioned images about zero, on the intensity scale of the priors. ``sigma_max``: the largest
    trained noise level; above it the label is clamped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slab: int = 2
    halo: int = 2
    channels: tuple[int, ...] = (48, 96, 128)
    blocks: tuple[int, ...] = (1, 1, 2)
    axes: int = Field(default=1, ge=1, le=2)
    image_std: float = 0.45
    sigma_min: float = 0.002
    sigma_max: float = 20.0

    @property
    def seen(self) -> int:
        """Slices that one call sees."""
        return self.slab + 2 * self.halo

    def unet(self) -> UNetConfig:
        """The network: noisy slices, interpolated slices, two phase maps an axis in; mean, log-variance a slice out."""
        return UNetConfig(
            inputs=2 * self.seen + 2 * self.axes,
            outputs=2 * self.slab,
            features=FEATURES if self.axes == 1 else GRID_FEATURES,
            channels=self.channels,
            blocks=self.blocks,
            strides=((2, 2),) * (len(self.channels) - 1),
        )


class Denoised(NamedTuple):
    """``mean`` E[x0 | x, ...] and ``std`` of x0 about it, both (n, slab, rows, columns)."""

    mean: Tensor
    std: Tensor


class Preconditioning(NamedTuple):
    """EDM's coefficients for ``u = x - m``: ``D = m + skip u + out F(inp u)``, each (n, 1, 1, 1)."""

    skip: Tensor
    out: Tensor
    inp: Tensor
    label: Tensor


def precondition(sigma: Tensor, spread: Tensor, bounds: tuple[float, float]) -> Preconditioning:
    """Karras et al. 2022, table 1, with the data std replaced by the spread of x0 about m; both (n,)."""
    wide = sigma[:, None, None, None]
    data = spread[:, None, None, None]
    total = torch.sqrt(wide**2 + data**2)
    label = torch.log(sigma.clamp(*bounds)) / 4
    return Preconditioning(data**2 / total**2, wide * data / total, 1 / total, label)


class SlicePrior(nn.Module):
    """The slice prior: D(x, sigma | m, acquisition) for slabs of parallel slices.

    Without a measurement m is zero and the spread is that of images; with one, m is the interpolated measurement and
    the spread the expected error of it, so that a conditional and an unconditional denoiser are one network.
    """

    def __init__(self, config: SlicePriorConfig) -> None:
        super().__init__()
        self.config = config
        self.network = UNet(config.unet())
        self.inner = slice(config.halo, config.halo + config.slab)
        """Slices that are restored, of those seen."""
        self.path: Path | None = None

    def base(self, m: Tensor) -> Tensor:
        """What the process is about: m."""
        return m

    def coefficients(self, sigma: Tensor, spread: Tensor) -> Preconditioning:
        """EDM's; see :func:`precondition`."""
        return precondition(sigma, spread, (self.config.sigma_min, self.config.sigma_max))

    def raw(self, u: Tensor, m: Tensor, phase: Tensor, label: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Network output in its own units: F and log-variance, each (n, slab, rows, columns).

        ``u`` scaled noisy residual and ``m`` interpolation, (n, seen, rows, columns); ``phase`` (n, 2, rows), or of a
        prior of two axes (n, 4, rows, columns).
        """
        maps = phase if phase.ndim == u.ndim else phase[..., None].expand(-1, -1, -1, u.shape[-1])
        mean, variance = self.network(torch.cat([u, m, maps], dim=1), label, vector).chunk(2, dim=1)
        return mean, variance.clamp(*LOG_VARIANCE_RANGE)

    def forward(
        self, x: Tensor, m: Tensor, phase: Tensor, sigma: Tensor, spread: Tensor, vector: Tensor
    ) -> Denoised:
        """Denoise slabs.

        ``x``, ``m`` (n, seen, rows, columns) on the priors' scale, ``phase`` as :meth:`raw` takes it, ``sigma`` and
        ``spread`` (n,), ``vector`` (n, features).
        """
        c = self.coefficients(sigma, spread)
        u, inner = x - m, self.inner
        f, variance = self.raw(c.inp * u, m, phase, c.label, vector)
        return Denoised(m[:, inner] + c.skip * u[:, inner] + c.out * f, c.out * torch.exp(variance / 2))

    def regress(self, m: Tensor, phase: Tensor, spread: Tensor, vector: Tensor) -> Denoised:
        """The mean estimate: the largest noise level with a noisy input that is exactly m."""
        sigma = torch.full_like(spread, self.config.sigma_max)
        return self.forward(m, m, phase, sigma, spread, vector)
