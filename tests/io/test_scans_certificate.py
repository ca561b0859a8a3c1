"""The proof of several scans holds to the last digit of what was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from voxprior.io.nifti import read_volume
from voxprior.io.outputs import write_volume
from voxprior.io.scans_certificate import Scan, scans_certificate, verify_scans
from voxprior.operators.placement import Stack
from voxprior.volume import Volume


def _written(path: Path, data: NDArray[np.float64], affine: NDArray[np.float64]) -> Volume:
    write_volume(path, Volume(data.astype(np.float32), affine))
    return read_volume(path)


@pytest.mark.parametrize("far", [0.0, 1e-3, 1.0])
def test_the_rounding_of_a_header_changes_no_residual(far: float, tmp_path: Path) -> None:
    """Guards slices that the grid hardly meets; a result that lies elsewhere is still told from one that does not."""
    rng = np.random.default_rng(0)
    affine = np.diag([0.9, 0.9, 0.9, 1.0])
    affine[:3, 3] = 100 / 3, -200 / 3, 1000 / 7  # none of them is a number of single precision
    output = Volume(rng.random((24, 22, 20)).astype(np.float32), affine)
    place = np.eye(4)
    place[:3, :3] = Rotation.from_rotvec([4, -3, 2], degrees=True).as_matrix() @ np.diag([1.0, 1.0, 4.0])
    place[:3, 3] = affine[:3, 3] + [0.3, 0.4, -1.6]
    measured = _written(tmp_path / "scan.nii", rng.random((20, 18, 5)), place)
    stack = Stack(np.array(measured.affine), (20, 18, 5), 2, 4.0)
    path = tmp_path / "out.nii"
    told = scans_certificate([Scan(measured, tmp_path / "scan.nii", stack, np.eye(4), 1.0)], output, path)
    moved = affine.copy()
    moved[0, 3] += far
    _written(path, output.data, moved)
    found = {check.name: check for check in verify_scans(path, told).checks}
    apart = [float(found[name].stored) - float(found[name].found) for name in found if "residual" in name]
    assert found["place of the output (mm off)"].ok == (far < 0.01) and len(apart) == 3
    assert (max(np.abs(apart)) == 0) == (far < 0.01)
