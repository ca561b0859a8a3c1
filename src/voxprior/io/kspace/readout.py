"""Read-out oversampling: the outer part of the image is cut off, k-space stays k-space."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft, fftshift, ifft, ifftshift

from voxprior.io.kspace.file import Complex


def remove_oversampling(kspace: NDArray[Any], size: int, axis: int = -2) -> Complex:
    """``kspace``, centred along ``axis``, cropped to ``size`` there in the image; lines of zeros stay zero.

    Orthonormal both ways, so that white noise keeps its standard deviation a sample; the middle (index n // 2) stays
    the middle.
    """
    n = kspace.shape[axis]
    if size == n:
        return kspace.astype(np.complex64, copy=False)
    start = n // 2 - size // 2
    image = fftshift(ifft(ifftshift(kspace, axes=axis), axis=axis, norm="ortho"), axes=axis)
    image = np.moveaxis(np.moveaxis(image, axis, 0)[start : start + size], 0, axis)
    line: Complex = fftshift(fft(ifftshift(image, axes=axis), axis=axis, norm="ortho"), axes=axis)
    return line.astype(np.complex64, copy=False)


def centre_crop(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The middle ``shape`` of the last axes of ``image``, as the scanner would show it; index n // 2 stays the middle.

    Raises ValueError when ``shape`` is larger.
    """
    axes = image.shape[image.ndim - len(shape) :]
    if any(m > n or m < 1 for m, n in zip(shape, axes, strict=True)):
        raise ValueError(f"a crop of {shape} does not lie in {axes}")
    for axis, (m, n) in enumerate(zip(shape, axes, strict=True), image.ndim - len(shape)):
        image = image.take(np.arange(n // 2 - m // 2, n // 2 - m // 2 + m), axis)
    return image
