"""A proof of a reconstruction holds for the files it was made from, and for no others; numpy alone checks it."""

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

import scans
import voxprior.io.certificate
from voxprior.errors import InputError
from voxprior.io.arrays import ArraysWriter
from voxprior.io.certificate import verify
from voxprior.io.kspace_certificate import ARRAYS, Fit, kspace_certificate, misfit
from voxprior.io.outputs import sibling, sidecar_path, write_json
from voxprior.io.reconstructions import image_digest, write_array

AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])
KEEP = np.broadcast_to(scans.lines(16, 2, 6), (12, 16))


def restored(folder: Path, suffix: str = ".npz", slices: int = 2, mask: str = "data") -> tuple[Path, Path]:
    """Files of a run: k-space of mixed coils, an image that explains it but for a percent, and the sidecar."""
    made = [scans.scan((12, 16), 3, shift=float(n)) for n in range(slices)]
    matrix = np.array([[1, 0.2j, 0], [0, 1, -0.1]], np.complex64)
    kspace = np.stack([m.kspace * KEEP for m in made])
    maps = np.stack([np.tensordot(matrix, m.maps, axes=1) for m in made])
    image = np.stack([m.image * 1.01 for m in made])
    parts = [misfit(x, s, KEEP, np.tensordot(matrix, y, axes=1)) for x, s, y in zip(image, maps, kspace, strict=True)]
    fit = Fit(np.stack([p[0] for p in parts]), np.stack([p[1] for p in parts]))
    if slices == 1:
        image, maps = image[0], maps[0]
    source, target = folder / "in.npz", folder / f"out{suffix}"
    np.savez(source, kspace=kspace)
    beside = target if suffix == ".npz" else sibling(target, "certificate", ".npz")
    with ArraysWriter(beside) as out:
        for name, array in (("image", image), ("maps", maps), ("mask", KEEP.copy()), ("coil_matrix", matrix)):
            out.write(name, array)
        if suffix == ".npz":
            out.write("affine", AFFINE)
    shown = image if suffix in (".npz", ".cfl") else np.abs(image)
    if suffix in (".h5", ".cfl"):
        write_array(lambda path: path, target, "reconstruction", shown, 2, AFFINE)
    elif suffix != ".npz":
        nib.save(nib.Nifti1Image(np.atleast_3d(shown.T), AFFINE), target)
    operator = {"slices": slices, "shape": [12, 16], "coils": 2, "input_coils": 3, "mask": mask, "acceleration": 1.6}
    digest = image_digest(target, shown, AFFINE)
    certificate = kspace_certificate(fit, operator, out.digests, source, target, beside, digest, 0.5, "given")
    write_json(sidecar_path(target), {"certificate": certificate})
    return source, target


def failed(target: Path, **options: Any) -> set[str]:
    return {check.name.split(" (")[0] for check in verify(target, **options).checks if not check.ok}


def change(target: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads(sidecar_path(target).read_text())
    edit(values["certificate"])
    sidecar_path(target).write_text(json.dumps(values))


@pytest.mark.parametrize("suffix", [".npz", ".nii", ".nii.gz", ".h5", ".cfl"])
@pytest.mark.parametrize("slices", [1, 2])
def test_a_true_reconstruction_verifies(tmp_path: Path, suffix: str, slices: int) -> None:
    """Guards the round trip through files of every format, for a slice and for a stack."""
    _, target = restored(tmp_path, suffix, slices)
    outcome = verify(target)
    assert outcome.ok, outcome.checks
    assert len(outcome.checks) == 11


def test_an_output_of_what_the_scanner_shows_verifies(tmp_path: Path) -> None:
    """Guards cropped reconstructions: the middle of the proof's image, and nothing else of that size."""
    _, target = restored(tmp_path, ".h5")
    with np.load(tmp_path / "out_certificate.npz") as held:
        image = np.abs(held["image"])
    for start, ok in ((4, True), (3, False)):
        shown = image[:, 2:10, start : start + 8]
        write_array(lambda path: path, target, "reconstruction", shown, 2, None)
        change(target, lambda c, s=shown: c.update(output_sha256=image_digest(target, s, None)))
        assert failed(target) == (set() if ok else {"output and the image of the proof"})


def test_the_keys_are_those_that_the_documentation_promises(tmp_path: Path) -> None:
    """Guards the names in the sidecar."""
    _, target = restored(tmp_path)
    values = json.loads(sidecar_path(target).read_text())["certificate"]
    assert set(values) == {
        *("operator", "input", "input_frame", "input_sha256", "output_sha256", "residual", "residual_per_slice"),
        *("residual_per_coil", "noise", "noise_source"),
    }
    assert values["operator"]["kind"] == "fourier"
    assert {f"{name}_sha256" for name in ARRAYS} <= set(values["operator"])
    assert values["residual"] == pytest.approx(0.01, rel=1e-3)
    assert (len(values["residual_per_slice"]), len(values["residual_per_coil"])) == (2, 2)


def test_the_misfit_is_the_formula() -> None:
    """Guards the operator of the proof against a dense Fourier matrix."""
    rng = np.random.default_rng(0)
    shape, coils = (5, 6), 3
    parts = rng.standard_normal((2, 1 + 2 * coils, *shape))
    x, *others = parts[0] + 1j * parts[1]
    maps, y, keep = np.stack(others[:coils]), np.stack(others[coils:]), rng.random(shape) < 0.5
    matrices = []
    for n in shape:
        index = np.arange(n) - n // 2
        matrices.append(np.exp(-2j * np.pi * np.outer(index, index) / n) / np.sqrt(n))
    missed, energy = misfit(x, maps, keep, y)
    for c in range(coils):
        left = (matrices[0] @ (maps[c] * x) @ matrices[1].T - y[c])[keep]
        assert missed[c] == pytest.approx(np.square(np.abs(left)).sum(), rel=1e-10)
        assert energy[c] == pytest.approx(np.square(np.abs(y[c][keep])).sum(), rel=1e-10)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("suffix", [".npz", ".nii"])
def test_one_changed_byte_of_the_proof_is_found(tmp_path: Path, name: str, suffix: str) -> None:
    """Guards every array that the residual is computed from, wherever it lies: by its digest, or the archive's own."""
    _, target = restored(tmp_path, suffix)
    beside = target if suffix == ".npz" else tmp_path / "out_certificate.npz"
    with np.load(beside) as held:
        values = held[name].tobytes()
    flip(beside, beside.read_bytes().index(values) + len(values) // 2)
    assert failed(target) & {name, "output"}


def test_one_changed_voxel_of_a_magnitude_is_found(tmp_path: Path) -> None:
    """Guards the output itself, where the proof lies beside it."""
    _, target = restored(tmp_path, ".nii")
    image = nib.load(target)
    data = np.asarray(image.dataobj).copy()
    data[3, 4, 1] *= 1.01
    nib.save(nib.Nifti1Image(data, image.affine), target)
    assert failed(target) == {"output voxels", "output and the image of the proof"}


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".cfl", ".nii.gz"])
def test_a_torn_output_fails_without_a_traceback(tmp_path: Path, suffix: str) -> None:
    """Guards a file that is there and cannot be read: that is a failed proof."""
    _, target = restored(tmp_path, suffix)
    target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])
    outcome = verify(target)
    assert not outcome.ok
    assert all("\n" not in check.found for check in outcome.checks)


