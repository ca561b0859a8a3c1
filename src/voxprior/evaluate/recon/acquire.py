"""From a file to the fully sampled k-space of one slice, and from there to what a method is given."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.ndimage import gaussian_filter
from torch import Tensor

from voxprior.diffusion.noise import generator
from voxprior.errors import InputError
from voxprior.evaluate.directions import array_axis
from voxprior.evaluate.manifest import checked
from voxprior.evaluate.recon.protocols import Case
from voxprior.io.kspace import open_kspace
from voxprior.io.nifti import read_volume
from voxprior.metrics import foreground
from voxprior.operators.base import Measurement
from voxprior.operators.coil_noise import corner_noise
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.espirit import espirit
from voxprior.operators.fourier import Fourier, fft, ifft
from voxprior.operators.masks import Mask, detect_mask, make_mask
from voxprior.volume import Volume

SNR = 50.0
"""Mean magnitude of a simulated slice in its object, over the noise std of a real component after combination."""
PHASE_STD, PHASE_WIDTH = 0.8, 1 / 6
"""Of the simulated phase: std in radians, and width as a part of the longer side."""
CALIBRATION = 24
"""Side of the central region from which the reference of real coil images gets its sensitivities."""
WINDOW = (-160.0, 240.0)
"""HU that become 0 and 1 in a CT slice, for which this is any anatomy that is no head."""

Complex = NDArray[np.complex64]
Image = NDArray[np.float32]
SLICE = (-2, -1)


@dataclass(frozen=True, eq=False)
class Slice:
    """``kspace`` (coil, y, x) as acquired, noise included; the magnitude ``truth`` and its ``object`` (y, x), or None.

    ``noise``: std of a real component of a sample where a noise scan would tell, else None.
    """

    kspace: Complex
    noise: float | None
    truth: Image | None
    object: NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class Problem:
    """Undersampled data ``y`` (coil, y, x) with ``maps`` from their own centre, and what they are judged by.

    ``noise``: as the methods are told, from a noise scan or from the corners of k-space. ``seconds_maps``: of the maps.
    """

    y: Complex
    maps: Complex
    mask: Mask
    noise: float | None
    seconds_maps: float
    truth: Image | None
    object: NDArray[np.bool_] | None

    def measurement(self) -> Measurement:
        """A measurement with an operator of its own, so that no method profits from what another has prepared."""
        operator = Fourier(torch.from_numpy(self.mask.keep), torch.from_numpy(self.maps))
        return Measurement(operator, torch.from_numpy(self.y)[None], self.noise)


def acquire(data: Path, case: Case) -> Slice:
    """The slice of ``case`` before undersampling; raises :class:`InputError` for a file that is not the manifest's."""
    path = checked(data, case.file, case.sha256)
    if case.source == "coils":
        return from_coil_images(_matrix(path, 3).transpose(2, 0, 1))
    if case.source == "complex":
        return from_image(_matrix(path, 2))
    if case.source == "kspace":
        with open_kspace(path) as file:
            return Slice(file.read(0), None, None, None)
    volume = read_volume(path)
    return simulate(_cut(volume, case), case.coils, f"{case.subject} {case.direction}")


def undersample(full: Slice, case: Case) -> Problem:
    """Sample ``full`` by the mask of ``case`` (k-space without a truth: as it is), and find maps in what is left.

    Raises :class:`InputError` when mask and matrix do not go together, or the centre is too small for calibration.
    """
    shape = (full.kspace.shape[1], full.kspace.shape[2])
    mask = detect_mask(full.kspace)
    if case.mask:
        mask = make_mask(case.mask, shape, case.acceleration, case.acs)
    y = full.kspace * mask.keep
    start = time.perf_counter()
    maps = espirit(torch.from_numpy(y)[None])[0].numpy()
    seconds = time.perf_counter() - start
    noise = full.noise if full.noise is not None else _corner_noise(y, mask.keep)
    return Problem(y, maps, mask, noise, seconds, full.truth, full.object)


