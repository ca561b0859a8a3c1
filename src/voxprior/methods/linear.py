"""What any reconstruction tool could do with k-space without a learned prior: zero-filling, SENSE, total variation."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor

from voxprior.diffusion.noise import Noise
from voxprior.errors import InputError
from voxprior.guidance.proximal import noise_std
from voxprior.methods.baselines import NoOptions
from voxprior.methods.result import Progress, Result
from voxprior.operators.base import Measurement
from voxprior.operators.fourier import Fourier

UNKNOWN_NOISE = 0.01
"""Noise std a component that is assumed when it is not known, as a part of the image's root mean square."""
TV_STEPS = 60
"""Iterations of the alternating directions."""
DUAL_STEPS = 8
"""Warm-started iterations of each total-variation denoising."""
TV_COUPLINGS = (1e-3, 1.0)
"""Range of the coupling of the two halves, on the scale where the eigenvalues of A'A are at most 1."""


class ZeroFilled:
    """The adjoint ``A'y``: missing k-space is zero; the coils are combined by their maps."""

    name = "zero-filled"
    Options: ClassVar[type[BaseModel]] = NoOptions
    citation = "inverse Fourier transform of the measured samples, coils combined by their sensitivities"

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Combine ``measurement.y`` (1, *data); nothing is random; raises :class:`InputError` for other operators."""
        operator = kspace_operator(measurement, self.name)
        mean = operator.adjoint(measurement.y)[0]
        if progress is not None:
            progress(1, 1)
        return Result(mean)


class Sense:
    """``argmin |A x - y|^2 + lam |x|^2`` with ``lam = sigma^2 / v``: the best linear image if voxels were independent.

    v: mean square of an image component where a coil sees it, from the energy of y less that of its noise.
    """

    name = "sense"
    Options: ClassVar[type[BaseModel]] = NoOptions
    citation = "Pruessmann et al., SENSE: sensitivity encoding for fast MRI, Magnetic Resonance in Medicine, 1999"

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Reconstruct ``measurement.y`` (1, *data); nothing is random; raises :class:`InputError` as zero-filling."""
        operator = kspace_operator(measurement, self.name).planned(1)
        sigma, energy = levels(measurement, operator)
        lam = sigma**2 / energy
        mean = operator.prox(_blank(measurement, operator), measurement.y, lam)[0]
        if progress is not None:
            progress(1, 1)
        return Result(mean, notes={"lam": lam})


def kspace_operator(measurement: Measurement, name: str) -> Fourier:
    """The operator of one scan's k-space; raises :class:`InputError` for any other measurement."""
    operator = measurement.operator
    if not isinstance(operator, Fourier):
        raise InputError(f"--method {name} needs k-space; choose another method for this job")
    if measurement.y.shape[0] != 1:
        raise InputError(f"--method {name} takes one scan, not {measurement.y.shape[0]}; restore them one by one")
    return operator


def levels(measurement: Measurement, operator: Fourier) -> tuple[float, float]:
    """Noise std a component, and mean square of a component of the image at the frequencies that are missing.

    The latter from the measured samples beyond :data:`CENTRE`, their noise taken off: summed over the coils they are
    the power of the image there, if sum |maps|^2 = 1.
    """
    keep, y = operator.mask, measurement.y[0]
    coils = y.numel() // keep.numel()
    far = keep & ~_centre(keep.shape, operator.axes).to(keep.device)
    sigma = noise_std(measurement)
    power = [float(y[..., part].abs().square().sum()) / max(2 * int(part.sum()), 1) for part in (far, keep)]
    if power[1] == 0:
        raise InputError("the k-space is zero everywhere: nothing was measured; give another file or slice")
    if sigma == 0:
        sigma = UNKNOWN_NOISE * (float(y[..., keep].abs().square().sum())/2/keep.numel()) ** 0.5
    return sigma, max(power[0] - coils * sigma**2, LEAST_POWER * power[1])


LEAST_POWER=1e-3
CENTRE=1/8
def _centre(shape, axes):
    inside = torch.ones(shape, dtype=torch.bool)
    for a in axes:
        n = shape[a]
        near = (torch.arange(n) - n // 2).abs() <= CENTRE * n
        inside &= near.reshape([-1 if i == a else 1 for i in range(len(shape))])
    return inside


def _blank(measurement: Measurement, operator: Fourier) -> Tensor:
    return torch.zeros(1, *operator.image_shape, dtype=measurement.y.dtype, device=measurement.y.device)


class TotalVariation:
    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None, c=.3, r=1., trace=None) -> Result:
        operator = kspace_operator(measurement, "tv")
        sigma, energy = levels(measurement, operator)
        y, axes = measurement.y, operator.axes
        x = operator.planned(1).prox(_blank(measurement, operator), y, sigma**2 / energy)
        axes = tuple(a - operator.mask.ndim for a in axes)
        def m_of(x): return float(_modulus(gradient(x, axes)).mean())
        weight = c/sigma
        rho = min(max(sigma**2*weight/m_of(x)*r, 1e-3), 1.0)
        plan = operator.planned(TV_STEPS, 1)
        u, e, p = x, torch.zeros_like(x), torch.zeros_like(gradient(x, axes))
        for k in range(TV_STEPS):
            x = plan.prox(u - e, y, rho, x)
            u, p = denoise(x + e, sigma**2*weight/rho, p, axes)
            e = e + x - u
            if trace: trace(k,x)
        return Result(x[0], notes={"weight": weight, "rho": rho, "m":m_of(x)})


def gradient(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Forward differences along ``axes`` (counted from the end), stacked first; zero at the far end."""
    parts = []
    for axis in axes:
        n = x.shape[axis]
        step = x.narrow(axis, 1, n - 1) - x.narrow(axis, 0, n - 1)
        parts.append(torch.cat([step, torch.zeros_like(x.narrow(axis, 0, 1))], dim=axis))
    return torch.stack(parts)


def gradient_adjoint(p: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The adjoint of :func:`gradient`, minus the divergence."""
    total = torch.zeros_like(p[0])
    for part, axis in zip(p, axes, strict=True):
        n = part.shape[axis]
        inner = part.narrow(axis, 0, n - 1)
        total.narrow(axis, 1, n - 1).add_(inner)
        total.narrow(axis, 0, n - 1).sub_(inner)
    return total


def _modulus(p): return p.abs().square().sum(0).sqrt()


def denoise(z: Tensor, weight: float, p: Tensor, axes: tuple[int, ...], steps=DUAL_STEPS):
    if weight<=0: return z,p
    step = 1/(4*len(axes)*weight)
    for _ in range(steps):
        p = p + step*gradient(z - weight*gradient_adjoint(p, axes), axes)
        p = p/_modulus(p).clamp_min(1)
    return z - weight*gradient_adjoint(p, axes), p


zero_filled, sense, tv = ZeroFilled(), Sense(), TotalVariation()
