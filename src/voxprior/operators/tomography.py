"""X-ray views of slices: a sparse matrix and its transpose, alike on every device, with a weight for each ray."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from voxprior.errors import InputError
from voxprior.operators.base import Composable, Measurement, solve_normal
from voxprior.operators.projection_cache import matrix
from voxprior.operators.projection_matrix import ProjectionGeometry

ITERATIONS = 100
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-10}
"""Where the iterations stop: residual of the normal equations as a part of ``|A'y + lam d|``, a slice."""
COLUMNS = 32
"""Slices that go through a product at once: more gain nothing once a row of them fills a few cache lines."""

Product = Callable[[Tensor], Tensor]


class Tomography(Composable):
    """``A x = weights * P x``, P the mean line integrals of :func:`build_matrix`, of every slice of an image.

    ``shape``: of the image without the sample axis, (row, column) or three axes of which ``axis`` counts the slices;
    the two others are row and column of ``geometry``. Images in 1/mm give data without unit, (sample, slice, view,
    bin), or (sample, view, bin) for a single slice. ``weights``: (view, bin) or (slice, view, bin), by default 1;
    1 / std of each ray whitens the noise. The adjoint is the transposed matrix. The proximal point comes from conjugate
    gradients, every slice with steps of its own; circulant and ramp-filter preconditioners were tried and made sparse
    views slower. ``iterations`` and ``tolerance`` end them.
    """

    def __init__(
        self,
        geometry: ProjectionGeometry,
        shape: tuple[int, ...] | None = None,
        axis: int = 0,
        weights: Tensor | None = None,
        iterations: int = ITERATIONS,
        tolerance: float | None = None,
    ) -> None:
        self.geometry, self.shape = geometry, tuple(geometry.shape if shape is None else shape)
        self.axis = axis % 3 if len(self.shape) == 3 else None
        plane = tuple(n for a, n in enumerate(self.shape) if a != self.axis)
        if plane != geometry.shape:
            raise InputError(
                f"an image {self.shape} with slices along axis {self.axis} where the views are of slices "
                f"{geometry.shape}; give the geometry of these slices"
            )
        self.iterations, self.tolerance = iterations, tolerance
        self._placed: dict[tuple[torch.device, torch.dtype], tuple[Product, Product]] = {}
        self.weights: Tensor | None = None
        if weights is not None:
            self._set(weights)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of x, without the sample axis."""
        return self.shape

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of y, without the sample axis."""
        one = (self.geometry.views, self.geometry.bins)
        return one if self.axis is None else (self.shape[self.axis], *one)

    def weighted(self, weights: Tensor | None) -> Tomography:
        """The same views with other ``weights``; the matrix is shared."""
        other = copy.copy(self)
        other.weights = None
        if weights is not None:
            other._set(weights)
        return other

    def limited(self, iterations: int, tolerance: float | None = None) -> Tomography:
        """The same operator with proximal points that end after ``iterations``; the matrix is shared."""
        other = copy.copy(self)
        other.iterations, other.tolerance = iterations, tolerance
        return other

    def apply(self, x: Tensor) -> Tensor:
        """``A x``: (sample, *shape) to (sample, *data_shape)."""
        there, back = self._products(x)
        y = self._data(_linear(self._columns(x), there, back), x.shape[0], x)
        return y if self.weights is None else y * self.weights.to(y)

    def adjoint(self, y: Tensor) -> Tensor:
        """``A' y``: (sample, *data_shape) to (sample, *shape)."""
        if tuple(y.shape[1:]) != self.data_shape:
            raise InputError(f"a sinogram {tuple(y.shape[1:])} where the operator measures {self.data_shape}")
        there, back = self._products(y)
        z = y if self.weights is None else y * self.weights.to(y)
        return self._image(_linear(self._rays(z), back, there), y.shape[0], y)

    def normal(self, x: Tensor) -> Tensor:
        """``A'A x``, in the layout of the matrix throughout."""
        there, back = self._products(x)
        rays = _linear(self._columns(x), there, back)
        if self.weights is not None:
            square = self._rays(self.weights.to(rays).square().expand(x.shape[0], *self.data_shape))
            rays = rays * (torch.cat([square, square], 1) if x.is_complex() else square)
        return self._image(_linear(rays, back, there), x.shape[0], x)

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        """``argmin_x |A x - y|^2 + lam |x - d|^2``; ``lam`` = 0 keeps what the views do not see of d.

        ``warm``: where the iterations start for ``lam`` > 0.
        """
        target = self.adjoint(y) + lam * d
        start = d if warm is None or lam == 0 else warm
        together = tuple(a + 1 for a in range(len(self.shape)) if a != self.axis)
        tolerance = self.tolerance or TOLERANCE.get(d.real.dtype, TOLERANCE[torch.float32])
        return solve_normal(self.normal, target, start, lam, self.iterations, tolerance, together).x

    def _set(self, weights: Tensor) -> None:
        if tuple(weights.shape) not in (self.data_shape, self.data_shape[-2:]):
            raise InputError(f"weights {tuple(weights.shape)} of a sinogram {self.data_shape}; give one a ray")
        if not bool((torch.isfinite(weights) & (weights >= 0)).all()):
            raise InputError("weights of rays must be finite and not negative; give 0 to a ray without data")
        self.weights = weights

    def _columns(self, x: Tensor) -> Tensor:
        """Images as (pixel, part * sample * slice): the two parts of a complex image are columns of their own."""
        if tuple(x.shape[1:]) != self.shape:
            raise InputError(f"an image {tuple(x.shape[1:])} where the operator measures {self.shape}")
        if x.is_complex():
            return torch.cat([self._columns(x.real), self._columns(x.imag)], dim=1)
        last = x.movedim(0, -1) if self.axis is None else x.movedim(self.axis + 1, -1).movedim(0, -2)
        return last.reshape(self.geometry.shape[0] * self.geometry.shape[1], -1)

    def _image(self, columns: Tensor, samples: int, like: Tensor) -> Tensor:
        """The inverse of :meth:`_columns`."""
        if like.is_complex():
            real, imaginary = columns.chunk(2, dim=1)
            return torch.complex(*(self._image(part, samples, part) for part in (real, imaginary)))
        if self.axis is None:
            return columns.reshape(*self.shape, samples).movedim(-1, 0)
        whole = columns.reshape(*self.geometry.shape, samples, self.shape[self.axis])
        return whole.movedim(-2, 0).movedim(-1, self.axis + 1)

    def _rays(self, y: Tensor) -> Tensor:
        """Sinograms as (view * bin, part * sample * slice)."""
        if y.is_complex():
            return torch.cat([self._rays(y.real), self._rays(y.imag)], dim=1)
        return y.reshape(-1, self.geometry.views * self.geometry.bins).T

    def _data(self, rays: Tensor, samples: int, like: Tensor) -> Tensor:
        """The inverse of :meth:`_rays`."""
        if like.is_complex():
            real, imaginary = rays.chunk(2, dim=1)
            return torch.complex(*(self._data(part, samples, part) for part in (real, imaginary)))
        return rays.T.reshape(samples, *self.data_shape)

    def _products(self, like: Tensor) -> tuple[Product, Product]:
        """Products with the matrix and with its transpose where ``like`` is, in its number format."""
        dtype = torch.float64 if like.real.dtype == torch.float64 else torch.float32
        where = like.device, dtype
        if where not in self._placed:
            a = matrix(self.geometry)
            self._placed[where] = _product(a, *where), _product(a.T.tocsr(), *where)
        return self._placed[where]


