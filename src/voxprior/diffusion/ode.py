"""The probability-flow ODE by a library's solver, which chooses its own steps."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import RK45
from torch import Tensor

from voxprior.diffusion.denoiser import Denoiser
from voxprior.diffusion.sample import PREVIOUS, State
from voxprior.errors import InputError


@torch.no_grad()
def flow(
    denoiser: Denoiser, state: State, sigma_0: float, sigma_min: float, rtol: float, atol: float
) -> Iterator[State]:
    """Follow ``dx / d ln sigma = x - D(x; sigma)`` from ``sigma_0`` to ``sigma_min``; give the state after each step.

    Dormand and Prince's pair of orders 5 and 4 with adaptive steps (``scipy.integrate.RK45``), in float64 over
    ln sigma, where the right side stays bounded. ``state.x`` (1, *space), of noise std ``sigma_0``: one sample, since
    the steps of one must not depend on another. ``rtol``, ``atol``: error that a step may make, relative and in image
    units. As at the end of :func:`voxprior.diffusion.sample.sample`, the answer is ``memory["previous"]`` of the last
    state, D at ``sigma_min``. The denoiser is called twice at the start and six times a step that is tried.
    Raises :class:`InputError` for other levels or more samples, RuntimeError when D is not finite.
    """
    x = state.x
    if x.shape[0] != 1 or not 0 < sigma_min < sigma_0 < math.inf:
        raise InputError(f"{x.shape[0]} samples from sigma {sigma_0:g} to {sigma_min:g}; give one, and falling levels")

    def image(flat: NDArray[np.float64]) -> Tensor:
        wide = torch.view_as_complex(torch.from_numpy(flat).reshape(*x.shape, 2)) if x.is_complex() else None
        real = torch.from_numpy(flat).reshape(x.shape) if wide is None else wide
        return real.to(x.device, x.dtype)

    def flat(image: Tensor) -> NDArray[np.float64]:
        parts = torch.view_as_real(image) if image.is_complex() else image
        return parts.detach().to("cpu", torch.float64).flatten().numpy().copy()

    def slope(log: float, at: NDArray[np.float64]) -> NDArray[np.float64]:
        here = image(at)
        found = flat(here - denoiser(here, math.exp(log)))
        if not np.isfinite(found).all():  # the solver would try ever smaller steps without end
            raise RuntimeError(f"the denoiser gave values that are not finite at sigma = {math.exp(log):g}")
        return found

    solver = RK45(slope, math.log(sigma_0), flat(x), math.log(sigma_min), rtol=rtol, atol=atol * sigma_0)
    index = state.index
    while solver.status == "running":
        message = solver.step()
        if message is not None:
            raise RuntimeError(f"the ODE solver stopped at sigma = {math.exp(solver.t):g}: {message}")
        index += 1
        here = image(solver.y)
        # The pair evaluates the slope at the end of its step: D there is known without another call.
        yield State(here, index, {PREVIOUS: here - image(solver.f)})
