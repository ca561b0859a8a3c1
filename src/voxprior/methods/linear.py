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
from voxprior.methods.total_variation import gradient, modulus, total_variation
from voxprior.operators.base import Measurement
from voxprior.operators.fourier import Fourier

SENSE_STRENGTH = 5.0
"""``lam`` of SENSE in units of sigma^2 / v. Voxels are not independent: frequencies that are missing have less than the
mean energy v. On training subjects with 8 coils and noise of 1 to 5 % the best factor lies between 3 and 20.
"""
TV_STRENGTH = 0.2
"""Weight of total variation in units of the noise std: within 0.1 dB of the best at noise from 1 to 5 % of the image's
maximum and 0.7 dB at 0.2 %, on training subjects with 8 coils and one; 0.3 loses 0.2 dB and 0.1 up to 2 dB.
"""
TV_STEPS = 40
"""Alternations; the result has settled to 0.1 dB after 20."""
UNKNOWN_NOISE = 0.03
"""Noise std a component that is assumed when it is not known, as a part of the image's root mean square."""
COUPLING = (1e-3, 1.0)
"""Range of the coupling of data and total variation; the eigenvalues of A'A are at most 1."""


class ZeroFilled:
    """The adjoint ``A'y``: k-space is zero where it was not measured, and coils are combined by their maps."""

    name = "zero-filled"
    Options: ClassVar[type[BaseModel]] = NoOptions
    citation = "inverse Fourier transform of the measured samples, coils combined by their sensitivities"

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Combine ``measurement.y`` (1, *data) to a complex image in its units; nothing is random.

        Raises :class:`InputError` when the operator is not the k-space of one scan.
        """
        mean = kspace_operator(measurement, self.name).adjoint(measurement.y)[0]
        if progress is not None:
            progress(1, 1)
        return Result(mean)


class Sense:
    """``argmin |A x - y|^2 + lam |x|^2`` with ``lam = 5 sigma^2 / v``, v the mean square of an image component.

    v is the energy of y less that of its noise, over the voxels that a coil sees: by Parseval it is the image's.
    """

    name = "sense"
    Options: ClassVar[type[BaseModel]] = NoOptions
    citation = "Pruessmann et al., Advances in sensitivity encoding, Magnetic Resonance in Medicine, 2001"

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Reconstruct as :meth:`ZeroFilled.__call__`."""
        operator = kspace_operator(measurement, self.name).planned(1)
        mean, lam = regularised(measurement, operator)
        if progress is not None:
            progress(1, 1)
        return Result(mean[0], notes={"lam": lam})


class TotalVariation:
    """``argmin |A x - y|^2 / 2 + w sum_i |grad x|_i`` with w = 0.2 sigma: isotropic, complex, along transformed axes.

    By :func:`total_variation`, with a coupling that makes the threshold of the denoising the mean gradient of SENSE.
    """

    name = "tv"
    Options: ClassVar[type[BaseModel]] = NoOptions
    citation = (
        "Rudin, Osher and Fatemi, Nonlinear total variation based noise removal algorithms, Physica D, 1992; Block et "
        "al., Undersampled radial MRI with multiple coils, Magnetic Resonance in Medicine, 2007"
    )

    def __call__(self, measurement: Measurement, options: Any, rng: Noise, progress: Progress | None = None) -> Result:
        """Reconstruct as :meth:`ZeroFilled.__call__`."""
        operator = kspace_operator(measurement, self.name)
        axes = tuple(a - operator.mask.ndim for a in operator.axes)
        x, _ = regularised(measurement, operator.planned(1))
        weight = TV_STRENGTH * levels(measurement, operator)[0]
        threshold = float(modulus(gradient(x, axes)).mean())
        coupling = min(max(weight / threshold, COUPLING[0]), COUPLING[1])
        operator = operator.planned(TV_STEPS, weights=1)
        mean = total_variation(operator, measurement.y, x, weight, coupling, TV_STEPS, axes, progress=progress)
        return Result(mean[0], notes={"weight": weight, "coupling": coupling})


def kspace_operator(measurement: Measurement, name: str) -> Fourier:
    """The operator of one scan's k-space; raises :class:`InputError` for any other measurement."""
    operator = measurement.operator
    if not isinstance(operator, Fourier):
        raise InputError(f"--method {name} needs k-space; choose another method for this job")
    if measurement.y.shape[0] != 1:
        raise InputError(f"--method {name} takes one scan, not {measurement.y.shape[0]}; restore them one by one")
    return operator


def regularised(measurement: Measurement, operator: Fourier) -> tuple[Tensor, float]:
    """The image of :class:`Sense`, (1, *image_shape), and its ``lam``."""
    sigma, energy = levels(measurement, operator)
    lam = SENSE_STRENGTH * sigma**2 / energy
    return operator.prox(_blank(measurement, operator), measurement.y, lam), lam


def levels(measurement: Measurement, operator: Fourier) -> tuple[float, float]:
    """Noise std, and mean square of the image where a coil sees it, both a component.

    Raises :class:`InputError` for k-space that is zero everywhere.
    """
    seen = operator.normal(torch.ones_like(_blank(measurement, operator))).abs() > 0
    samples = int(operator.mask.sum()) * (measurement.y[0].numel() // operator.mask.numel())
    total = float((measurement.y * operator.mask).abs().square().sum()) / 2
    if total == 0:
        raise InputError("the k-space is zero everywhere: nothing was measured; give another file or slice")
    sigma = noise_std(measurement)
    energy = max(total - sigma**2 * samples, 1e-3 * total) / max(int(seen.sum()), 1)
    return (sigma if sigma > 0 else UNKNOWN_NOISE * energy**0.5), energy


def _blank(measurement: Measurement, operator: Fourier) -> Tensor:
    return torch.zeros(1, *operator.image_shape, dtype=measurement.y.dtype, device=measurement.y.device)


zero_filled, sense, tv = ZeroFilled(), Sense(), TotalVariation()
