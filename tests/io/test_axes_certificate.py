"""The proof of volumes that are coarse along several axes, written and checked again."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.io.axes_certificate import axes_certificate, axes_residual, slice_axis
from voxprior.io.certificate import slice_residual, verify
from voxprior.io.outputs import write_volume
from voxprior.operators.decimation import Refinement, coarse_affine, coarsened
from voxprior.volume import SliceGeometry, Volume

STAGES = (Refinement((0, 1), 2.0), Refinement((0, 2), 1.5, "kspace"))
"""Axis 0 is refined twice."""


def _dense(axes: tuple[SliceGeometry, ...], x: np.ndarray) -> np.ndarray:
    """The measurement by one product a matrix, in the order of the physics."""
    for g in reversed(axes):
        x = np.moveaxis(np.einsum("ab,b...->a...", g.matrix(), np.moveaxis(x, g.axis, 0)), 0, g.axis)
    return x


def _case(stages: tuple[Refinement, ...]) -> tuple[tuple[SliceGeometry, ...], Volume, Volume]:
    """Axes, a fine volume, and what is measured of it."""
    data = np.random.default_rng(0).random((18, 12, 9)).astype(np.float32) + 1
    affine = np.array([[0, -1.1, 0, 4], [0.9, 0, 0, -3], [0, 0, 1.3, 8], [0, 0, 0, 1.0]])
    truth, geometry = coarsened(Volume(data, affine), stages)
    axes = tuple(g for one in geometry for g in one)
    measured = _dense(axes, truth.data.astype(np.float64)).astype(np.float32)
    return axes, truth, Volume(measured, coarse_affine(truth.affine, geometry))


@pytest.mark.parametrize("stages", [STAGES, STAGES[:1], (Refinement((0, 1, 2), 3.0),)])
def test_residuals_are_those_of_the_whole_operator(stages: tuple[Refinement, ...]) -> None:
    """Slice by slice or all at once: the same numbers, and zero for the truth."""
    axes, truth, measured = _case(stages)
    assert axes_residual(axes, truth.data, measured.data)[0] < 1e-7
    wrong = truth.data + np.random.default_rng(1).random(truth.data.shape).astype(np.float32)
    total, per_slice = axes_residual(axes, wrong, measured.data)
    missed = _dense(axes, wrong.astype(np.float64)) - measured.data
    assert total == pytest.approx(np.linalg.norm(missed) / np.linalg.norm(measured.data))
    normal = slice_axis(axes)
    rest = tuple(a for a in range(3) if a != normal)
    expected = np.linalg.norm(missed, axis=rest) / np.linalg.norm(measured.data.astype(np.float64), axis=rest)
    np.testing.assert_allclose(per_slice, expected)


def test_one_axis_agrees_with_the_proof_of_slices() -> None:
    """Two ways to say the same operator give the same residual."""
    axes, truth, measured = _case((Refinement((2,), 3.0),))
    wrong = 1.1 * truth.data
    assert axes_residual(axes, wrong, measured.data)[0] == pytest.approx(
        slice_residual(axes[0], wrong, measured.data)[0]
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """An output of two stages with its input and sidecar."""
    axes, truth, measured = _case(STAGES)
    write_volume(tmp_path / "in.nii.gz", measured)
    write_volume(tmp_path / "out.nii.gz", truth)
    certificate = axes_certificate(axes, measured, truth, tmp_path / "in.nii.gz", tmp_path / "out.nii.gz", 0.1, "given")
    (tmp_path / "out.json").write_text(json.dumps({"certificate": certificate}))
    return tmp_path / "out.nii.gz"


def test_it_verifies_from_the_files_alone(written: Path) -> None:
    """Digests, place and residual hold; nothing but the files is asked."""
    found = verify(written)
    assert found.ok, found.checks
    assert {check.name for check in found.checks} >= {"residual", "place in space (mm off)"}


@pytest.mark.parametrize("part", ["voxel", "affine", "operator"])
def test_a_change_is_noticed(written: Path, part: str) -> None:
    """One voxel, the place, or the operator: each fails the check that is for it."""
    image = nibabel.load(written)
    data, affine = np.asarray(image.dataobj).copy(), image.affine.copy()
    if part == "voxel":
        data[3, 3, 3] += 50
    if part == "affine":
        affine[0, 3] += 0.1
    if part == "operator":
        values = json.loads(written.with_name("out.json").read_text())
        values["certificate"]["operator"]["axes"][-1]["profile"] = "box"
        written.with_name("out.json").write_text(json.dumps(values))
    else:
        nibabel.save(nibabel.Nifti1Image(data, affine), written)
    failed = {check.name for check in verify(written).checks if not check.ok}
    assert {"voxel": "residual", "affine": "place in space (mm off)", "operator": "residual"}[part] in failed


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("count", 4, None),
        ("fine_count", 5, None),
        ("axis", 3, "impossible operator"),
        ("spacing", float("inf"), "not JSON"),
        ("profile", "sinc", "unknown profile"),
        ("thickness", None, "damaged"),
    ],
)
def test_an_operator_that_does_not_fit_fails_in_one_line(
    written: Path, field: str, value: object, message: str | None
) -> None:
    """Wrong sizes fail the check; nonsense is a damaged certificate."""
    sidecar = written.with_name("out.json")
    values = json.loads(sidecar.read_text())
    values["certificate"]["operator"]["axes"][0][field] = value
    sidecar.write_text(json.dumps(values))
    if message is None:
        assert not verify(written).ok
        return
    with pytest.raises(InputError, match=message):
        verify(written)


def test_zeros_have_no_residual() -> None:
    """Nothing can be said of an empty measurement."""
    axes, truth, measured = _case(STAGES)
    with pytest.raises(InputError, match="zero everywhere"):
        axes_residual(axes, truth.data, 0 * measured.data)
