"""One step: how a distilled volume prior restores in one call."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from voxprior.errors import InputError
from voxprior.priors.denoiser import Denoised
from voxprior.priors.volume import VolumePrior
from voxprior.priors.volume_bound import BoundVolume
from voxprior.priors.weights import Weights

DEFAULT = "head-one-step"


class StudentConfig(BaseModel):
    """What a student starts from.

    ``start``: ``degraded``, the interpolated measurement with noise of ``level`` times its expected error; ``noise``,
    noise alone at the top of the teacher's range (OS-DDPM), where ``level`` has no meaning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Literal["degraded", "noise"] = "degraded"
    level: float = Field(default=1.0, ge=0)

    def begin(self, prior: VolumePrior, m: Tensor, spread: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The image and the noise level that the one call is made at.

        ``m`` and ``noise`` (n, *space), ``spread`` (n,), on the priors' scale; noise is standard normal.
        """
        if self.start == "noise":
            top = torch.full_like(spread, prior.config.sigma_max)
            return prior.config.sigma_max * noise, top
        sigma = (self.level * spread).clamp_min(prior.config.sigma_min)
        return m + (self.level * spread)[:, None, None, None] * noise, sigma

    def restore(
        self, prior: VolumePrior, m: Tensor, fine: Tensor, spread: Tensor, vector: Tensor, noise: Tensor
    ) -> Denoised:
        """The restored volumes, ``D(x, sigma)`` of what it starts from, and the std of the truth about them."""
        x, sigma = self.begin(prior, m, spread, noise)
        return prior.forward(x, m, fine, sigma, spread, vector)


def one_call(bound: BoundVolume, student: StudentConfig, noise: Tensor) -> tuple[Tensor, Tensor]:
    """What a bound student makes of its start in one call: the image and its std on the cells' grid, as ``bound.m``.

    ``noise``: standard normal, of the shape of ``bound.m``.
    """
    x, sigma = student.begin(bound.prior, bound.m, bound.m.new_tensor([bound.residual]), noise)
    return bound.call(x, float(sigma[0]))


def student_of(weights: Weights[VolumePrior]) -> StudentConfig:
    """What the one call of ``weights`` starts from; raises :class:`InputError` when they are no student."""
    told = weights.card.get("student")
    if not isinstance(told, dict):
        raise InputError(f"{weights.name}: weights of many steps, not distilled to one; give others, or another --mode")
    return StudentConfig(start=told["start"], level=told["level"])
