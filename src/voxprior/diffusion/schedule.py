"""A sampler as rows of numbers, made in double precision before the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, NamedTuple

from voxprior.diffusion.noise import generator
from voxprior.diffusion.path import Diffusion
from voxprior.errors import InputError

RHO = 7.0
"""Exponent of the grid of Karras et al. 2022."""
SHARE_SLACK = 1e-9
"""Rounding by which shares of planes may miss a sum of 1."""


@dataclass(frozen=True)
class Step:
    """One row: ``x <- keep x + pull D_y(x; sigma) + kick z + past D_previous``, with z of unit std.

    ``index``: place in the run, and number of its noise. ``sigma``: noise std of x, in image units. ``plane``: which of
    the priors is asked. ``snr``: signal-to-noise ratio of a Langevin row, whose numbers depend on x (``stage``
    "correct"). The defaults are the one-step student: the answer is D_y.
    """

    index: int
    sigma: float
    keep: float = 0.0
    pull: float = 1.0
    kick: float = 0.0
    past: float = 0.0
    plane: int = 0
    stage: Literal["predict", "correct"] = "predict"
    snr: float | None = None


class Row(NamedTuple):
    """What a solver says about one call of the denoiser at noise std ``sigma``; see :class:`Step`."""

    sigma: float
    keep: float
    pull: float
    kick: float = 0.0
    past: float = 0.0


Solver = Callable[[float | None, float, float], tuple[Row, ...]]
"""(sigma before, sigma, sigma after) to the rows that lead from sigma to sigma after. The first has no before."""
PlaneRule = Callable[[int, int], int]
"""(grid step, grid steps) to the plane that is asked in it."""


def karras(n: int, sigma_0: float, sigma_min: float, rho: float = RHO) -> tuple[float, ...]:
    """Grid of n noise levels from ``sigma_0`` to ``sigma_min`` in image units, even in sigma^(1/rho), then 0."""
    _check_grid(n, sigma_0, sigma_min)
    top, bottom = sigma_0 ** (1 / rho), sigma_min ** (1 / rho)
    inner = ((top + i / (n - 1) * (bottom - top)) ** rho for i in range(1, n - 1))
    return _closed(n, sigma_0, tuple(inner), sigma_min)


def log_uniform(n: int, sigma_0: float, sigma_min: float) -> tuple[float, ...]:
    """Grid of n noise levels from ``sigma_0`` to ``sigma_min`` in image units with one ratio, then 0."""
    _check_grid(n, sigma_0, sigma_min)
    inner = (sigma_0 * (sigma_min / sigma_0) ** (i / (n - 1)) for i in range(1, n - 1))
    return _closed(n, sigma_0, tuple(inner), sigma_min)


def _check_grid(n: int, sigma_0: float, sigma_min: float) -> None:
    if n < 1:
        raise InputError(f"{n} sampling steps; give at least 1")
    if not (math.isfinite(sigma_0) and 0 < sigma_min < sigma_0):
        raise InputError(f"noise levels from {sigma_0:g} to {sigma_min:g}; they must be positive and fall")


def _closed(n: int, sigma_0: float, inner: tuple[float, ...], sigma_min: float) -> tuple[float, ...]:
    # The ends are exact, not rounded powers: a run may start where another one stopped.
    return (sigma_0, 0.0) if n == 1 else (sigma_0, *inner, sigma_min, 0.0)


def euler(before: float | None, sigma: float, after: float) -> tuple[Row, ...]:
    """First-order step of the probability-flow ODE (DDIM): ``x <- D + (sigma'/sigma)(x - D)``."""
    return (Row(sigma, after / sigma, 1 - after / sigma),)


def heun(before: float | None, sigma: float, after: float) -> tuple[Row, ...]:
    """Second-order step of the same ODE in two calls: Euler to x_e, then ``x_e + (sigma/sigma' - 1)/2 (D_e - D)``."""
    if after == 0:
        return euler(before, sigma, after)
    half = (sigma / after - 1) / 2
    return (*euler(before, sigma, after), Row(after, 1.0, half, past=-half))


def dpm_2m(before: float | None, sigma: float, after: float) -> tuple[Row, ...]:
    """DPM-Solver++(2M): second order with one call, D being extrapolated in ln sigma from the previous row's."""
    if before is None or after == 0:
        return euler(before, sigma, after)
    h, h_old = math.log(sigma / after), math.log(before / sigma)
    step, slope = -math.expm1(-h), h / (2 * h_old)
    return (Row(sigma, after / sigma, step * (1 + slope), past=-step * slope),)


def ddim(eta: float) -> Solver:
    """DDIM with the part ``eta`` (0 to 1) of the noise of the diffusion's own posterior; ``eta`` = 1: ancestral."""
    if not 0 <= eta <= 1:
        raise InputError(f"eta = {eta:g}; it must lie between 0 and 1")

    def solver(before: float | None, sigma: float, after: float) -> tuple[Row, ...]:
        # Written with sigma^2 - sigma'^2 as a product: near a ratio of 1 the plain difference loses its digits.
        up = eta * after / sigma * math.sqrt((sigma - after) * (sigma + after))
        down = math.sqrt(max(after**2 - up**2, 0.0))
        return (Row(sigma, down / sigma, 1 - down / sigma, up),)

    return solver


def fixed_large(before: float | None, sigma: float, after: float) -> tuple[Row, ...]:
    """The ancestral step of a process with ``a^2 + b^2 = 1`` and the variance beta ("fixed large", Ho et al. 2020).

    ``beta = 1 - a^2/a'^2`` is that of the jump from sigma to sigma', so that a table with times left out is its own
    process (Nichol and Dhariwal 2021). The mean is the posterior's, as of :func:`reverse_sde`; in the frame of
    ``x_t / a`` the noise is ``sqrt(beta)/a'``, with ``a^2 = 1/(1 + sigma^2)``. The last step adds none.
    """
    keep = (after / sigma) ** 2
    kick = math.sqrt((sigma - after) * (sigma + after) * (1 + after**2) / (1 + sigma**2)) if after > 0 else 0.0
    return (Row(sigma, keep, 1 - keep, kick),)


def renoise(zeta: float) -> Solver:
    """The clean estimate and fresh noise (DiffPIR, DAPS): of the variance sigma'^2 the part ``zeta`` is new."""
    if not 0 <= zeta <= 1:
        raise InputError(f"zeta = {zeta:g}; it must lie between 0 and 1")

    def solver(before: float | None, sigma: float, after: float) -> tuple[Row, ...]:
        keep = math.sqrt(1 - zeta) * after / sigma
        return (Row(sigma, keep, 1 - keep, math.sqrt(zeta) * after),)

    return solver


def reverse_sde(before: float | None, sigma: float, after: float) -> tuple[Row, ...]:
    """First-order step of the reverse SDE; the last one, to sigma' = 0, is the clean estimate without noise."""
    keep = (after / sigma) ** 2
    kick = math.sqrt((sigma - after) * (sigma + after)) if after > 0 else 0.0
    return (Row(sigma, keep, 1 - keep, kick),)


def euler_maruyama(path: Diffusion) -> Solver:
    """First-order step of the reverse SDE in the coordinates of ``path`` (Song et al. 2021), the last one as above.

    ``x_t <- x_t - (f x_t - g^2 s) dt + g sqrt(dt) z`` with the score ``s = (a D - x_t)/b^2``, written for x = x_t / a.
    """

    def solver(before: float | None, sigma: float, after: float) -> tuple[Row, ...]:
        if after == 0:
            return reverse_sde(before, sigma, after)
        t, end = path.t(sigma), path.t(after)
        dt, scale = t - end, path.a(t) / path.a(end)
        gain = path.diffusion(t) * dt / path.b(t) ** 2
        kick = math.sqrt(path.diffusion(t) * dt) / path.a(end)
        return (Row(sigma, scale * (1 - path.drift(t) * dt - gain), scale * gain, kick),)

    return solver


def perturb_and_solve(inner: int, sigma_min: float) -> Solver:
    """Down to the clean image in ``inner`` Euler steps, then fresh noise of std sigma' (DAPS, Zhang et al. 2025).

    Unlike :func:`renoise`, which jumps to the mean, the ODE ends on a sample of x0 given x, so that no spread is lost
    as ``inner`` grows. ``sigma_min``: its last level above 0, in image units.
    """
    if inner < 1 or not sigma_min > 0:
        raise InputError(f"{inner} inner steps down to {sigma_min:g}; give at least 1, and a positive noise level")

    def solver(before: float | None, sigma: float, after: float) -> tuple[Row, ...]:
        down = karras(inner, sigma, sigma_min) if sigma > 2 * sigma_min else (sigma, 0.0)
        rows = [row for here, there in pairwise(down) for row in euler(None, here, there)]
        return (*rows[:-1], rows[-1]._replace(kick=after))

    return solver


SOLVERS: Mapping[str, Solver] = MappingProxyType(
    {
        "euler": euler,
        "heun": heun,
        "dpm++2m": dpm_2m,
        "ancestral": ddim(1.0),
        "renoise": renoise(1.0),
        "reverse-sde": reverse_sde,
    }
)
"""Solvers without a number of their own, by the name that options use; the others take one, or a path."""


def alternating(planes: int) -> PlaneRule:
    """Planes in turn, the last grid step on plane 0."""
    return lambda i, n: (n - 1 - i) % planes


def every(period: int) -> PlaneRule:
    """Plane 1 at each ``period``-th grid step and plane 0 at the others, the last grid step on plane 0."""
    if period < 2:
        raise InputError(f"plane 1 at every {period}-th step; give at least 2, so that plane 0 has its steps")
    return lambda i, n: 1 if i % period == period - 1 and i < n - 1 else 0


SINGLE = alternating(1)
"""The rule of a prior that has no planes."""


def drawn(shares: Sequence[float], seed: int) -> PlaneRule:
    """Plane p with probability ``shares[p]``, a function of (seed, grid step); the last grid step on plane 0."""
    if any(share < 0 for share in shares) or abs(sum(shares) - 1) > SHARE_SLACK:
        raise InputError(f"shares of planes {tuple(shares)}; they must not be negative and must sum to 1")

    def rule(i: int, n: int) -> int:
        choice: int = generator("plane", seed, i).choice(len(shares), p=list(shares))
        return 0 if i == n - 1 else int(choice)

    return rule


def schedule(
    grid: Sequence[float], solver: Solver = euler, plane: PlaneRule = SINGLE, snr: float | None = None
) -> tuple[Step, ...]:
    """The rows of a run over ``grid`` (falling noise levels in image units, the last 0), in float64.

    All rows of a grid step ask the same plane. With ``snr``, a Langevin row at each level goes before the solver's.
    Raises :class:`InputError` for a grid that does not fall to 0, and for ``snr`` with a solver that looks back.
    """
    if len(grid) < 2 or grid[-1] != 0 or any(b >= a for a, b in pairwise(grid)):
        raise InputError("the noise levels of a run must fall strictly and end with 0; mend the grid")
    steps: list[Step] = []
    n = len(grid) - 1
    for i, (sigma, after) in enumerate(pairwise(grid)):
        rows = solver(grid[i - 1] if i else None, sigma, after)
        where = plane(i, n)
        if snr is not None:
            if rows[0].past:
                raise InputError("this solver looks back, past the Langevin row; drop snr or take another solver")
            steps.append(Step(len(steps), sigma, plane=where, stage="correct", snr=snr))
        for row in rows:
            steps.append(Step(len(steps), *row, plane=where))
    return tuple(steps)
