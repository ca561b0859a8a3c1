"""The reference C library of the NIfTI format reads our headers as we mean them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.external


def _matrix(text: str) -> NDArray[np.float64]:
    numbers = [float(word) for word in text.splitlines()[-1].split()[-16:]]
    return np.array(numbers).reshape(4, 4)


@pytest.mark.parametrize("form", ["qto_xyz", "sto_xyz"])
def test_both_forms_place_the_corners_alike(
    form: str, ask: Callable[..., str], restored: Path, oblique_affine: NDArray[np.float64]
) -> None:
    """Guards qform and sform: a reader that trusts either finds the stack's corners where the slices had them."""
    found = _matrix(ask("nifti_tool", "-disp_nim", "-field", form, "-infiles", restored))
    # Seven slices of 5 mm span 35 mm: 18 voxels of 2 mm, 36 mm, about the same centre.
    middle_thick = oblique_affine @ [9.5, 11.5, 3.0, 1]
    middle_thin = found @ [9.5, 11.5, 8.5, 1]
    np.testing.assert_allclose(middle_thin, middle_thick, atol=1e-3)
    for corner in ([0, 0], [19, 0], [0, 23], [19, 23]):
        for side in (-1, 1):
            thick = oblique_affine @ [*corner, 3.0 + side * 18 / 5, 1]
            thin = found @ [*corner, 8.5 + side * 9, 1]
            np.testing.assert_allclose(thin, thick, atol=1e-3)


def test_voxel_values_are_read_unscaled(ask: Callable[..., str], restored: Path) -> None:
    """Guards type and scaling: the library reads float32 voxels, slope 1, equal to what we read."""
    import nibabel

    text = ask("nifti_tool", "-quiet", "-disp_ci", "9", "11", "-1", "0", "0", "0", "0", "-infiles", restored)
    found = np.array([float(word) for word in text.split()])
    expected = np.asarray(nibabel.load(restored).dataobj)[9, 11]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    header = ask("nifti_tool", "-quiet", "-disp_hdr", "-field", "datatype", "-field", "scl_slope", "-infiles", restored)
    assert header.split() == ["16", "1.0"]
