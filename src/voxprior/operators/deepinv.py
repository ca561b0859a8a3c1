"""A linear physics of deepinv as an operator: its channel axis is put on and taken off. deepinv is not imported."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from voxprior.errors import InputError
from voxprior.operators.base import CG_ITERATIONS, CG_TOLERANCE, Composable, conjugate_gradients


class LinearPhysics(Protocol):
    """What is used of ``deepinv.physics.LinearPhysics``: images (sample, channel, *space), data (sample, ...)."""

    def A(self, x: Tensor) -> Any:
        """Data without noise."""
        ...

    def A_adjoint(self, y: Tensor) -> Any:
        """Images of data."""
        ...


class DeepinvOperator(Composable):
    """``physics`` on images (sample, *space): real ones are its single channel, complex ones the two of (real, imag).

    Data of real images keep deepinv's shape; those of complex images are complex, (sample, ...) without their channel
    axis. The proximal point comes from conjugate gradients, as deepinv's own ends where 1e-4 is reached; ``iterations``
    and ``tolerance`` end it. Whether the adjoint is one, :func:`voxprior.check` tells: of some projectors it is not.
    Raises :class:`InputError` for a physics without an adjoint, of several measurements, or of colours.
    """

    def __init__(
        self, physics: LinearPhysics, iterations: int = CG_ITERATIONS, tolerance: float = CG_TOLERANCE
    ) -> None:
        if not (hasattr(physics, "A") and hasattr(physics, "A_adjoint")):
            raise InputError(f"{type(physics).__name__} has no A and A_adjoint; give a linear physics of deepinv")
        self.physics, self.iterations, self.tolerance = physics, iterations, tolerance

    def apply(self, x: Tensor) -> Tensor:
        """``A x``."""
        y = self._one(self.physics.A(with_channels(x)))
        return without_channels(y, 2) if x.is_complex() else y

    def adjoint(self, y: Tensor) -> Tensor:
        """``A' y``."""
        x = self._one(self.physics.A_adjoint(with_channels(y) if y.is_complex() else y))
        return without_channels(x, 2 if y.is_complex() else 1)

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        """Proximal point by conjugate gradients, see :class:`~voxprior.operators.base.Operator`."""
        return conjugate_gradients(self, y, d, lam, warm, self.iterations, self.tolerance).x

    def _one(self, values: Any) -> Tensor:
        if not isinstance(values, Tensor):
            raise InputError(
                f"{type(self.physics).__name__} measures several things; make an operator of each, and a Stack of them"
            )
        return values


def with_channels(x: Tensor) -> Tensor:
    """(sample, *space) as deepinv's (sample, channel, *space): one channel, or two of a complex image."""
    return torch.stack([x.real, x.imag], dim=1) if x.is_complex() else x[:, None]


def without_channels(x: Tensor, channels: int) -> Tensor:
    """The inverse of :func:`with_channels`; raises :class:`InputError` for another number of ``channels``."""
    if x.shape[1] != channels:
        kind = "complex" if channels == 2 else "real"
        raise InputError(f"{tuple(x.shape)} has {x.shape[1]} channels; {kind} images are {channels} of them")
    return torch.complex(x[:, 0], x[:, 1]) if channels == 2 else x[:, 0]
