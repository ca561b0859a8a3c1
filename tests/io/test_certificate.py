"""A certificate holds for the files it was made from, and for no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import voxprior.io.certificate
from voxprior.errors import InputError
from voxprior.io.certificate import slice_certificate, slice_residual, verify
from voxprior.io.nifti import read_volume
from voxprior.io.outputs import sidecar_path, write_json, write_volume
from voxprior.volume import SliceGeometry, Volume, fine_affine, slice_geometry

AXIS = 2


def thick(axis: int = AXIS) -> np.ndarray:
    """An oblique affine, coarse along ``axis``."""
    c, s = np.cos(0.3), np.sin(0.3)
    spacing = np.ones(3)
    spacing[axis] = 4.0
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * spacing
    affine[:3, 3] = (-30, 20, 10)
    return affine


def restored(
    folder: Path, axis: int = AXIS, suffix: str = ".nii.gz", error: float = 0.0, **options: Any
) -> tuple[Path, Path]:
    """Files of a run: a fine volume, the slices that it explains but for ``error``, and the sidecar."""
    rng = np.random.default_rng(7)
    shape = [6, 7, 8]
    shape[axis] = 5
    stack = Volume(rng.normal(100, 20, shape).astype(np.float32), thick(axis))
    geometry = slice_geometry(stack, thickness=3.2, **options)
    shape[axis] = geometry.fine_count
    fine = rng.normal(100, 20, shape).astype(np.float32)
    slices = np.moveaxis(np.tensordot(geometry.matrix(), fine.astype(np.float64), axes=(1, axis)), 0, axis)
    slices = slices * (1 + error)
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    source, target = folder / "in" / f"scan{suffix}", folder / "out" / f"fine{suffix}"
    write_volume(source, Volume(slices, thick(axis)))
    measured = read_volume(source)
    output = Volume(fine, fine_affine(measured.affine, geometry), measured.header)
    write_volume(target, output)
    certificate = slice_certificate(
        geometry, measured, output, source, target, noise=1.5, noise_source="background"
    )
    write_json(sidecar_path(target), {"certificate": certificate})
    return source, target


def change(target: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    sidecar = sidecar_path(target)
    values = json.loads(sidecar.read_text())
    edit(values["certificate"])
    sidecar.write_text(json.dumps(values))


def failed(target: Path, **options: Any) -> set[str]:
    return {check.name.split(" (")[0] for check in verify(target, **options).checks if not check.ok}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("profile", ["box", "gaussian", "slr", (0.0, 1.0, 2.0, 1.0, 0.0)])
def test_a_true_result_verifies(tmp_path: Path, axis: int, suffix: str, profile: Any) -> None:
    """Guards the round trip through files of operator, grid, digests and residual, for every axis, format,
    profile.
    """
    _, target = restored(tmp_path, axis, suffix, profile=profile)
    outcome = verify(target)
    assert outcome.ok, outcome.checks
    assert len(outcome.checks) == 5


def test_the_keys_are_those_that_the_documentation_promises(tmp_path: Path) -> None:
    """Guards the names in the sidecar, the relative path, and that all numbers of the operator are there."""
    _, target = restored(tmp_path)
    values = json.loads(sidecar_path(target).read_text())["certificate"]
    assert set(values) == {
        *("operator", "input", "input_frame", "input_sha256", "output_sha256"),
        *("residual", "residual_per_slice", "noise", "noise_source"),
    }
    assert values["input"] == "../in/scan.nii.gz"
    assert (values["noise"], values["noise_source"]) == (1.5, "background")
    operator = dict(values["operator"])
    assert operator.pop("kind") == "slices"
    assert SliceGeometry.from_dict(operator).to_dict() == operator
    assert len(values["residual_per_slice"]) == operator["count"]


def test_the_residual_is_the_formula() -> None:
    """Guards ||Ax - y|| / ||y|| and its parts against a dense computation, empty slices included."""
    rng = np.random.default_rng(2)
    stack = Volume(rng.normal(size=(4, 3, 5)).astype(np.float32), thick())
    g = slice_geometry(stack)
    x = rng.normal(size=(4, 3, g.fine_count)).astype(np.float32)
    y = stack.data.copy()
    y[..., 1] = 0
    r = np.einsum("sf,ijf->ijs", g.matrix(), x.astype(np.float64)) - y
    total, parts = slice_residual(g, x, y)
    assert total == pytest.approx(np.linalg.norm(r) / np.linalg.norm(y.astype(np.float64)), rel=1e-12)
    norms = np.linalg.norm(y.astype(np.float64), axis=(0, 1))
    norms[1] = np.linalg.norm(norms) / np.sqrt(5)
    np.testing.assert_allclose(parts, np.linalg.norm(r, axis=(0, 1)) / norms, rtol=1e-12)


def test_blocks_do_not_change_the_residual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the sums over pieces of a large volume."""
    rng = np.random.default_rng(2)
    stack = Volume(rng.normal(size=(7, 5, 9)).astype(np.float32), thick(1))
    g = slice_geometry(stack)
    x = rng.normal(size=(7, g.fine_count, 9)).astype(np.float32)
    whole = slice_residual(g, x, stack.data)
    monkeypatch.setattr("voxprior.io.certificate.BLOCK_VOXELS", 1)
    pieces = slice_residual(g, x, stack.data)
    assert pieces[0] == pytest.approx(whole[0], rel=1e-12)
    np.testing.assert_allclose(pieces[1], whole[1], rtol=1e-12)


