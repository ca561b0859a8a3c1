"""Slices that lie across the axes of the image grid: a sparse matrix, exact in its adjoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from voxprior.operators.base import Composable, conjugate_gradients
from voxprior.operators.placement import Grid, Parallel, Stack, Tilted, place
from voxprior.operators.separable import Separable

Matrix: TypeAlias = Tensor | sparse.csr_array


class TiltedSlices(Composable):
    """``A``: linear interpolation between voxels of the grid, averaged over each slice's profile, as one matrix.

    ``matrix``: (n_data, voxels of ``shape``), sparse. The adjoint is its transpose. The proximal point comes from
    conjugate gradients.
    """

    def __init__(self, matrix: sparse.csr_array, shape: tuple[int, ...]) -> None:
        if matrix.shape[1] != int(np.prod(shape)):
            raise ValueError(f"matrix {matrix.shape} does not fit an image {shape}")
        self.matrix, self.shape = matrix, tuple(shape)
        self._back = sparse.csr_array(matrix.T)
        self._held: dict[tuple[torch.dtype, torch.device], tuple[Matrix, Matrix]] = {}

    @property
    def data_shape(self) -> tuple[int]:
        """Shape of y, without the sample axis."""
        return (int(self.matrix.shape[0]),)

    def apply(self, x: Tensor) -> Tensor:
        """``A x``: (sample, *shape) to (sample, n_data)."""
        found: Tensor = _Product.apply(x.flatten(1), *self._pair(x))  # type: ignore[no-untyped-call]
        return found

    def adjoint(self, y: Tensor) -> Tensor:
        """``A' y``: (sample, n_data) to (sample, *shape)."""
        found: Tensor = _Product.apply(y, *reversed(self._pair(y)))  # type: ignore[no-untyped-call]
        return found.reshape(-1, *self.shape)

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        """Proximal point by conjugate gradients, see :class:`voxprior.operators.base.Operator`."""
        return conjugate_gradients(self, y, d, lam, warm).x

    def _pair(self, like: Tensor) -> tuple[Matrix, Matrix]:
        """The matrix and its transpose, where and as ``like`` is; made once."""
        key = (like.real.dtype, like.device)
        if key not in self._held:
            self._held[key] = _placed(self.matrix, *key), _placed(self._back, *key)
        return self._held[key]


class _Product(torch.autograd.Function):
    """``M x`` a sample, with the transposed matrix for the way back: torch's own would turn the matrix every time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Matrix, back: Matrix) -> Tensor:
        ctx.back = back
        ctx.matrix = matrix
        return _multiply(matrix, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(gradients[0], ctx.back, ctx.matrix), None, None  # type: ignore[no-untyped-call]


def _multiply(matrix: Matrix, x: Tensor) -> Tensor:
    if x.is_complex():
        return torch.complex(_multiply(matrix, x.real), _multiply(matrix, x.imag))
    if isinstance(matrix, Tensor):
        return (matrix @ x.T).T.contiguous()
    return torch.from_numpy(np.stack([matrix @ one for one in x.detach().numpy()]))


def _placed(matrix: sparse.csr_array, dtype: torch.dtype, device: torch.device) -> Matrix:
    """On a processor the matrix stays SciPy's, whose product is far quicker than torch's."""
    if device.type == "cpu":
        found: sparse.csr_array = matrix.astype(torch.empty(0, dtype=dtype).numpy().dtype)
        return found
    coo = matrix.tocoo()
    index, values = torch.from_numpy(np.stack(coo.coords).astype(np.int64)), torch.from_numpy(coo.data).to(dtype)
    made = torch.sparse_coo_tensor(index, values, matrix.shape, check_invariants=True)
    return made.coalesce().to(device)


def operator_of(stack: Stack, grid: Grid) -> tuple[Separable | TiltedSlices, Parallel | Tilted]:
    """The measurement of ``grid`` by ``stack``, and which voxels of the stack it tells of.

    Raises ValueError when nothing of the stack lies on the grid.
    """
    placed = place(stack, grid)
    if isinstance(placed, Tilted):
        return TiltedSlices(placed.matrix, grid.shape), placed
    matrices: Mapping[int, Any] = placed.matrices
    return Separable(matrices, grid.shape), placed