def whitened(measurement: Measurement) -> Measurement:
    """Data and operator divided by the noise std of each ray (``sigma`` a tensor), so that the noise has std 1.

    A ray of infinite std has weight 0. Measurements with one std for all rays, or an unknown one, stay as they are.
    """
    sigma, operator = measurement.sigma, measurement.operator
    if not isinstance(sigma, Tensor) or sigma.numel() == 1 or not isinstance(operator, Tomography):
        return measurement
    weights = torch.where(torch.isfinite(sigma), 1 / sigma, 0)
    if operator.weights is not None:  # sigma is in units of y, which carries these weights already
        both = weights * operator.weights
        return Measurement(operator.weighted(both), measurement.y * weights, 1.0, measurement.affine)
    return Measurement(operator.weighted(weights), measurement.y * weights, 1.0, measurement.affine)


def _linear(x: Tensor, there: Product, back: Product) -> Tensor:
    result: Tensor = _Linear.apply(x, there, back)  # type: ignore[no-untyped-call]
    return result


class _Linear(torch.autograd.Function):
    """A product whose gradient is the product with the transpose; twice differentiable."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Product, back: Product) -> Tensor:
        ctx.products = there, back
        return there(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        there, back = ctx.products
        return _linear(gradients[0], back, there), None, None


def _product(a: Any, device: torch.device, dtype: torch.dtype) -> Product:
    """``X -> a X`` for dense X (n, columns): by torch where it has sparse products, else by scipy on the CPU.

    On the CPU torch's are those of MKL: with 32 slices at once they take two thirds of scipy's time on one core, and
    the transpose half.
    """
    has_mkl: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    if device.type == "cuda" or (device.type == "cpu" and has_mkl):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            rows, columns, values = (torch.from_numpy(part) for part in (a.indptr, a.indices, a.data))
            sparse = torch.sparse_csr_tensor(rows, columns, values, a.shape, check_invariants=False).to(device, dtype)
        return lambda x: _by_parts(lambda part: sparse @ part, x, dtype)
    kept = a.astype("float64") if dtype == torch.float64 else a

    def by_scipy(x: Tensor) -> Tensor:
        return torch.from_numpy(kept @ x.cpu().numpy()).to(device)

    return lambda x: _by_parts(by_scipy, x, dtype)


def _by_parts(product: Product, x: Tensor, dtype: torch.dtype) -> Tensor:
    pieces = [product(part.to(dtype).contiguous()) for part in torch.split(x, COLUMNS, dim=1)]
    return (pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)).to(x.dtype)
