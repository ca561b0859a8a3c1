"""Priors whose denoisers, and whose posteriors under a measurement, are closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, pullback
from voxprior.errors import InputError
from voxprior.operators.base import Measurement

WEIGHT_SLACK = 1e-6
"""Rounding by which the weights of a mixture may miss a sum of 1."""


def power_law(shape: Sequence[int], std: float, exponent: float = 3.0, corner: float = 0.05) -> Tensor:
    """Spectrum of a stationary image of voxel std ``std``, float64 of ``shape``: variance falls as frequency^-exponent.

    ``corner``: cycles a voxel below which it is flat.
    """
    axes = torch.meshgrid(*(torch.fft.fftfreq(n, dtype=torch.float64) for n in shape), indexing="ij")
    square = torch.stack([a**2 for a in axes]).sum(0)
    spectrum = (square + corner**2) ** (-exponent / 2)
    return spectrum * (std**2 / spectrum.mean())


@dataclass(frozen=True, eq=False)
class StationaryGaussian:
    """Images N(m, C) with C diagonal in the discrete Fourier basis.

    ``mean``: (*space) or one number. ``spectrum``: eigenvalues of C, real, positive, (*space) in the order of the FFT,
    even in every frequency; their mean is the variance of a voxel.
    """

    mean: Tensor
    spectrum: Tensor

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Every noise level."""
        return 0.0, math.inf

    def filter(self, x: Tensor, eigenvalues: Tensor) -> Tensor:
        """The matrix with these eigenvalues (*space) times x (sample, *space)."""
        dims = tuple(range(1, x.ndim))
        product: Tensor = torch.fft.ifftn(torch.fft.fftn(x, dim=dims) * eigenvalues, dim=dims)
        real: Tensor = product.real
        return product if x.is_complex() else real

    def variance(self, sigma: float) -> Tensor:
        """Eigenvalues of Cov[x0 | x], ``(1/C + 1/sigma^2)^-1``; those of C for an infinite sigma."""
        return self.spectrum / (1 + self.spectrum / sigma**2)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """``D = m + C (C + sigma^2)^-1 (x - m)``."""
        return self.mean + self.filter(x - self.mean, self.spectrum / (self.spectrum + sigma**2))

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D)); J is symmetric."""
        d = self(x, sigma)
        return d, self.filter(cotangent(d), self.spectrum / (self.spectrum + sigma**2))

    def log_density(self, x: Tensor, sigma: float) -> Tensor:
        """Logarithm of N(x; m, C + sigma^2) for each sample, less ``log N(0; 0, sigma^2)``, which all priors share."""
        flat = torch.fft.fftn(x - self.mean, dim=tuple(range(1, x.ndim)), norm="ortho").abs() ** 2
        terms: Tensor = torch.log1p(self.spectrum / sigma**2) + flat / (self.spectrum + sigma**2)
        return -terms.flatten(1).sum(1) / 2

    def draw(self, z: Tensor) -> Tensor:
        """Images ``m + C^(1/2) z`` from white noise z (sample, *space) of unit std."""
        return self.mean + self.filter(z, self.spectrum.sqrt())


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Images from one of several Gaussians: component k with probability ``weights[k]``."""

    components: tuple[StationaryGaussian, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        fit = len(self.components) == len(self.weights) and all(w > 0 for w in self.weights)
        if not fit or abs(sum(self.weights) - 1) > WEIGHT_SLACK:
            raise InputError(
                f"{len(self.components)} components with weights {self.weights}; "
                "give one positive weight each, with a sum of 1"
            )

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Every noise level."""
        return 0.0, math.inf

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """``D = sum_k p(k | x) D_k(x)``."""
        logs = [math.log(w) + c.log_density(x, sigma) for w, c in zip(self.weights, self.components, strict=True)]
        return _mean(logs, [c(x, sigma) for c in self.components])

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D))."""
        return pullback(self, x, sigma, cotangent)


class Posterior:
    """The exact ``D_y(x, sigma) = E[x0 | x, y]`` of an analytic prior under real data with Gaussian noise.

    Solves a system of the size of the data at each call: for small measurements. ``sigma`` infinite leaves only the
    data: D_y = E[x0 | y]. Raises :class:`InputError` for complex data.
    """

    def __init__(self, prior: StationaryGaussian | GaussianMixture, measurement: Measurement) -> None:
        y = measurement.y
        if y.is_complex():
            raise InputError("complex data; the exact posterior is for real ones: stack real and imaginary part")
        mixture = prior if isinstance(prior, GaussianMixture) else GaussianMixture((prior,), (1.0,))
        self.components, self.weights = mixture.components, mixture.weights
        self.operator, self.y = measurement.operator, y
        m = y[0].numel()
        self.rows = self.operator.adjoint(torch.eye(m, dtype=y.dtype, device=y.device).reshape(m, *y.shape[1:]))
        sigma = 0.0 if measurement.sigma is None else measurement.sigma
        self.noise = (torch.as_tensor(sigma, dtype=y.dtype, device=y.device) ** 2).expand(y.shape[1:]).flatten()

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Every noise level."""
        return 0.0, math.inf

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """``D_y = sum_k p(k | x, y) (D_k + P_k A' S_k^-1 (y - A D_k))`` with ``S_k = A P_k A' + sigma_y^2``."""
        logs, means = [], []
        for w, prior in zip(self.weights, self.components, strict=True):
            d = prior(x, sigma)
            columns = prior.filter(self.rows, prior.variance(sigma))
            s = self.operator.apply(columns).flatten(1) + torch.diag(self.noise)
            residual = (self.y - self.operator.apply(d)).flatten(1)
            lower = torch.linalg.cholesky(s)
            solved = torch.cholesky_solve(residual.T, lower).T
            means.append(d + torch.tensordot(solved, columns, dims=1))
            evidence = -(residual * solved).sum(1) / 2 - torch.log(torch.diagonal(lower)).sum()
            logs.append(math.log(w) + prior.log_density(x, sigma) + evidence)
        return _mean(logs, means)

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D_y, J' cotangent(D_y))."""
        return pullback(self, x, sigma, cotangent)


def _mean(logs: list[Tensor], means: list[Tensor]) -> Tensor:
    """Mean of the estimates (sample, *space), weighted by the exponentials of ``logs`` (sample,), normalised."""
    share = torch.softmax(torch.stack(logs), dim=0)
    wide = share.reshape(*share.shape, *[1] * (means[0].ndim - 1))
    return (wide * torch.stack(means)).sum(0)
