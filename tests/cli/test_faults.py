"""What goes wrong ends in one line, the right exit code, and an untouched folder."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

SHAPE = (6, 7, 5)
THICK = np.diag([1.0, 1.0, 4.0, 1.0])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def image(data: np.ndarray, affine: np.ndarray = THICK) -> bytes:
    kind = nib.Nifti1Image(data, affine)
    return gzip.compress(kind.to_bytes())


def numbers(shape: tuple[int, ...] = SHAPE, dtype: str = "f4") -> np.ndarray:
    return np.random.default_rng(1).integers(1, 99, shape).astype(dtype)


def with_one(value: float) -> np.ndarray:
    data = numbers()
    data[1, 2, 3] = value
    return data


def lying(size: int, second: bool) -> bytes:
    header = nib.Nifti2Header() if second else nib.Nifti1Header()
    header.set_data_shape((5, 5, 5))
    header["dim"][1:4] = size
    header["magic"] = b"n+2\0\r\n\x1a\n" if second else b"n+1"
    header["vox_offset"] = 544 if second else 352
    header.set_sform(THICK, 1)
    return gzip.compress(header.binaryblock + bytes(500))


def lying_mgh() -> bytes:
    block = np.array([1, 60000, 60000, 60000, 1, 3, 0], ">i4").tobytes() + b"\0\1"
    places = np.array([1, 1, 4, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], ">f4").tobytes()
    return gzip.compress((block + places).ljust(284, b"\0") + bytes(500))


def singular() -> bytes:
    kind = nib.Nifti1Image(numbers(), THICK)
    kind.header["srow_z"] = 0
    kind.header["qform_code"] = 0
    raw = bytearray(kind.to_bytes())
    raw[312:328] = bytes(16)  # srow_z
    raw[252:254] = bytes(2)  # qform_code
    return gzip.compress(bytes(raw))


def rgb() -> bytes:
    return image(np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated": (lambda: image(numbers())[:-60], "cut short or damaged"),
    "empty": (lambda: b"", "the file is empty"),
    "text": (lambda: b"hello", "not compressed by gzip"),
    "compressed text": (lambda: gzip.compress(b"hello" * 200), "not a NIfTI file"),
    "nan": (lambda: image(with_one(np.nan)), "1 voxels are NaN or infinite"),
    "inf": (lambda: image(with_one(np.inf)), "1 voxels are NaN or infinite"),
    "constant": (lambda: image(np.ones(SHAPE, "f4")), "every voxel is 1"),
    "zero size": (lambda: lying(0, False), ""),
    "2-D": (lambda: image(numbers((6, 7))), ""),
    "rgb": (rgb, "RGB"),
    "complex": (lambda: image(numbers(dtype="c8")), "complex"),
    "frames": (lambda: image(numbers((*SHAPE, 3))), "holds 3 frames; choose with --frames"),
    "singular affine": (singular, "singular"),
    "no thick axis": (lambda: image(numbers(), np.eye(4)), "no thick axis"),
    "30000^3": (lambda: lying(30000, False), "the header claims"),
    "60000^3 NIfTI-2": (lambda: lying(60000, True), "the header claims"),
}


@pytest.mark.parametrize("name", BAD)
def test_every_bad_input_is_one_line_and_code_2(voxprior, tmp_path: Path, name: str) -> None:
    """Guards the list of bad inputs at the command: file named, no traceback, no file left."""
    make, expected = BAD[name]
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(make())
    ran = voxprior("sr", "-i", scan, "-o", tmp_path / "out.nii.gz", "--method", "cubic")
    assert ran.code == 2, ran.err
    assert ran.out == ""
    assert ran.err.startswith("voxprior: error: ")
    assert ran.err.count("\n") == 1
    assert expected in ran.err
    assert names(tmp_path) == ["scan.nii.gz"]


def test_an_mgz_that_claims_too_much_is_refused(voxprior, tmp_path: Path) -> None:
    """Guards the other format's header, before memory is taken."""
    (tmp_path / "scan.mgz").write_bytes(lying_mgh())
    ran = voxprior("sr", "-i", tmp_path / "scan.mgz", "-o", tmp_path / "out.mgz")
    assert ran.code == 2
    assert "the header claims" in ran.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--thickness", "4", "--gap", "3"), "add up to 7 mm but the slices are 5 mm apart"),
        (("--thickness", "0"), "a slice thickness of 0 mm"),
        (("--thickness", "nan"), "not a finite number"),
        (("--thickness", "99"), "at most 20"),
        (("--spacing", "-1"), "an output spacing of -1 mm"),
        (("--profile", "circle"), "--profile circle is unknown"),
        (("--axis", "q"), "--axis q is unknown"),
        (("--method", "magic"), "--method magic is unknown; give one of voxprior, nearest"),
        (("--mode", "mean"), "--mode belongs to --method voxprior"),
        (("--mode", "dream"), "--mode dream: input should be 'mean', 'sample' or 'one-step'"),
        (("--steps", "0"), "--steps 0: input should be greater than or equal to 2"),
        (("--seed", "x"), "--seed x: input should be a valid integer"),
        (("--factor", "2"), "--factor belongs to --simulate"),
        (("--device", "mps"), "--device mps is not there"),
        (("--frames", "7"), "has no frame 7"),
        (("--wat",), "Unknown option"),
        (("--simulate", "--spacing", "1"), "--spacing does not go with --simulate"),
        (("--simulate", "--factor", "1000"), "cannot be simulated"),
    ],
)
def test_options_that_make_no_sense_are_one_line_and_code_2(voxprior, thick_scan, words, expected) -> None:
    """Guards every option's mistakes, and that they come before any file is written."""
    method = () if "--method" in words else ("--method", "cubic")
    ran = voxprior("sr", "-i", thick_scan, "-o", thick_scan.with_name("out.nii.gz"), *method, *words)
    assert ran.code == 2, ran.err
    assert expected in ran.err
    assert ran.err.count("\n") == 1
    assert names(thick_scan.parent) == ["thick.nii.gz"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("no/such/folder/out.nii.gz", "does not exist; create it first"),
        ("out.txt", "not the name of an image"),
        ("thick.nii.gz", "is the input"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(voxprior, thick_scan: Path, output: str, expected: str) -> None:
    """Guards the target's folder and name, and that an input is never replaced even with --force."""
    before = thick_scan.read_bytes()
    ran = voxprior("sr", "-i", thick_scan, "-o", thick_scan.parent / output, "--method", "cubic", "--force")
    assert ran.code == 2
    assert expected in ran.err
    assert thick_scan.read_bytes() == before


def test_a_folder_that_cannot_be_written_to_is_told_first(voxprior, thick_scan: Path, monkeypatch) -> None:
    """Guards read-only folders (the superuser of a test may write anywhere, so the system's answer is put in)."""
    original = os.open

    def refuse(path, flags, *more, **named):  # type: ignore[no-untyped-def]
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    ran = voxprior("sr", "-i", thick_scan, "-o", thick_scan.with_name("out.nii.gz"), "--method", "cubic")
    assert ran.code == 2
    assert "cannot write into this folder" in ran.err


def test_a_full_disk_leaves_nothing(voxprior, thick_scan: Path) -> None:
    """Guards a write that stops in the middle: a limit on file sizes makes the system refuse it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        ran = voxprior("sr", "-i", thick_scan, "-o", thick_scan.with_name("out.nii.gz"), "--method", "cubic")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ran.code == 2
    assert "a size limit is hit" in ran.err
    assert names(thick_scan.parent) == ["thick.nii.gz"]


SLOW = """
import sys, time
from pathlib import Path
from voxprior import registry
from voxprior.methods.baselines import NoOptions

class Slow:
    name, citation, Options = "slow", "", NoOptions
    def __call__(self, measurement, options, rng, progress=None):
        Path(sys.argv[1]).touch()
        time.sleep(60)

slow = Slow()
sys.modules["slow"] = sys.modules["__main__"]
registry.METHODS["sr"]["slow"] = "slow:slow"
from voxprior.cli import app
raise SystemExit(app.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_and_ends_with_130(thick_scan: Path, tmp_path_factory, number) -> None:
    """Guards Ctrl-C, and a request to terminate, in the middle of a method."""
    started = tmp_path_factory.mktemp("mark") / "started"
    words = ["sr", "-i", thick_scan, "-o", thick_scan.with_name("out.nii.gz"), "--method", "slow", "--simulate"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, started, *words, "--factor", "1.5"], stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 50
        while not started.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert started.exists(), "the run never reached the method"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert err == "voxprior: interrupted; nothing was left half-written\n"
    assert names(thick_scan.parent) == ["thick.nii.gz"]


def test_an_unexpected_failure_is_one_line_and_code_1(voxprior, thick_scan: Path, monkeypatch) -> None:
    """Guards errors of the program itself: code 1, a traceback only with -v, and memory named as such."""
    from voxprior.jobs import sr_files

    words = ("sr", "-i", thick_scan, "-o", thick_scan.with_name("out.nii.gz"), "--method", "cubic")

    def fail(error: Exception) -> None:
        def restore(*_: object) -> None:
            raise error

        monkeypatch.setattr(sr_files, "restore_slices", restore)

    fail(ZeroDivisionError("a bug"))
    ran = voxprior(*words)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "failed unexpectedly (ZeroDivisionError: a bug)" in ran.err
    assert "Traceback" in voxprior(*words, "-v").err
    fail(MemoryError())
    assert "memory ran out" in voxprior(*words).err
    assert names(thick_scan.parent) == ["thick.nii.gz"]
