"""What moves a one-step student: towards the teacher's distribution, and away from noise in the teacher's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Weighting = Literal["paper", "release", "dmd"]
"""Published in OS-DDPM's paper (sqrt(abar)), in its release (sqrt(1 - abar)), and in distribution matching (DMD)."""


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def distribution_gradient(real: Tensor, fake: Tensor, u: Tensor, sigma: Tensor, weighting: Weighting) -> Tensor:
    """The gradient of KL(student || teacher) with respect to images ``u`` (n, depth, rows, columns), up to a weight.

    ``real`` and ``fake``: what the teacher and the network of the student's own images make of ``u + sigma noise``.
    With ``s = (D - x)/sigma^2`` it is ``w (s_fake - s_real)``, which is ``D_fake - D_real`` times a positive number:
    the paper and the release of OS-DDPM have the other sign. In predicted noise, ``e_real - e_fake`` times sqrt(abar)
    (paper) or sqrt(1 - abar) (release), with ``abar = 1/(1 + sigma^2)``; ``dmd`` divides by the mean distance of u
    from the teacher's answer.
    """
    difference = fake - real
    if weighting == "dmd":
        distance = (u - real).abs().mean(dim=(1, 2, 3))
        return difference / _wide(distance.clamp_min(1e-6))
    noise = difference / _wide(sigma)
    abar = 1 / (1 + sigma.square())
    return noise * _wide(abar.sqrt() if weighting == "paper" else (1 - abar).sqrt())


def step_along(u: Tensor, gradient: Tensor) -> Tensor:
    """``|u - (u - g)|^2 / 2`` with the target held fixed: its gradient with respect to each image u is g.

    The mean over the batch, the sum over voxels divided by their number, as for any error.
    """
    return 0.5 * (u - (u - gradient).detach()).square().mean()


def contrast_in_features(anchor: Sequence[Tensor], positive: Sequence[Tensor], negative: Sequence[Tensor]) -> Tensor:
    """``sum_i w_i |positive_i - anchor_i| / |negative_i - anchor_i|`` over levels, finest first (OS-DDPM).

    The weights halve from 1/2 at the coarsest level. Gradients pass through ``anchor`` alone.
    """
    total = anchor[0].new_zeros(())
    for i, (a, p, n) in enumerate(zip(reversed(anchor), reversed(positive), reversed(negative), strict=True)):
        near, far = (torch.linalg.vector_norm((x.detach() - a).flatten(1), dim=1) for x in (p, n))
        total = total + 0.5 ** (i + 1) * (near / (far + 1e-7)).mean()
    return total
