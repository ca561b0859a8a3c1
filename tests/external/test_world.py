"""MRtrix, which knows nothing of slice profiles, interpolates the thick scan onto our grid: the two agree in space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

pytestmark = pytest.mark.external


def test_linear_interpolation_is_that_of_another_program(
    ask: Callable[..., str], thick_scan: Path, restored: Path, tmp_path: Path
) -> None:
    """Guards the restored grid and the slice centres together: a shift of either shows as a difference."""
    other = tmp_path / "mrtrix.nii"
    arguments = ("-template", restored, "-interp", "linear", "-datatype", "float32", "-nthreads", "1", "-quiet")
    ask("mrtransform", thick_scan, *arguments, other)
    ours = np.asarray(nibabel.load(restored).dataobj)
    image = nibabel.load(other)
    theirs = nibabel.orientations.apply_orientation(
        np.asarray(image.dataobj),
        nibabel.orientations.ornt_transform(
            nibabel.io_orientation(image.affine), nibabel.io_orientation(nibabel.load(restored).affine)
        ),
    )
    assert ours.shape == theirs.shape == (20, 24, 18)
    # The outer voxels lie beyond the outer slice centres, where each program does as it likes.
    inside = (slice(1, -1), slice(1, -1), slice(2, -2))
    span = float(ours.max() - ours.min())
    assert np.abs(ours - theirs)[inside].max() < 1e-4 * span
    shifted = np.abs(ours - np.roll(theirs, 1, axis=2))[inside].max()
    assert shifted > 0.05 * span, "the phantom is too smooth for the comparison to notice a shift"
