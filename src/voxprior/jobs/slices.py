"""What the options say of slices: their geometry, and their profile by name or from a file of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voxprior.errors import InputError
from voxprior.io.names import shown
from voxprior.jobs.options import SrOptions
from voxprior.volume import PROFILES, SliceGeometry, Volume, slice_geometry, thick_axis

MAX_SAMPLES = 10_000
DICOM_AXIS = 2
"""Slices of a DICOM series follow each other along k."""


def understand(volume: Volume, options: SrOptions) -> SliceGeometry:
    """What ``volume`` measured and the grid to restore, as ``options`` say and :func:`slice_geometry` completes it.

    Where they say neither thickness nor gap, the thickness is that of a DICOM header.
    """
    thickness = options.thickness
    if thickness is None and options.gap is None:
        thickness = stated_thickness(volume, options)
    return slice_geometry(
        volume, options.axis, options.spacing, thickness, options.gap, read_profile(options.profile)
    )


def stated_thickness(volume: Volume, options: SrOptions) -> float | None:
    """Slice thickness in the header of a DICOM series, mm; None without one, or where slices are another axis."""
    stated = volume.header.get("thickness")
    if stated is None:
        return None
    return float(stated) if thick_axis(volume.spacing, options.axis) == DICOM_AXIS else None


def read_profile(profile: str) -> str | tuple[float, ...]:
    """A profile's name, or the samples in the text file of that name (over [-thickness, +thickness]).

    Raises :class:`InputError` for a file that is missing, too long, or has other than non-negative numbers.
    """
    path = Path(profile)
    if profile in PROFILES or not path.is_file():
        return profile
    try:
        samples = [float(word) for word in path.read_text(encoding="utf-8").replace(",", " ").split()]
    except (ValueError, OSError):
        raise InputError(f"--profile {shown(path)}: not a text file of numbers; give one sample a line") from None
    if not 3 <= len(samples) <= MAX_SAMPLES or not np.isfinite(samples).all() or min(samples) < 0:
        raise InputError(f"--profile {shown(path)}: give 3 or more samples, none negative, from -T to +T")
    if sum(samples[1:-1]) <= 0:
        raise InputError(f"--profile {shown(path)}: has no area; give samples above 0")
    return tuple(samples)
