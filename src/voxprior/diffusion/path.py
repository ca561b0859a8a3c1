"""Gaussian paths ``x_t = a(t) x0 + b(t) noise``: each is one way to walk through the noise levels of one denoiser.

Divided by a, every path is the variance-exploding one at ``sigma = b/a``: ``x_t / a = x0 + sigma noise``. So a denoiser
knows sigma alone, and a path says which levels a run visits, which label a network was trained with, and (where it is
the solution of ``dx = f x dt + g dw``) the drift f and the squared diffusion g^2 that a discretised SDE needs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import ClassVar, Protocol

from voxprior.errors import InputError


class Path(Protocol):
    """``x_t = a(t) x0 + b(t) noise``, with sigma = b/a rising in t; all numbers float64."""

    def a(self, t: float) -> float:
        """Factor of the clean image."""
        ...

    def b(self, t: float) -> float:
        """Noise std of x_t."""
        ...

    def sigma(self, t: float) -> float:
        """``b(t)/a(t)``: noise std in the units of the clean image."""
        ...

    def t(self, sigma: float) -> float:
        """The time at which the noise level is ``sigma``, positive; a table answers with its nearer end beyond it."""
        ...


class Diffusion(Path, Protocol):
    """A path that solves ``dx = f(t) x dt + g(t) dw``."""

    def drift(self, t: float) -> float:
        """``f = d ln a / dt``."""
        ...

    def diffusion(self, t: float) -> float:
        """``g^2 = a^2 d sigma^2 / dt``."""
        ...


@dataclass(frozen=True)
class VarianceExploding:
    """``sigma(t) = sigma_min (sigma_max / sigma_min)^t``, t in 0..1 (Song et al. 2021, eq. 30); TPDM: .01 to 378."""

    sigma_min: float
    sigma_max: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise InputError(f"noise from {self.sigma_min:g} to {self.sigma_max:g}; it must be positive and rise")

    @property
    def _rate(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def a(self, t: float) -> float:
        """1."""
        return 1.0

    def b(self, t: float) -> float:
        """Noise std of x_t."""
        return self.sigma(t)

    def sigma(self, t: float) -> float:
        """Noise std in the units of the clean image."""
        return self.sigma_min * math.exp(self._rate * t)

    def t(self, sigma: float) -> float:
        """The inverse of :meth:`sigma`."""
        return math.log(sigma / self.sigma_min) / self._rate

    def drift(self, t: float) -> float:
        """0."""
        return 0.0

    def diffusion(self, t: float) -> float:
        """``g^2 = 2 ln(sigma_max/sigma_min) sigma^2``."""
        return 2 * self._rate * self.sigma(t) ** 2


@dataclass(frozen=True)
class _Beta:
    """What the paths with ``a = exp(-beta_0 t/2 - (beta_1 - beta_0) t^2/4)`` share."""

    beta_0: float = 0.1
    beta_1: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.beta_0 < self.beta_1 < math.inf:
            raise InputError(f"beta from {self.beta_0:g} to {self.beta_1:g}; it must be positive and rise")

    def _log_a(self, t: float) -> float:
        return -t * self.beta_0 / 2 - t**2 * (self.beta_1 - self.beta_0) / 4

    def _time(self, log_a: float) -> float:
        # The root of the quadratic in a form that loses no digits for small t.
        slope = self.beta_1 - self.beta_0
        return -4 * log_a / (self.beta_0 + math.sqrt(self.beta_0**2 - 4 * slope * log_a))

    def a(self, t: float) -> float:
        """Factor of the clean image."""
        return math.exp(self._log_a(t))

    def beta(self, t: float) -> float:
        """``beta_0 + (beta_1 - beta_0) t``."""
        return self.beta_0 + (self.beta_1 - self.beta_0) * t

    def drift(self, t: float) -> float:
        """``-beta/2``."""
        return -self.beta(t) / 2


@dataclass(frozen=True)
class VariancePreserving(_Beta):
    """``a = exp(-beta_0 t/2 - (beta_1 - beta_0) t^2/4)``, ``b^2 = 1 - a^2``, t in 0..1 (Song et al. 2021, eq. 33)."""

    def b(self, t: float) -> float:
        """Noise std of x_t."""
        return math.sqrt(-math.expm1(2 * self._log_a(t)))

    def sigma(self, t: float) -> float:
        """``sqrt(1/a^2 - 1)``."""
        return math.sqrt(math.expm1(-2 * self._log_a(t)))

    def t(self, sigma: float) -> float:
        """The inverse of :meth:`sigma`."""
        return self._time(-math.log1p(sigma**2) / 2)

    def diffusion(self, t: float) -> float:
        """``g^2 = beta``."""
        return self.beta(t)


@dataclass(frozen=True)
class SubVariancePreserving(_Beta):
    """The factor of the variance-preserving path with less noise, ``b = 1 - a^2`` (Song et al. 2021, eq. 29)."""

    def b(self, t: float) -> float:
        """Noise std of x_t."""
        return -math.expm1(2 * self._log_a(t))

    def sigma(self, t: float) -> float:
        """``1/a - a``."""
        return -2 * math.sinh(self._log_a(t))

    def t(self, sigma: float) -> float:
        """The inverse of :meth:`sigma`."""
        return self._time(-math.asinh(sigma / 2))

    def diffusion(self, t: float) -> float:
        """``g^2 = beta (1 - a^4)``."""
        return -self.beta(t) * math.expm1(4 * self._log_a(t))


@dataclass(frozen=True)
class Cosine:
    """``a = cos(angle) / cos(angle at 0)``, ``angle = pi/2 (t + offset)/(1 + offset)``, ``b^2 = 1 - a^2``, t in 0..1.

    Nichol and Dhariwal 2021, eq. 17.
    """

    offset: float = 0.008

    def _angle(self, t: float) -> float:
        return math.pi / 2 * (t + self.offset) / (1 + self.offset)

    def a(self, t: float) -> float:
        """Factor of the clean image."""
        return math.cos(self._angle(t)) / math.cos(self._angle(0))

    def b(self, t: float) -> float:
        """Noise std of x_t."""
        first, angle = self._angle(0), self._angle(t)
        return math.sqrt(math.sin(angle - first) * math.sin(angle + first)) / math.cos(first)

    def sigma(self, t: float) -> float:
        """Nearly the tangent of the angle."""
        return self.b(t) / self.a(t)

    def t(self, sigma: float) -> float:
        """The inverse of :meth:`sigma`."""
        first = self._angle(0)
        angle = math.atan2(math.hypot(sigma, math.sin(first)), math.cos(first))
        return angle * 2 / math.pi * (1 + self.offset) - self.offset


@dataclass(frozen=True)
class Edm:
    """``a = 1``, ``sigma = t`` (Karras et al. 2022)."""

    def a(self, t: float) -> float:
        """1."""
        return 1.0

    def b(self, t: float) -> float:
        """Noise std of x_t: the time itself."""
        return t

    def sigma(self, t: float) -> float:
        """The time itself."""
        return t

    def t(self, sigma: float) -> float:
        """``sigma`` itself."""
        return sigma

    def drift(self, t: float) -> float:
        """0."""
        return 0.0

    def diffusion(self, t: float) -> float:
        """``g^2 = 2 t``."""
        return 2 * t


class _Table(ABC):
    """A path known at whole times from ``first`` on, with ln sigma linear between them; ``abar = v/(v + sigma^2)``."""

    first: ClassVar[int]

    @property
    @abstractmethod
    def _v(self) -> float:
        """Variance of x_t at the end, where nothing is left of the image."""

    @cached_property
    @abstractmethod
    def _logs(self) -> tuple[float, ...]:
        """ln sigma at the times ``first``, ``first + 1`` and so on."""

    def sigma(self, t: float) -> float:
        """Noise std in the units of the clean image; beyond the table its nearer end's."""
        place = min(max(t - self.first, 0.0), len(self._logs) - 1.0)
        below = min(int(place), len(self._logs) - 2)
        part = place - below
        return math.exp((1 - part) * self._logs[below] + part * self._logs[below + 1])

    def t(self, sigma: float) -> float:
        """The inverse of :meth:`sigma`, a fraction of a step where it falls between two."""
        log = math.log(sigma)
        above = min(max(bisect_left(self._logs, log), 1), len(self._logs) - 1)
        low, high = self._logs[above - 1], self._logs[above]
        return self.first + above - 1 + min(max((log - low) / (high - low), 0.0), 1.0)

    def a(self, t: float) -> float:
        """Factor of the clean image, the root of abar."""
        return 1 / math.hypot(1, self.sigma(t) / math.sqrt(self._v))

    def b(self, t: float) -> float:
        """Noise std of x_t."""
        return self.sigma(t) * self.a(t)


