"""What a complex slice prior makes of an image from k-space, in figures; :mod:`voxprior.priors.familiarity` judges."""

from __future__ import annotations

import torch
from torch import Tensor

from voxprior.diffusion.noise import generator
from voxprior.priors.complex import ComplexDenoiser
from voxprior.priors.denoiser import SlicePrior
from voxprior.priors.familiar_slices import DENOISED, SIGMAS, errors, named
from voxprior.priors.intensity import intensity_scale

FIGURES = DENOISED
"""On training scans they depend on the scanner, and hardly on acceleration, mask and coils; how badly withheld samples
are foretold depends on these most of all, and is left out.
"""
SLICES = 5
"""Slices from the middle of a volume that are looked at."""


@torch.no_grad()
def image_figures(prior: SlicePrior, image: Tensor) -> dict[str, float]:
    """:data:`FIGURES` of a complex ``image`` (y, x) or (z, y, x) in any unit: errors a component, over the noise's."""
    if image.ndim == 3:
        count = min(SLICES, len(image))
        image = image.narrow(0, (len(image) - count) // 2, count)
    scale = intensity_scale(image.abs().numpy(force=True))
    x = (image / scale)[None]
    denoise = ComplexDenoiser(prior, 1.0)
    rng = generator("familiarity")
    drawn = torch.view_as_complex(torch.from_numpy(rng.standard_normal((*x.shape, 2), dtype="float32"))).to(x)
    each = [errors(denoise(x + sigma * drawn, sigma) - x, x, 2**0.5 * sigma) for sigma in SIGMAS.values()]
    return named(each)
