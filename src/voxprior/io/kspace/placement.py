"""Where the slices of an ISMRMRD file lie in the patient: from positions and directions in LPS to an affine in RAS+."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxprior.io.kspace.acquisitions import Heads
from voxprior.io.kspace.header import Encoding, axial_affine

UNIT = 1e-2
"""Directions whose length or angles differ by more than this from unit and right are not directions."""
UNEVEN = 0.05
"""Part of the slice distance by which one distance may differ from the others without a word."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Placement:
    """``slices``: the file's slice numbers in the order of their place; ``affine``: index (x, y, z or slice) to mm."""

    slices: list[int]
    affine: NDArray[np.float64] | None
    warnings: tuple[str, ...]


def place_slices(image: Heads, encoding: Encoding, space: tuple[int, ...]) -> Placement:
    """Order of the slices of ``image``, and the affine of the images of ``space``, (y, x) or (z, y, x).

    ``position`` is where index n // 2 of the phase encodings and of the read-out lies: the point where a Fourier
    transform has its origin. Without directions the affine is a guess, without a field of view there is none; a
    warning says so.
    """
    numbers = [int(s) for s in np.unique(image["slice"])]
    firsts = [int(np.flatnonzero(image["slice"] == s)[0]) for s in numbers]
    read, phase, normal = (image[f"{d}_dir"][firsts[0]].astype(np.float64) for d in ("read", "phase", "slice"))
    positions = image["position"][firsts].astype(np.float64)
    along, across, through = encoding.encoded.spacing
    frame = np.stack([phase, read, normal], axis=1)
    thickness = encoding.recon.spacing[2] or encoding.encoded.spacing[2]
    if not along or not across:
        return Placement(numbers, None, ("the header has no field of view: voxel sizes are not known",))
    if not np.isfinite(positions).all() or not np.allclose(frame.T @ frame, np.eye(3), atol=UNIT):
        spacing, count = (across, along, through or thickness or 1.0), len(numbers) if len(space) == 2 else space[0]
        guess = axial_affine(spacing, (space[-1], space[-2], count))
        return Placement(numbers, guess, ("the lines carry no directions: orientation and origin are a guess",))
    if len(space) == 3:
        step, warnings = normal * (through or 1.0), [] if through else ["slab thickness is not known: voxels of 1 mm"]
        origin = positions[0] - step * (space[0] // 2)
        if len(numbers) > 1:
            warnings.append(f"{len(numbers)} slabs: the affine is that of the first")
    else:
        order = np.argsort(positions @ normal, kind="stable")
        numbers, positions = [numbers[o] for o in order], positions[order]
        step, warnings = _slice_step(positions, normal, thickness)
        origin = positions[0]
    columns = np.stack([phase * across, read * along, step], axis=1)
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ columns
    affine[:3, 3] = LPS_TO_RAS @ (origin - columns[:, 0] * (space[-1] // 2) - columns[:, 1] * (space[-2] // 2))
    return Placement(numbers, affine, tuple(warnings))


def _slice_step(
    positions: NDArray[np.float64], normal: NDArray[np.float64], thickness: float
) -> tuple[NDArray[np.float64], list[str]]:
    """From one slice to the next, mm; by the thickness where there is one slice, or all are said to be at one place."""
    known = thickness or 1.0
    if len(positions) == 1:
        return normal * known, [] if thickness else ["slice thickness is not known: taken as 1 mm"]
    steps = np.diff(positions, axis=0)
    distances = np.linalg.norm(steps, axis=1)
    if distances.max() < 1e-3:
        return normal * known, [f"all slices are said to lie at one place: taken as {known:.3g} mm apart"]
    mean: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(positions) - 1)
    distance = float(np.linalg.norm(mean))
    if np.abs(steps - mean).max() > UNEVEN * distance:
        low, high = distances.min(), distances.max()
        return mean, [f"slices are {low:.3g} to {high:.3g} mm apart; the mean, {distance:.3g} mm, is used"]
    return mean, []
