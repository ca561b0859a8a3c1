"""A complete image or complete k-space is undersampled, so that a reconstruction can be compared with the truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from voxprior.errors import InputError
from voxprior.io.dicom import is_dicom
from voxprior.io.kspace.file import Complex, KspaceFile
from voxprior.io.names import IMAGE_SUFFIXES
from voxprior.io.scans import read_scan
from voxprior.jobs.npy import read_slices
from voxprior.metrics import fastmri
from voxprior.metrics.protocols import WINDOW
from voxprior.volume import Volume, thick_axis


def is_image(source: Path) -> bool:
    """Whether ``source`` is an image, a DICOM series or a folder of .npy slices, and not k-space."""
    if is_dicom(source):
        return True
    if source.is_dir():
        return any(path.suffix == ".npy" for path in source.iterdir())
    return source.name.lower().endswith(IMAGE_SUFFIXES)


def require_window(kspace: KspaceFile) -> None:
    """Raise :class:`InputError` for slices on which the comparison cannot be computed."""
    if min(kspace.shape[-2:]) < WINDOW:
        raise InputError(f"slices of {kspace.shape} are too small to be compared; give at least {WINDOW} pixels")


def read_image(source: Path, series: str | None = None) -> Volume:
    """The image ``source``, of which k-space is to be simulated; raises :class:`InputError` as the readers do."""
    return read_slices(source) if source.is_dir() and not is_dicom(source) else read_scan(source, series)


def simulated_kspace(volume: Volume, source: Path) -> KspaceFile:
    """The k-space that one uniform coil would measure of ``volume``, read from ``source``, without noise.

    It is measured slice by slice. Slices are normal to the coarsest axis, or to k when none is.
    """
    try:
        axis = thick_axis(volume.spacing)
    except InputError:
        axis = 2
    stack = _in_plane(volume, axis)
    maps = np.ones((1, *stack.data.shape[1::-1]), np.complex64)
    warnings = tuple(volume.header.get("warnings", ()))
    return KspaceFile(
        "simulated",
        source,
        stack.data.shape[2],
        1,
        (stack.data.shape[1], stack.data.shape[0]),
        lambda index: _kspace(stack.data[:, :, index].T)[None],
        affine=stack.affine,
        maps=maps,
        warnings=warnings,
    )


def _in_plane(volume: Volume, axis: int) -> Volume:
    """``volume`` with its slices along the last axis."""
    order = [a for a in range(3) if a != axis] + [axis]
    affine = volume.affine.copy()
    affine[:, :3] = volume.affine[:, order]
    return Volume(volume.data.transpose(order), affine, volume.header, volume.source)


def _kspace(image: NDArray[np.float32]) -> Complex:
    """Centred and orthonormal."""
    return np.asarray(fft.fftshift(fft.fft2(fft.ifftshift(image), norm="ortho")), np.complex64)


def compare(images: Mapping[str, Complex], truth: Complex, sum_of_squares: NDArray[np.float32]) -> dict[str, Any]:
    """fastMRI's figures of the magnitude of ``images`` against the magnitude of ``truth``, all (slice, y, x).

    ``sum_of_squares``: the other reference, root-sum-of-squares of the fully sampled coil images.
    """
    reference = np.abs(truth)
    return {
        "protocol": "fastMRI: magnitude, NMSE, PSNR and SSIM (7 x 7) with the maximum of the reference volume as range",
        "reference": "coils combined by the maps, all of k-space",
        "range": float(reference.max()),
        "methods": {name: _scores(image, reference) for name, image in images.items()},
        "against_root_sum_of_squares": {name: _scores(image, sum_of_squares) for name, image in images.items()},
    }


def _scores(image: Complex, reference: NDArray[np.float32]) -> dict[str, float | None]:
    found = fastmri(np.abs(image), reference)
    return {"psnr": found.psnr if np.isfinite(found.psnr) else None, "ssim": found.ssim, "nmse": found.nmse}