@dataclass(frozen=True)
class Ddpm(_Table):
    """Linear beta from ``beta_0/steps`` to ``beta_1/steps``, ``abar_t = prod (1 - beta)``, t in 0..steps-1.

    Ho et al. 2020 for 1000 steps; for another number the whole table is made anew, so that it always ends in noise.
    """

    first: ClassVar[int] = 0
    steps: int = 1000
    beta_0: float = 0.1
    beta_1: float = 20.0

    def __post_init__(self) -> None:
        if self.steps < 2 or not 0 < self.beta_0 < self.beta_1 < self.steps:
            raise InputError(
                f"a table of {self.steps} steps with beta from {self.beta_0 / max(self.steps, 1):g} to "
                f"{self.beta_1 / max(self.steps, 1):g}; beta must rise between 0 and 1: take more steps"
            )

    def beta(self, t: int) -> float:
        """Variance of the noise of step ``t``."""
        return (self.beta_0 + (self.beta_1 - self.beta_0) * t / (self.steps - 1)) / self.steps

    @property
    def _v(self) -> float:
        return 1.0

    @cached_property
    def _logs(self) -> tuple[float, ...]:
        kept = accumulate(math.log1p(-self.beta(t)) for t in range(self.steps))
        return tuple(math.log(math.expm1(-log)) / 2 for log in kept)