def test_another_input_is_found(tmp_path: Path) -> None:
    """Guards against somebody else's data: digest and residual."""
    source, target = restored(tmp_path)
    with np.load(source) as held:
        kspace = held["kspace"]
    np.savez(tmp_path / "other.npz", kspace=kspace[:, ::-1])
    assert failed(target, input=tmp_path / "other.npz") >= {"input file", "residual"}
    np.savez(tmp_path / "short.npz", kspace=kspace[:1])
    assert failed(target, input=tmp_path / "short.npz") == {"input file", "residual"}
    (tmp_path / "torn.npz").write_bytes(source.read_bytes()[:500])
    assert failed(target, input=tmp_path / "torn.npz") == {"input file", "residual"}


def test_a_mask_that_leaves_measured_lines_out_is_found(tmp_path: Path) -> None:
    """Guards against a proof on the lines that fit: a mask of the data is that of the data."""
    source, target = restored(tmp_path)
    with np.load(source) as held:
        kspace = held["kspace"]
    kspace[:, :, 3, 1] = 1
    np.savez(source, kspace=kspace)
    assert "mask and measured samples" in failed(target)
    source, target = restored(make(tmp_path / "chosen"), mask="uniform")
    assert len(verify(target).checks) == 10


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("key", ["residual", "residual_per_slice", "residual_per_coil"])
def test_a_flattered_residual_is_found(tmp_path: Path, key: str) -> None:
    """Guards the figures: whole, a slice and a coil."""
    _, target = restored(tmp_path)

    def halve(certificate: dict[str, Any]) -> None:
        value = certificate[key]
        certificate[key] = value / 2 if isinstance(value, float) else [value[0] / 2, *value[1:]]

    change(target, halve)
    assert len(failed(target)) == 1


def test_missing_files_are_input_errors(tmp_path: Path) -> None:
    """Guards exit code 2 and a name for each file that is not there."""
    source, target = restored(tmp_path, ".cfl")
    source.rename(tmp_path / "moved.npz")
    with pytest.raises(InputError, match="--input"):
        verify(target)
    assert verify(target, tmp_path / "moved.npz").ok
    for name in ("out.hdr", "out_certificate.npz", "out.json"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match=name):
            verify(target, tmp_path / "moved.npz")
        (tmp_path / name).write_bytes(content)


EDITS: list[dict[str, Any]] = [
    {"slices": 0},
    {"shape": [0, 16]},
    {"shape": 3},
    {"coils": "many"},
    {"maps_sha256": None, "arrays": None},
]


@pytest.mark.parametrize("edit", EDITS)
def test_a_damaged_certificate_is_one_line(tmp_path: Path, edit: dict[str, Any]) -> None:
    """Guards wrong types and impossible numbers of the operator."""
    _, target = restored(tmp_path)
    change(target, lambda c: c["operator"].update(edit))
    with pytest.raises(InputError, match="damaged") as caught:
        verify(target)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("edit", [{"coils": 3}, {"slices": 3}, {"shape": [16, 12]}])
def test_an_operator_of_other_sizes_is_found(tmp_path: Path, edit: dict[str, Any]) -> None:
    """Guards numbers that do not fit the arrays: a failed check, not a traceback."""
    _, target = restored(tmp_path)
    change(target, lambda c: c["operator"].update(edit))
    assert failed(target)


def test_the_proof_never_leaves_the_folder(tmp_path: Path) -> None:
    """Guards a sidecar that names arrays elsewhere: only the name counts."""
    _, target = restored(tmp_path, ".nii")
    change(target, lambda c: c["operator"].update(arrays="../../etc/out_certificate.npz"))
    assert verify(target).ok


def test_verify_needs_no_torch(tmp_path: Path) -> None:
    """Guards the promise that numpy is enough."""
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
