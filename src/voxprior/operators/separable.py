"""One matrix an axis: slice profiles, in-plane blur and decimation, and their combinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.operators.base import Composable
from voxprior.volume import SliceGeometry

EXACT_CONDITION = 100.0
"""Condition number of A A' up to which the projection counts as exact."""
RANK_TOLERANCE = 1e-9
"""Eigenvalues of A A' below this part of the largest count as zero."""


class Separable(Composable):
    """``A = A_0 x A_1 x A_2``, a matrix (n_data, n_image) along some axes of the image and the identity along the rest.

    ``shape``: of the image, without the sample axis. ``axes``: what each matrix means in mm, where it is known;
    ``slices``: the same of a slice stack, which has one matrix, else None.
    The proximal point is exact for every weight: ``d + A' (A A' + lam)^-1 (y - A d)``, with ``A A'`` diagonal in the
    product of one small eigenbasis an axis.
    """

    def __init__(
        self,
        matrices: Mapping[int, NDArray[np.float64]],
        shape: tuple[int, ...],
        axes: Sequence[SliceGeometry] = (),
    ) -> None:
        for axis, matrix in matrices.items():
            if not 0 <= axis < len(shape) or matrix.shape[1] != shape[axis]:
                raise ValueError(f"matrix {matrix.shape} does not fit axis {axis} of an image {shape}")
        self.matrices = {axis: np.asarray(m, dtype=np.float64) for axis, m in sorted(matrices.items())}
        self.shape, self.axes = tuple(shape), tuple(sorted(axes, key=lambda g: g.axis))

    @classmethod
    def from_axes(cls, axes: Sequence[SliceGeometry], measured: tuple[int, ...]) -> Separable:
        """The operator of a volume that is coarse along ``axes``; ``measured``: its shape."""
        counts = {g.axis: g.fine_count for g in axes}
        shape = tuple(counts.get(axis, n) for axis, n in enumerate(measured))
        return cls({g.axis: g.matrix() for g in axes}, shape, axes)

    @classmethod
    def from_slices(cls, slices: SliceGeometry, in_plane: tuple[int, ...]) -> Separable:
        """The operator of a slice stack; ``in_plane``: shape of the measured volume (the slice axis is replaced)."""
        return cls.from_axes((slices,), in_plane)

    @property
    def slices(self) -> SliceGeometry | None:
        """The geometry of a slice stack; None for other operators."""
        return self.axes[0] if len(self.axes) == 1 and set(self.matrices) == {self.axes[0].axis} else None

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of y, without the sample axis."""
        return tuple(self.matrices[a].shape[0] if a in self.matrices else n for a, n in enumerate(self.shape))

    @cached_property
    def condition(self) -> float:
        """Condition number of A A'; inf when rows depend on each other."""
        result = 1.0
        for values, _ in self._eigen.values():
            result *= float(values[-1] / values[0]) if values[0] > RANK_TOLERANCE * values[-1] else float("inf")
        return result

    @cached_property
    def _eigen(self) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        return {axis: tuple(np.linalg.eigh(m @ m.T)) for axis, m in self.matrices.items()}  # type: ignore[misc]

    def apply(self, x: Tensor) -> Tensor:
        """``A x``: (sample, *shape) to (sample, *data_shape)."""
        for axis, matrix in self.matrices.items():
            x = along(x, matrix, axis)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """``A' y``: (sample, *data_shape) to (sample, *shape)."""
        for axis, matrix in self.matrices.items():
            y = along(y, matrix.T, axis)
        return y

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        """``argmin_x |A x - y|^2 + lam |x - d|^2`` in closed form; ``warm`` is not needed."""
        return d + self.adjoint(self._solve(y - self.apply(d), lam))

    def _solve(self, r: Tensor, lam: float) -> Tensor:
        """``(A A' + lam)^-1 r``; for ``lam`` = 0 the pseudo-inverse."""
        if len(self.matrices) == 1:
            ((axis, (values, vectors)),) = self._eigen.items()
            return along(r, (vectors * _inverse(values, lam)) @ vectors.T, axis)
        for axis, (_, vectors) in self._eigen.items():
            r = along(r, vectors.T, axis)
        product = np.ones((1,) * len(self.shape))
        for axis, (values, _) in self._eigen.items():
            product = product * values.reshape(*(-1 if a == axis else 1 for a in range(len(self.shape))))
        r = r * torch.as_tensor(_inverse(product, lam), dtype=r.real.dtype, device=r.device)
        for axis, (_, vectors) in self._eigen.items():
            r = along(r, vectors, axis)
        return r


def _inverse(values: NDArray[np.float64], lam: float) -> NDArray[np.float64]:
    if lam > 0:
        return 1 / (np.maximum(values, 0) + lam)
    kept = values > RANK_TOLERANCE * values.max()
    return np.where(kept, 1 / np.where(kept, values, 1), 0.0)


def along(x: Tensor, matrix: NDArray[np.float64], axis: int) -> Tensor:
    """Apply ``matrix`` along image ``axis`` of x (sample, *space)."""
    m = torch.as_tensor(np.ascontiguousarray(matrix), dtype=x.real.dtype, device=x.device).to(x.dtype)
    return torch.matmul(x.movedim(axis + 1, -1), m.T).movedim(-1, axis + 1)
