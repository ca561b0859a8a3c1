"""A slice prior for complex images: real and imaginary part are its two slices."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, pullback
from voxprior.diffusion.noise import generator
from voxprior.errors import InputError
from voxprior.operators.base import Measurement, solve_normal
from voxprior.priors.condition import FEATURES
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.gaussian import power_law
from voxprior.priors.intensity import intensity_scale

PROCESS_STD = 0.1
"""Std of the real part of the process on the priors' scale: it has the high frequencies of heads."""
EXPONENT, CORNER = 3.0, 0.05
"""Its power spectrum, see :func:`voxprior.priors.gaussian.power_law`; both chosen on tune subjects."""
LEAST_NOISE = 0.004
"""Least noise of the data in the linear reconstruction, on the priors' scale; keeps the solve well posed."""
DENSITY = 0.3
"""Typical eigenvalue of A'A for the preconditioner; the result does not depend on it, only the number of iterations."""
ITERATIONS = 12
"""Of conjugate gradients; .3 dB are left after them (measured on tune subjects), which the network finds itself."""
TOLERANCE = 1e-4


def channels(x: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Complex (*space) to (2, *space)."""
    return np.stack([x.real, x.imag])


def describe_coils(acceleration: float | None, coils: int, noise: float) -> NDArray[np.float32]:
    """The vector that conditions the network, (FEATURES,); ``acceleration`` None: nothing is measured.

    ``noise``: std of the real part of the data on the priors' scale.
    """
    vector = np.zeros(FEATURES, dtype=np.float32)
    if acceleration is not None:
        vector[0] = 1.0
        vector[1] = math.log(acceleration)
        vector[2] = math.log(coils)
        vector[4] = 10 * noise
    return vector


@lru_cache(maxsize=8)
def _spectrum(shape: tuple[int, ...]) -> Tensor:
    """Eigenvalues of the process for a scale of 1."""
    return power_law(shape, PROCESS_STD, EXPONENT, CORNER).float()


def _filtered(x: Tensor, eigenvalues: Tensor) -> Tensor:
    dims = tuple(range(1, x.ndim))
    result: Tensor = torch.fft.ifftn(torch.fft.fftn(x, dim=dims) * eigenvalues, dim=dims)
    return result


def gaussian_image(measurement: Measurement, scale: float) -> Tensor:
    """The mean of a stationary Gaussian process given k-space: the best linear reconstruction, complex (1, *space).

    Minimises ``|A x - y|^2 / s^2 + x' C^-1 x`` by preconditioned conjugate gradients. ``scale``: of the image, see
    :func:`voxprior.priors.intensity.intensity_scale`.
    """
    operator: Any = measurement.operator
    noise = max(_noise(measurement), LEAST_NOISE * scale)
    penalty = noise**2 / (_spectrum(tuple(operator.shape)).to(measurement.y.device) * scale**2)
    half = (DENSITY + penalty) ** -0.5

    def normal(u: Tensor) -> Tensor:
        return _filtered(operator.normal(_filtered(u, half)), half) + _filtered(u, half * half * penalty)

    target = _filtered(operator.adjoint(measurement.y), half)
    found = solve_normal(normal, target, torch.zeros_like(target), 0.0, ITERATIONS, TOLERANCE)
    return _filtered(found.x, half)


def _noise(measurement: Measurement) -> float:
    return float(measurement.sigma) if measurement.sigma is not None else 0.0


class Explained(NamedTuple):
    """A linear reconstruction ``m`` (1, *space) in input units, its expected error a component, and the scale."""

    m: Tensor
    spread: float
    scale: float


def expected_error(measurement: Measurement, scale: float) -> float:
    """Std a component of :func:`gaussian_image` about the image: found by measuring and reconstructing a draw."""
    operator: Any = measurement.operator
    rng = generator("linear reconstruction")

    def white(shape: tuple[int, ...]) -> Tensor:
        z = torch.from_numpy(rng.standard_normal((1, *shape, 2), dtype=np.float32))
        return torch.view_as_complex(z).to(measurement.y.device)

    root = _spectrum(tuple(operator.shape)).to(measurement.y.device).sqrt() * scale
    x = _filtered(white(operator.shape), root)
    if operator.maps is not None:  # where no coil is sensitive there is no image
        x = x * (operator.maps.abs().sum(0) > 0)
    y = operator.apply(x)
    y = y + max(_noise(measurement), LEAST_NOISE * scale) * white(tuple(y.shape[1:])) * operator.mask
    found = gaussian_image(Measurement(operator, y, measurement.sigma), scale)
    return float(torch.view_as_real(found - x).square().mean().sqrt())


def explain(measurement: Measurement) -> Explained:
    """The best linear reconstruction of one slice or volume, its expected error, and the intensity scale of both."""
    operator: Any = measurement.operator
    first = intensity_scale(operator.adjoint(measurement.y).abs().numpy(force=True))
    scale = intensity_scale(gaussian_image(measurement, first).abs().numpy(force=True))
    spread = expected_error(measurement, scale)
    return Explained(gaussian_image(measurement, scale), max(spread, 1e-3 * scale), scale)


class ComplexDenoiser:
    """D(x, sigma) of complex images (sample, *space) in input units, of intensity scale ``scale``.

    Volumes (z, y, x) are denoised slice by slice, normal to space axis ``plane``. Raises :class:`InputError` for
    weights of real slices.
    """

    def __init__(self, prior: SlicePrior, scale: float, plane: int = 0) -> None:
        if prior.config.slab != 2 or prior.config.halo != 0:
            raise InputError("these weights are of real slices; k-space needs a complex prior, such as head-kspace")
        self.prior, self.scale, self.plane = prior, scale, plane

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Trained noise levels in input units."""
        return self.prior.config.sigma_min * self.scale, self.prior.config.sigma_max * self.scale

    def both(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Mean (complex) and std of a component (real), both (sample, *space)."""
        slices = self._slices(x)
        blank = torch.zeros_like(slices[:1])
        values = sigma / self.scale, self.prior.config.image_std
        level, spread = (torch.full((1,), v, dtype=torch.float32, device=x.device) for v in values)
        phase = torch.zeros(1, 2, slices.shape[2], device=x.device)
        vector = torch.from_numpy(describe_coils(None, 0, 0.0))[None].to(x.device)
        found = [self.prior(u[None], blank, phase, level, spread, vector) for u in slices]
        mean = torch.cat([d.mean for d in found])
        std = torch.cat([d.std for d in found]).square().mean(1).sqrt()
        whole = torch.complex(mean[:, 0].float(), mean[:, 1].float())
        return self._whole(whole, x).to(x.dtype) * self.scale, self._whole(std.float(), x) * self.scale

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D of x with noise std ``sigma`` a component, in input units."""
        return self.both(x, sigma)[0]

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D)), see :class:`voxprior.diffusion.denoiser.Denoiser`."""
        return pullback(self, x, sigma, cotangent)

    def _slices(self, x: Tensor) -> Tensor:
        """(sample, *space) complex to (n, 2, rows, columns) on the priors' scale."""
        turned = x.movedim(self.plane + 1, 1) if x.ndim == 4 else x
        flat = turned.reshape(-1, *turned.shape[-2:])
        return torch.stack([flat.real, flat.imag], dim=1).float() / self.scale

    def _whole(self, slices: Tensor, like: Tensor) -> Tensor:
        """(n, rows, columns) back to the order of ``like``."""
        if like.ndim != 4:
            return slices.reshape(like.shape)
        turned = like.movedim(self.plane + 1, 1)
        return slices.reshape(turned.shape).movedim(1, self.plane + 1)


def complex_denoiser(prior: SlicePrior, scale: float) -> ComplexDenoiser:
    """The prior without a measurement, for images of intensity scale ``scale``."""
    return ComplexDenoiser(prior, scale)
