"""ESPIRiT: sensitivity maps from the fully sampled centre of k-space (Uecker et al., MRM 2014)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from voxprior.errors import InputError
from voxprior.operators.coils import aligned, calibration_region, leading_maps, resample, virtual_coil

COARSE = 12  # eigenvectors are found exactly on this many points a kernel sample, and carried on to the pixels
ITERATIONS = 4  # power iterations on the pixels, started from the interpolated eigenvectors
SMALLEST = 4  # samples each way of a centre that can calibrate
CHUNK = 1 << 22  # entries of the coil x coil matrices held at once


def espirit(
    kspace: Tensor,
    *,
    calibration: int | tuple[int, int] = 24,
    kernel: int = 6,
    threshold: float = 0.02,
    crop: float = 0.8,
    sets: int = 1,
) -> Tensor:
    """Maps (slice, coil, y, x) of k-space (slice, coil, y, x), or (slice, set, coil, y, x) with ``sets`` above 1.

    Sum of |maps|^2 over coils is 1 where the eigenvalue is at least ``crop``, and the maps are 0 elsewhere; the phase
    is relative to the first virtual coil. ``calibration``: sides of the central region used; a side of which less was
    measured is made up for along the other if one number was given. ``kernel``: samples each way, fewer where the
    region is too small for so many. ``threshold``: singular values below this part of the largest count as noise. One
    coil has the map 1. Raises :class:`InputError` where the centre is too small.
    """
    coils = kspace.shape[1]
    if not 1 <= sets <= coils:
        raise InputError(f"{sets} sets of maps from {coils} coils; ask for 1 to {coils} sets")
    if coils == 1:
        return torch.ones_like(kspace)
    maps = kspace.new_empty(len(kspace), sets, *kspace.shape[1:])
    for found, data in zip(maps, kspace, strict=True):
        region = centre(data, calibration)
        # A kernel of more than 0.4 of the region leaves too few patches to tell their space; measured at 4 to 24 lines.
        width = min(kernel, max(2, 2 * min(region.shape[1:]) // 5))
        calibrate(region, width, threshold).eigenvectors(found, crop)
    return maps[:, 0] if sets == 1 else maps


def centre(data: Tensor, calibration: int | tuple[int, int]) -> Tensor:
    """The fully sampled centre of ``data`` (coil, y, x) that calibration uses; an :class:`InputError` if too small."""
    measured = calibration_region((data != 0).any(0).cpu().numpy())
    if isinstance(calibration, int):
        short = min(calibration, *measured)
        calibration = (math.ceil(calibration**2 / max(short, 1)),) * 2 if short < calibration else (calibration,) * 2
    size = [min(a, b) for a, b in zip(measured, calibration, strict=True)]
    if min(size) < SMALLEST:
        raise InputError(
            f"the fully sampled centre of k-space is {measured[0]} x {measured[1]}, of which {size[0]} x {size[1]} may "
            f"be used, and coil calibration needs {SMALLEST} x {SMALLEST}; give maps, or a mask with more central lines"
        )
    top, left = (n // 2 - s // 2 for n, s in zip(data.shape[1:], size, strict=True))
    return data[:, top : top + size[0], left : left + size[1]]


@dataclass(frozen=True, eq=False)
class Field:
    """Hermitian coil x coil matrices G(q) all over the image, given by their Fourier coefficients.

    ``coefficients``: (2 k - 1, 2 k - 1, coil, coil), at shifts 0 .. k - 1, -(k - 1) .. -1 of k-space. ``reference``:
    the first virtual coil (coil,).
    """

    coefficients: Tensor
    reference: Tensor

    def at(self, y: Tensor, x: Tensor) -> Tensor:
        """``G`` (len(y), len(x), coil, coil) at places in parts of the field of view, 0 its centre."""
        rows, columns = (self._waves(places) for places in (y, x))
        return torch.einsum("yv,vxcd->yxcd", rows, torch.einsum("xw,vwcd->vxcd", columns, self.coefficients))

    def _waves(self, places: Tensor) -> Tensor:
        wide = len(self.coefficients)
        shifts = torch.fft.fftfreq(wide, 1 / wide, dtype=torch.float64)
        return torch.exp(2j * torch.pi * places.double()[:, None] * shifts).to(self.coefficients)

    def eigenvectors(self, out: Tensor, crop: float) -> None:
        """Write the leading eigenvectors on the pixels of ``out`` (set, coil, y, x); 0 where they fall below ``crop``.

        Exact on a coarse grid. The matrices have few coefficients, so that interpolation is a good start for power
        iterations on the pixels; they converge fast where it matters, since there one eigenvalue is 1, others small.
        """
        sets, coils, height, width = out.shape
        y, x = _places(height, height), _places(width, width)
        points = COARSE * (len(self.coefficients) + 1) // 2
        coarse = self.at(_places(height, min(points, height)), _places(width, min(points, width)))
        start = resample(leading_maps(coarse, self.reference, sets), (height, width))
        rows = max(1, CHUNK // (width * coils**2))
        for first in range(0, height, rows):
            part = slice(first, first + rows)
            matrices = self.at(y[part], x)
            vectors = start[:, :, part].permute(2, 3, 1, 0)
            for _ in range(ITERATIONS):
                vectors = matrices @ vectors
            vectors = torch.linalg.qr(vectors)[0]
            values, turn = torch.linalg.eigh(vectors.mH @ matrices @ vectors)
            vectors = (vectors @ turn) * (values >= crop)[..., None, :]
            out[:, :, part] = aligned(vectors.flip(-1).permute(3, 2, 0, 1), self.reference)


def calibrate(region: Tensor, kernel: int, threshold: float) -> Field:
    """The field of matrices that the signal space of the patches of ``region`` (coil, y, x) implies.

    Patches of ``kernel``^2 samples of every coil span a space with an orthonormal basis b_r. To project every patch and
    average where they overlap is a convolution of k-space, hence a matrix a pixel in the image:
    ``G_cd(q) = sum_r g_rc(q) conj(g_rd(q)) / kernel^2``, g_r the inverse transform of b_r. What is measured is left as
    it is by both, so that the maps are the eigenvectors of G at the eigenvalue 1.
    """
    coils = len(region)
    patches = region.unfold(1, kernel, 1).unfold(2, kernel, 1).permute(0, 3, 4, 1, 2).reshape(coils * kernel**2, -1)
    basis = _signal_space(patches / patches.abs().max(), threshold)
    wide = 2 * kernel - 1  # G is a product of two fields of ``kernel`` coefficients each way: so many samples hold it
    fields = torch.fft.ifft2(basis.T.reshape(-1, coils, kernel, kernel), (wide, wide), norm="forward")
    fields = fields.permute(2, 3, 1, 0)
    coefficients = torch.fft.fft2(fields @ fields.mH, dim=(0, 1), norm="forward") / kernel**2
    return Field(coefficients, virtual_coil(region))


def _signal_space(patches: Tensor, threshold: float) -> Tensor:
    """Orthonormal left singular vectors whose singular value is above ``threshold`` times the largest."""
    # The smaller Gram matrix: its eigenvalues are squares, still well above rounding at any useful threshold.
    if len(patches) <= patches.shape[1]:
        energy, basis = torch.linalg.eigh(patches @ patches.mH)
        return _kept(basis, energy, threshold)
    energy, right = torch.linalg.eigh(patches.mH @ patches)
    return patches @ _kept(right / energy.clamp_min(torch.finfo(energy.dtype).tiny).sqrt(), energy, threshold)


def _kept(vectors: Tensor, energy: Tensor, threshold: float) -> Tensor:
    return vectors[:, energy > threshold**2 * energy[-1]]


def _places(pixels: int, points: int) -> Tensor:
    """``points`` places from the first to the last of ``pixels``, in parts of the field of view about its centre."""
    places: Tensor = torch.linspace(-(pixels // 2), pixels - 1 - pixels // 2, points, dtype=torch.float64)
    return places / pixels