def from_coil_images(images: Complex) -> Slice:
    """Real coil images (coil, y, x): the truth is their combination by maps of the fully sampled centre, uncropped."""
    kspace = fft(torch.from_numpy(images), SLICE)
    maps = espirit(kspace[None], calibration=CALIBRATION, crop=0.0)[0]
    truth = _magnitude((maps.conj() * ifft(kspace, SLICE)).sum(0))
    return Slice(kspace.numpy(), None, truth, foreground(truth))


def from_image(image: Complex) -> Slice:
    """A complex image (y, x) of one coil, which is the truth."""
    truth = _magnitude(torch.from_numpy(image))
    return Slice(fft(torch.from_numpy(image)[None], SLICE).numpy(), None, truth, foreground(truth))


def simulate(magnitude: Image, coils: int, name: str) -> Slice:
    """Smooth random phase, random coils and white noise for ``magnitude`` (y, x); all of it a function of ``name``."""
    shape = (magnitude.shape[0], magnitude.shape[1])
    inside = foreground(magnitude)
    rng = generator("recon", name)
    maps = simulate_maps(shape, coils, rng)
    image = magnitude * np.exp(1j * _phase(shape, rng))
    kspace = fft(torch.from_numpy(maps * image.astype(np.complex64)), SLICE).numpy()
    noise = float(magnitude[inside].mean()) / SNR
    kspace += noise * rng.standard_normal((*kspace.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    return Slice(kspace, noise, magnitude, inside)


def _phase(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """A ramp and a smooth random field: not the waves of the training examples."""
    field = gaussian_filter(rng.standard_normal(shape), PHASE_WIDTH * max(shape), mode="wrap")
    y, x = (np.linspace(-1, 1, n) for n in shape)
    ramp = rng.normal(size=2)
    phase = PHASE_STD * field / field.std() + ramp[0] * y[:, None] + ramp[1] * x + rng.uniform(0, 2 * np.pi)
    return np.asarray(phase, dtype=np.float32)


def _cut(volume: Volume, case: Case) -> Image:
    """The slice with most foreground normal to the case's direction, array axes in order; squared where asked."""
    axis = array_axis(volume, case.direction)
    voxels = np.array(volume.data, dtype=np.float32)
    if case.source == "ct":
        voxels = np.asarray((voxels.clip(*WINDOW) - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), dtype=np.float32)
    others = tuple(a for a in range(3) if a != axis)
    best = int(foreground(voxels).sum(axis=others).argmax())
    image = voxels.take(best, axis).clip(0)
    return _squared(image, case.matrix) if case.matrix else np.ascontiguousarray(image)


def _squared(image: Image, side: int) -> Image:
    """Cut or padded with zeros to ``side`` about the centre."""
    for axis, n in enumerate(image.shape):
        if n > side:
            image = image.take(range((n - side) // 2, (n - side) // 2 + side), axis)
        else:
            pad = [(0, 0), (0, 0)]
            pad[axis] = ((side - n) // 2, side - n - (side - n) // 2)
            image = np.pad(image, pad)
    return np.ascontiguousarray(image)


def _matrix(path: Path, axes: int) -> Complex:
    """The one complex array with so many axes in a MATLAB file."""
    found = [v for v in loadmat(path).values() if isinstance(v, np.ndarray) and v.dtype.kind == "c" and v.ndim == axes]
    if len(found) != 1:
        raise InputError(f"{path.name}: {len(found)} complex arrays with {axes} axes, one is expected")
    return np.ascontiguousarray(found[0], dtype=np.complex64)


def _corner_noise(y: Complex, keep: NDArray[np.bool_]) -> float | None:
    found = corner_noise(y, keep)
    return found if np.isfinite(found) and found > 0 else None


def _magnitude(image: Tensor) -> Image:
    return np.asarray(image.abs().numpy(), dtype=np.float32)