def test_one_changed_voxel_is_found(tmp_path: Path) -> None:
    """Guards the promise of the certificate: one last bit of one voxel is enough."""
    _, target = restored(tmp_path)
    image = nib.load(target)
    data = np.asarray(image.dataobj).copy()
    data[3, 3, 3] = np.nextafter(data[3, 3, 3], np.float32(0))
    nib.save(nib.Nifti1Image(data, None, image.header), target)
    assert failed(target) == {"output voxels"}
    data[3, 3, 3] *= 2
    nib.save(nib.Nifti1Image(data, None, image.header), target)
    assert failed(target) == {"output voxels", "residual", "residual of every slice"}


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_an_emptied_result_fails_and_is_not_an_input_error(tmp_path: Path, value: float) -> None:
    """Guards a result that was wiped or poisoned: that is a failed proof, not a file the user can mend."""
    _, target = restored(tmp_path)
    image = nib.load(target)
    nib.save(nib.Nifti1Image(np.full(image.shape, value, np.float32), None, image.header), target)
    assert {"output voxels", "residual"} <= failed(target)


def test_a_moved_result_is_found(tmp_path: Path) -> None:
    """Guards the place in space: the voxels are untouched, the affine is shifted by half a millimetre."""
    _, target = restored(tmp_path)
    image = nib.load(target)
    affine = image.affine.copy()
    affine[2, 3] += 0.5
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine, image.header), target)
    assert failed(target) == {"output voxels", "place in space"}


def test_the_same_result_in_another_container_still_verifies(tmp_path: Path) -> None:
    """Guards the digest: it is of shape, affine and voxels, so packing the file anew is no change."""
    _, target = restored(tmp_path)
    nib.save(nib.load(target), tmp_path / "out" / "again.nii")
    sidecar_path(target).rename(tmp_path / "out" / "again.json")
    assert verify(tmp_path / "out" / "again.nii").ok


def test_another_input_is_found(tmp_path: Path) -> None:
    """Guards against a certificate that is shown with somebody else's scan, named or put in its place."""
    source, target = restored(tmp_path)
    other = read_volume(source)
    write_volume(tmp_path / "other.nii.gz", Volume(other.data[::-1], other.affine))
    assert failed(target, input=tmp_path / "other.nii.gz") == {
        "input file",
        "residual",
        "residual of every slice",
    }
    write_volume(tmp_path / "small.nii.gz", Volume(other.data[1:], other.affine))
    assert failed(target, input=tmp_path / "small.nii.gz") == {"input file", "residual"}
    os.replace(tmp_path / "other.nii.gz", source)
    assert "input file" in failed(target)


def test_an_input_that_has_moved_can_be_named(tmp_path: Path) -> None:
    """Guards --input, and the message that asks for it."""
    source, target = restored(tmp_path)
    os.replace(source, tmp_path / "elsewhere.nii.gz")
    with pytest.raises(InputError, match=r"scan\.nii\.gz.*--input"):
        verify(target)
    assert verify(target, tmp_path / "elsewhere.nii.gz").ok


@pytest.mark.parametrize("factor, ok", [(1.0005, True), (1.01, False), (0.5, False)])
def test_a_claimed_residual_must_be_the_found_one(tmp_path: Path, factor: float, ok: bool) -> None:
    """Guards against a flattered residual, total or of one slice, within a tolerance for other machines'
    sums.
    """
    _, target = restored(tmp_path, error=0.01)

    def total(c: dict[str, Any]) -> None:
        c["residual"] *= factor

    def one(c: dict[str, Any]) -> None:
        c["residual_per_slice"][2] *= factor

    change(target, total)
    assert failed(target) == (set() if ok else {"residual"})
    change(target, one)
    assert failed(target) == (set() if ok else {"residual", "residual of every slice"})


@pytest.mark.parametrize(
    "key, value", [("thickness", 2.0), ("spacing", 4.5), ("axis", 0), ("fine_count", 999)]
)
def test_another_operator_is_found(tmp_path: Path, key: str, value: float) -> None:
    """Guards against a proof for other physics than those the result was made with."""
    _, target = restored(tmp_path)
    change(target, lambda c: c["operator"].update({key: value}))
    assert "residual" in failed(target)


