"""Receive coils: combination, compression, and what of k-space can calibrate them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.errors import InputError
from voxprior.operators.splines import spline_matrix


def root_sum_of_squares(images: Tensor, dim: int) -> Tensor:
    """``sqrt(sum |images|^2)`` over the coils in ``dim``: magnitude, real, with a positive bias where noise rules."""
    magnitude: Tensor = torch.linalg.vector_norm(images, dim=dim)
    return magnitude


def virtual_coil(data: Tensor) -> Tensor:
    """Unit vector (coil,) of the first virtual coil of ``data`` (coil, ...): the mix of coils that holds most energy.

    Its largest entry is real and positive, so that it does not depend on the phase a linear algebra library chose.
    """
    flat = data.flatten(1)
    leading: Tensor = torch.linalg.eigh(flat @ flat.mH)[1][:, -1]
    largest = leading[leading.abs().argmax()]
    return leading * (largest.conj() / largest.abs())


def aligned(maps: Tensor, reference: Tensor) -> Tensor:
    """``maps`` (..., coil, y, x), each pixel turned so that its mix by ``reference`` (coil,) is real and positive."""
    mixed = torch.einsum("c,...cyx->...yx", reference.conj(), maps)
    turn = torch.where(mixed == 0, torch.ones_like(mixed), mixed).conj()
    return maps * (turn / turn.abs())[..., None, :, :]


def leading_maps(matrices: Tensor, reference: Tensor, sets: int) -> Tensor:
    """Leading eigenvectors (set, coil, y, x) of Hermitian ``matrices`` (y, x, coil, coil), phase by ``reference``."""
    vectors = torch.linalg.eigh(matrices)[1][..., -sets:].flip(-1)
    return aligned(vectors.permute(3, 2, 0, 1), reference)


def resample(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Spline interpolation of ``maps`` (..., y, x) to ``shape``; first and last points stay where they are."""
    rows, columns = (
        torch.tensor(spline_matrix(old, new), dtype=maps.dtype, device=maps.device)
        for old, new in zip(maps.shape[-2:], shape, strict=True)
    )
    return rows @ maps @ columns.T


def adaptive_combine(images: Tensor, block: int = 7, step: int = 4) -> Tensor:
    """Coil images (sample, coil, y, x) as one image (sample, y, x), Walsh et al., MRM 2000: matched to the local maps.

    Those are the leading eigenvectors of the coils' covariance in a ``block`` x ``block`` window, taken every ``step``
    pixels. The combination has unit noise gain, and the phase of the first virtual coil.
    """
    shape = (images.shape[-2], images.shape[-1])
    coarse = tuple(max(min(n, 2), -(-n // step)) for n in shape)
    combined = []
    for coils in images:
        rows = [_local_mean(coil * coils.conj(), block, coarse) for coil in coils]
        maps = leading_maps(torch.stack(rows).permute(2, 3, 0, 1), virtual_coil(coils), 1)
        maps = torch.nn.functional.normalize(resample(maps, shape)[0], dim=0)
        combined.append((maps.conj() * coils).sum(0))
    return torch.stack(combined)


def _local_mean(products: Tensor, block: int, coarse: tuple[int, ...]) -> Tensor:
    """Means (coil, *coarse) of ``products`` (coil, y, x) over windows; outside the image nothing is counted."""
    means = torch.view_as_real(products).permute(3, 0, 1, 2)
    for window in ((block, 1), (1, block)):
        edge = (window[0] // 2, window[1] // 2)
        means = torch.nn.functional.avg_pool2d(means, window, stride=1, padding=edge, count_include_pad=False)
    means = torch.nn.functional.interpolate(means, coarse, mode="bilinear", align_corners=True)
    return torch.view_as_complex(means.permute(1, 2, 3, 0).contiguous())


def compress(kspace: Tensor, coils: int) -> tuple[Tensor, Tensor]:
    """Mix the coils of ``kspace`` (slice, coil, *space) into the ``coils`` that hold most energy.

    Returns the mixed k-space (slice, coils, *space) and the matrix (coils, coil) that made it: the leading left
    singular vectors of the data, conjugate. Its rows are orthonormal, so that white noise stays white.
    """
    if not 1 <= coils <= kspace.shape[1]:
        raise InputError(f"{kspace.shape[1]} coils cannot be compressed to {coils}; ask for 1 to {kspace.shape[1]}")
    flat = kspace.flatten(2)
    vectors = torch.linalg.eigh((flat @ flat.mH).sum(0))[1]
    matrix = vectors[:, -coils:].flip(-1).mH
    return (matrix @ flat).reshape(len(kspace), coils, *kspace.shape[2:]), matrix


def calibration_region(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Sides (y, x) of the largest fully sampled rectangle around the centre n // 2 of ``mask`` (y, x); (0, 0): none.

    Largest is that whose smaller side is longest, then that of the largest area. A side s is n // 2 - s // 2 to
    n // 2 - s // 2 + s - 1, so that a block that is not centred counts as far as it is.
    """
    best = (0, 0)
    for height in range(1, len(mask) + 1):
        top = len(mask) // 2 - height // 2
        width = _centred_run(np.asarray(mask[top : top + height].all(0)))
        if width == 0:
            break
        best = max(best, (height, width), key=lambda s: (min(s), s[0] * s[1]))
    return best


def _centred_run(line: NDArray[np.bool_]) -> int:
    """Length of the longest run of True that sits around the middle of ``line``."""
    n = len(line)
    gaps = np.flatnonzero(~line)
    below = gaps[gaps < n // 2].max(initial=-1)
    above = gaps[gaps >= n // 2].min(initial=n)
    half, rest = n // 2 - below - 1, above - n // 2
    return int(min(2 * half + 1, 2 * rest)) if rest > 0 else 0