@dataclass(frozen=True)
class CosineProduct(_Table):
    """``abar_t = prod_(i <= t) cos^2(pi i / (2 steps))`` with noise of variance ``v (1 - abar)``, t in 1..steps-1.

    Only the first fifth of the steps lies below sigma = 20; at t = ``steps`` nothing is left of the image.
    """

    first: ClassVar[int] = 1
    v: float = 0.3
    steps: int = 1000

    def __post_init__(self) -> None:
        if self.steps < 3 or not 0 < self.v < math.inf:
            raise InputError(f"{self.steps} steps of variance {self.v:g}; give at least 3, and a positive variance")

    @property
    def _v(self) -> float:
        return self.v

    @cached_property
    def _logs(self) -> tuple[float, ...]:
        kept = accumulate(_log_squared_cosine(math.pi * i / (2 * self.steps)) for i in range(1, self.steps))
        # ln(e^-log - 1) as -log + ln(1 - e^log): the product itself underflows long before the table ends.
        return tuple((math.log(self.v) - log + math.log(-math.expm1(log))) / 2 for log in kept)


def _log_squared_cosine(angle: float) -> float:
    # The cosine of a small angle keeps few digits of its distance from 1, and that is all that the first steps have.
    return math.log1p(-(math.sin(angle) ** 2)) if angle < 1 else 2 * math.log(math.cos(angle))


def levels(path: Path, n: int, sigma_0: float, sigma_min: float) -> tuple[float, ...]:
    """Grid of n noise levels from ``sigma_0`` to ``sigma_min`` in image units, even in the time of ``path``, then 0."""
    if n < 1:
        raise InputError(f"{n} sampling steps; give at least 1")
    if not (math.isfinite(sigma_0) and 0 < sigma_min < sigma_0):
        raise InputError(f"noise levels from {sigma_0:g} to {sigma_min:g}; they must be positive and fall")
    if n == 1:
        return sigma_0, 0.0
    top, bottom = path.t(sigma_0), path.t(sigma_min)
    inner = (path.sigma(top + i / (n - 1) * (bottom - top)) for i in range(1, n - 1))
    return (sigma_0, *inner, sigma_min, 0.0)