def test_one_frame_of_several_is_compared(tmp_path: Path) -> None:
    """Guards results of --frames: the certificate knows which frame of the input it speaks of."""
    source, target = restored(tmp_path)
    image = nib.load(source)
    frame = np.asarray(image.dataobj)
    nib.save(nib.Nifti1Image(np.stack([frame * 0 + 1, frame], -1), image.affine), tmp_path / "series.nii.gz")
    series = tmp_path / "series.nii.gz"
    measured, output = read_volume(series, 1), read_volume(target)
    geometry = slice_geometry(measured, thickness=3.2)
    certificate = slice_certificate(geometry, measured, output, series, target)
    assert (certificate["input_frame"], certificate["noise_source"]) == (1, "unknown")
    sidecar_path(target).unlink()
    write_json(sidecar_path(target), {"certificate": certificate})
    assert verify(target).ok
    change(target, lambda c: c.update(input_frame=0))
    assert "residual" in failed(target)


def test_missing_files_are_input_errors(tmp_path: Path) -> None:
    """Guards exit code 2 and a message for each file that is not there."""
    _, target = restored(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        verify(tmp_path / "none.nii.gz")
    with pytest.raises(InputError, match="a folder"):
        verify(tmp_path)
    sidecar_path(target).unlink()
    with pytest.raises(InputError, match=r"fine\.json: no such file; the sidecar must lie beside"):
        verify(target)


def test_a_null_certificate_tells_its_reason(tmp_path: Path) -> None:
    """Guards jobs without a physical operator: verify repeats, on one line, why there is none."""
    _, target = restored(tmp_path)
    sidecar_path(target).write_text('{"certificate": null, "certificate_reason": "no\\nphysical operator"}')
    with pytest.raises(InputError, match="no certificate to verify: no physical operator"):
        verify(target)


BROKEN = {
    "no JSON": "{",
    "not UTF-8": b"\xff\xfe{}",
    "NaN": '{"certificate": {"residual": NaN}}',
    "a list": "[]",
    "no certificate": "{}",
    "a number": '{"certificate": 3}',
    "a list for it": '{"certificate": []}',
    "empty": '{"certificate": {}}',
    "nested": '{"certificate": ' + "[" * 100_000 + "]" * 100_000 + "}",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_sidecar_is_one_line(tmp_path: Path, content: str | bytes) -> None:
    """Guards verify against a traceback, or a pass, from a sidecar that something else wrote."""
    _, target = restored(tmp_path)
    sidecar_path(target).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"fine\.json") as caught:
        verify(target)
    assert str(caught.value).isprintable()


EDITS: dict[str, dict[str, Any]] = {
    "residual as text": {"residual": "small"},
    "residual null": {"residual": None},
    "ragged parts": {"residual_per_slice": [[1, 2], [3]]},
    "input as number": {"input": 3},
    "operator null": {"operator": None},
    "operator of another kind": {"operator": {"kind": "fourier"}},
    "operator of no numbers": {"operator": {"kind": "slices"}},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_a_damaged_certificate_is_one_line(tmp_path: Path, edit: dict[str, Any]) -> None:
    """Guards verify against a traceback from wrong types in the certificate."""
    _, target = restored(tmp_path)
    change(target, lambda c: c.update(edit))
    with pytest.raises(InputError, match="damaged") as caught:
        verify(target)
    assert str(caught.value).isprintable()


IMPOSSIBLE = [("axis", 5), ("axis", -1), ("spacing", 0.0), ("thickness", -1.0), ("profile", "triangle")]


@pytest.mark.parametrize("key, value", IMPOSSIBLE)
def test_an_impossible_operator_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    """Guards the rebuilding of the matrix against numbers that no slice has."""
    _, target = restored(tmp_path)
    change(target, lambda c: c["operator"].update({key: value}))
    with pytest.raises(InputError, match="impossible operator"):
        verify(target)


def test_verify_needs_no_torch(tmp_path: Path) -> None:
    """Guards the promise that a result can be verified without network or tensors, on any machine with
    numpy.
    """
    _, target = restored(tmp_path)
    program = (
        "import sys; from pathlib import Path; from voxprior.io.certificate import verify\n"
        "assert verify(Path(sys.argv[1])).ok; assert 'torch' not in sys.modules"
    )
    source = Path(voxprior.io.certificate.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(target)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_source_of_noise_is_a_fault(tmp_path: Path) -> None:
    """Guards the four words that readers of the sidecar may meet."""
    source, target = restored(tmp_path)
    measured, output = read_volume(source), read_volume(target)
    word: Any = "guess"
    with pytest.raises(ValueError, match="guess"):
        slice_certificate(
            slice_geometry(measured, thickness=3.2), measured, output, source, target, 1.0, word
        )
