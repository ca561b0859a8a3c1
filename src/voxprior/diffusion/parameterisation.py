"""Networks trained to predict anything about a Gaussian path, as denoisers of any noise level.

With ``x_t = a x0 + b noise`` all predictions are linear in (x0, x_t), so each becomes E[x0 | x_t] and back exactly:

    clean     x0                            noise     (x_t - a x0)/b
    velocity  a noise - b x0                score     (a x0 - x_t)/b^2
    edm       F with x0 = skip x_t/a + out F, ``skip = s^2/(sigma^2 + s^2)``, ``out = sigma s/sqrt(sigma^2 + s^2)``
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, Denoiser, pullback
from voxprior.diffusion.path import Path
from voxprior.errors import InputError

Form = Literal["clean", "noise", "velocity", "score", "edm"]
"""What a network predicts."""
Network = Callable[[Tensor, float], Tensor]
"""(x_t (sample, *space), label) to the prediction, of the same shape."""


def _coefficients(form: Form, a: float, b: float, data_std: float | None) -> tuple[float, float]:
    """``x0 = p x_t + q prediction``."""
    if form == "clean":
        return 0.0, 1.0
    if form == "noise":
        return 1 / a, -b / a
    if form == "velocity":
        return a / (a * a + b * b), -b / (a * a + b * b)
    if form == "score":
        return 1 / a, b * b / a
    if data_std is None or not data_std > 0:
        raise InputError("form edm needs the std of the data that the network was trained with, positive")
    sigma, total = b / a, math.hypot(b / a, data_std)
    return (data_std / total) ** 2 / a, sigma * data_std / total


def to_clean(
    form: Form, prediction: Tensor, x_t: Tensor, a: float, b: float, data_std: float | None = None
) -> Tensor:
    """E[x0 | x_t] from a prediction; both (sample, *space). ``data_std``: of the data, for form edm.

    Raises :class:`InputError` for form edm without ``data_std``.
    """
    p, q = _coefficients(form, a, b, data_std)
    return p * x_t + q * prediction


def from_clean(form: Form, clean: Tensor, x_t: Tensor, a: float, b: float, data_std: float | None = None) -> Tensor:
    """The prediction that stands for the clean estimate: the inverse of :func:`to_clean`, for b > 0."""
    p, q = _coefficients(form, a, b, data_std)
    return (clean - p * x_t) / q


@dataclass(frozen=True)
class Converted:
    """``D(x, sigma)`` of a network on ``path``: x is brought to x_t = a x at t(sigma), the prediction back to x0.

    ``form``: what the network predicts. ``label``: of its time t what the network is told; t itself by default.
    ``sigma_range``: noise levels of its training, in image units. ``data_std``: for form edm.
    """

    network: Network
    path: Path
    form: Form
    sigma_range: tuple[float, float]
    label: Callable[[float], float] = float
    data_std: float | None = None

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D of x (sample, *space); beyond the range the label is held at its nearer end."""
        low, high = self.sigma_range
        t = self.path.t(min(max(sigma, low), high))
        a = self.path.a(self.path.t(sigma))
        x_t = a * x
        return to_clean(self.form, self.network(x_t, self.label(t)), x_t, a, a * sigma, self.data_std)

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D))."""
        return pullback(self, x, sigma, cotangent)


@dataclass(frozen=True)
class Rescaled:
    """The denoiser of images ``u = scale x + offset`` from that of x.

    ``D_u(u; sigma) = scale D((u - offset)/scale; sigma/scale) + offset``; ``scale``: positive.
    """

    denoiser: Denoiser
    scale: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise InputError(f"intensity scale {self.scale:g}; it must be positive and finite")

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Noise levels in the new image units."""
        low, high = self.denoiser.sigma_range
        return self.scale * low, self.scale * high

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D of x (sample, *space) in the new units."""
        return self.scale * self.denoiser((x - self.offset) / self.scale, sigma / self.scale) + self.offset

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        """(D, J' cotangent(D)): the two factors of the scale cancel in J."""
        found: list[Tensor] = []

        def inner(d: Tensor) -> Tensor:
            found.append(self.scale * d + self.offset)
            return cotangent(found[-1])

        _, gradient = self.denoiser.pullback((x - self.offset) / self.scale, sigma / self.scale, inner)
        return found[-1], gradient
