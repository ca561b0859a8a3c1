"""From a CT volume to the views of a block of its slices, and from there to what a method is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from voxprior.diffusion.noise import generator
from voxprior.evaluate.ct import phantom
from voxprior.evaluate.ct.protocols import PHANTOM, Case
from voxprior.evaluate.manifest import checked
from voxprior.io.nifti import read_volume
from voxprior.io.sinogram import MU_WATER, Sinogram
from voxprior.jobs.ct_simulate import LEAST_COUNT, scanner, simulate, truth_of
from voxprior.operators.base import Measurement
from voxprior.operators.projection_cache import matrix
from voxprior.operators.tomography import Tomography, whitened
from voxprior.volume import Volume

FACING = np.array([[0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1 / phantom.PIXEL]]) * phantom.PIXEL
"""Affine of the phantom: rows towards the back, columns towards the left."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Views of a block (``sinogram``) and the ``truth`` in HU that methods are judged by."""

    sinogram: Sinogram
    truth: Volume

    def measurement(self) -> Measurement:
        """Data and operator divided by the noise of each ray, where it is known; an operator of its own."""
        s, noise = self.sinogram, self.sinogram.noise()
        sigma = None if noise is None else torch.from_numpy(noise)
        return whitened(Measurement(self.operator(), torch.from_numpy(s.data)[None], sigma, s.affine))

    def operator(self) -> Tomography:
        """The views without the weights of the rays."""
        s = self.sinogram
        return Tomography(s.geometry, s.shape, s.axis)


def acquire(data: Path, case: Case) -> Problem:
    """The views of ``case``; raises :class:`InputError` for a file that is not the manifest's.

    The photons are a function of the case's name alone.
    """
    rng = generator("ct", case.name)
    if case.subject == PHANTOM:
        return _phantom(case, rng)
    whole = truth_of(read_volume(checked(data, case.file, case.sha256)))
    truth = cut(whole, case.slices, case.centre)
    geometry, axis = scanner(truth, case.views, case.range_deg)
    return Problem(simulate(truth, geometry, axis, MU_WATER, case.photons, rng), truth)


def cut(volume: Volume, slices: int, centre: float) -> Volume:
    """A block of so many axial slices, or all there are, about the place ``centre`` from foot (0) to head (1)."""
    axis = next(a for a in range(3) if volume.axcodes[a] in "IS")
    count = volume.data.shape[axis]
    slices = min(slices, count)
    at = centre if volume.axcodes[axis] == "S" else 1 - centre
    first = int(np.clip(round(at * count - slices / 2), 0, count - slices))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, axis] * first
    part = np.ascontiguousarray(volume.data.take(range(first, first + slices), axis))
    return Volume(part, affine, volume.header, volume.source)


def _phantom(case: Case, rng: np.random.Generator) -> Problem:
    truth = Volume(phantom.volume(case.slices), FACING, source=f"{PHANTOM}.nii.gz")
    geometry, axis = scanner(truth, case.views, case.range_deg)
    matrix(geometry)  # built and kept now: no method pays for it
    integrals = phantom.views(geometry, case.slices) * MU_WATER / 1000
    measured = integrals if case.photons is None else counted(integrals, case.photons, rng)
    photons = None if case.photons is None else np.asarray(case.photons, dtype=np.float64)
    sinogram = Sinogram(measured.astype(np.float32), geometry, truth.affine, axis, photons, MU_WATER)
    return Problem(sinogram, truth)


def counted(integrals: NDArray[np.float64], photons: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """``-log(counts / photons)`` of Poisson counts; none counts as half a photon."""
    counts = np.maximum(rng.poisson(photons * np.exp(-integrals)), LEAST_COUNT)
    return np.asarray(-np.log(counts / photons))
