"""What is wrong with a file of k-space is said in one line that tells what to do."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from voxprior.errors import InputError
from voxprior.io.kspace import open_kspace, read_maps

Write = Callable[..., Path]
Data = NDArray[np.complex64]


def refused(path: Path, match: str) -> None:
    """Opening or reading ``path`` ends in one line that ``match`` is found in, and that names the file."""
    with pytest.raises(InputError, match=match) as caught, open_kspace(path) as file:
        for index in range(file.slices):
            file.read(index)
    line = str(caught.value)
    assert "\n" not in line and path.stem in line and len(line) < 600


def test_files_that_are_no_k_space(tmp_path: Path) -> None:
    """A folder, an image, a vendor's format and a wrong name are told apart."""
    refused(tmp_path, "a folder")
    refused(tmp_path / "head.nii.gz", "an image, not k-space")
    refused(tmp_path / "meas.dat", "a vendor's raw data.* siemens_to_ismrmrd")
    refused(tmp_path / "scan.txt", "must end in .cfl, .h5, .hdf5")
    refused(tmp_path / "none.npz", "no such file")
    os.mkfifo(tmp_path / "pipe.npy")
    refused(tmp_path / "pipe.npy", "not a regular file")


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".mrd", ".mat", ".npz", ".npy", ".cfl", ".hdr"])
@pytest.mark.parametrize("content", [b"", b"\0" * 700, b"PK\x03\x04" + b"x" * 300, b"\x89HDF\r\n\x1a\n" + b"y" * 900])
def test_bytes_of_another_kind(suffix: str, content: bytes, tmp_path: Path) -> None:
    """Empty, zero and foreign bytes under any suffix end in a line, never in a traceback of a library."""
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(content)
    refused(path, "scan")


@pytest.mark.parametrize("kind", ["npz", "npz-compressed", "npy", "mat5", "mat7", "fastmri", "cfl"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.98])
def test_files_that_are_cut_short(kind: str, part: float, write: Write, kspace: Data) -> None:
    """A download that broke off is noticed, at the latest at the slice that is missing."""
    path = write(kind, kspace=kspace)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    refused(path, "cut short|damaged|cannot be read|not a|claims")


@pytest.mark.parametrize("kind", ["npz", "npz-compressed", "npy", "mat5", "mat7", "fastmri"])
@pytest.mark.parametrize("axis", [0, -1])
def test_complex_numbers_stored_as_two_reals(kind: str, axis: int, write: Write, kspace: Data) -> None:
    """Which of the two is the imaginary part is for the user to say; the message shows how."""
    pair = np.stack([kspace[0].real, kspace[0].imag], axis=axis)
    refused(write(kind, kspace=pair), f"two reals along its {'last' if axis else 'first'} axis; save .*1j")


def test_magnitudes_are_not_k_space(write: Write, kspace: Data) -> None:
    """Real numbers alone have lost what a reconstruction needs."""
    refused(write("npz", kspace=np.abs(kspace)), "is real .*complex")


@pytest.mark.parametrize("kind", ["npz", "mat5", "mat7"])
def test_other_variables_are_not_guessed(kind: str, write: Write, kspace: Data) -> None:
    """Coil images would make a plausible, wrong reconstruction: the variables are named instead."""
    path = write(kind, data=kspace, noise=kspace[0])
    refused(path, r"no variable kspace, only data \(3 x 4 x 12 x 10\), noise \(4 x 12 x 10\)")


@pytest.mark.parametrize("kind", ["npz", "npy", "mat5", "mat7", "fastmri", "cfl"])
@pytest.mark.parametrize("value", [np.nan, np.inf, complex(0, -np.inf)])
def test_samples_that_are_not_finite(kind: str, value: complex, write: Write, kspace: Data) -> None:
    """One NaN in one coil would spread over the whole image."""
    kspace[1, 2, 3, 4] = value
    path = write(kind, kspace=kspace)
    with open_kspace(path) as file:
        file.read(0)
        with pytest.raises(InputError, match="slice 1: NaN or infinite at 1 positions"):
            file.read(1)


def test_slices_of_zeros_and_slices_that_are_not_there(write: Write, kspace: Data) -> None:
    """Nothing measured is no image."""
    kspace[2] = 0
    with open_kspace(write("npz", kspace=kspace)) as file:
        with pytest.raises(InputError, match="slice 2: every sample is zero"):
            file.read(2)
        for index in (3, -1):
            with pytest.raises(InputError, match="slices are 0 to 2"):
                file.read(index)


@pytest.mark.parametrize("axis", [-1, -2])
def test_a_mask_that_calls_missing_lines_measured(axis: int, write: Write, kspace: Data) -> None:
    """Zeros that are taken for measurements darken the image; lines that the mask leaves out may be zero."""
    line: list[Any] = [slice(None)] * 4
    line[axis] = slice(4, 6)
    kspace[tuple(line)] = 0
    mask = np.ones((12, 10))
    refused(write("npz", kspace=kspace, mask=mask), f"zero on 2 lines .* 4 of axis {axis}\\)")
    mask[tuple(line[2:])] = 0
    with open_kspace(write("npz", kspace=kspace, mask=mask)) as file:
        assert file.read(0).shape == (4, 12, 10)


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("mask", np.ones(11), "mask .11. does not fit k-space of 12 x 10"),
        ("mask", np.ones((10, 12)), "mask .10 x 12. does not fit"),
        ("mask", np.zeros((12, 10)), "keeps no sample"),
        ("mask", np.full(10, np.nan), "not finite"),
        ("mask", np.array(["a"] * 10), "zeros and ones"),
        ("maps", np.ones((5, 12, 10), complex), "maps of 5 coils, k-space has 4"),
        ("maps", np.ones((4, 12, 12), complex), "maps of 12 x 12 do not fit k-space of 12 x 10"),
        ("maps", np.ones((2, 4, 12, 10), complex), "maps of 2 slices, k-space has 3"),
        ("maps", np.ones((12, 10), complex), r"save them as \(coil, y, x\)"),
        ("maps", np.ones((4, 12, 10)), "maps is real"),
        ("maps", np.zeros((4, 12, 10), complex), "zero everywhere"),
        ("maps", np.full((4, 12, 10), np.nan + 0j), "NaN or infinite"),
        ("noise", np.ones((3, 50), complex), "noise has shape .*4 coils"),
        ("noise", np.ones((4, 50)), "noise is real"),
        ("noise", np.full((4, 50), np.inf + 0j), "noise is NaN"),
        ("affine", np.eye(3), "affine has shape"),
        ("affine", np.zeros((4, 4)), "affine is singular"),
    ],
)
def test_what_does_not_belong_together(name: str, value: NDArray[Any], match: str, write: Write, kspace: Data) -> None:
    """Each of the arrays beside k-space is checked against it."""
    refused(write("npz", kspace=kspace, **{name: value}), match)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((12, 10), "save it as"),
        ((2, 1, 3, 4, 12, 10), "save it as"),
        ((256, 200, 8), "would have 256 coils"),
        ((4, 12, 1), "no image"),
        ((0, 4, 12, 10), "no image"),
    ],
)
def test_axes_that_are_no_k_space(shape: tuple[int, ...], match: str, write: Write) -> None:
    """Coils at the end, a missing coil axis and lines instead of an image are not accepted in silence."""
    refused(write("npz", kspace=np.ones(shape, np.complex64)), match)


def test_maps_of_other_files(write: Write, kspace: Data, tmp_path: Path) -> None:
    """--maps is checked as the file's own maps are, and an array among several must be named."""
    np.savez(tmp_path / "two.npz", a=kspace, b=kspace)
    np.save(tmp_path / "coils.npy", kspace[0, :3])
    (tmp_path / "maps.txt").write_text("1 2")
    (tmp_path / "bad.h5").write_bytes(b"no HDF5")
    with open_kspace(write("npz", kspace=kspace)) as file:
        for name, match in (
            ("two.npz", r"called maps, only a \(3 x 4 x 12 x 10\), b"),
            ("coils.npy", "maps of 3 coils, k-space has 4"),
            ("maps.txt", "must be in a .npz"),
            ("none.npz", "no such file"),
            ("bad.h5", "not an HDF5 file"),
        ):
            with pytest.raises(InputError, match=match):
                read_maps(tmp_path / name, file)


class _Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["npz", "npz-compressed", "npy", "beside"])
def test_pickled_objects_are_never_loaded(kind: str, write: Write, kspace: Data, tmp_path: Path) -> None:
    """A file from a stranger must not run code, not even in an array that is not asked for."""
    trap = np.array([_Trap(tmp_path / "sprung")] * 2, dtype=object)
    path = write("npz", kspace=kspace, other=trap) if kind == "beside" else write(kind, kspace=trap)
    refused(path, "objects|plain array")
    assert not (tmp_path / "sprung").exists()


def test_cells_and_structures_of_matlab_are_not_loaded(tmp_path: Path, kspace: Data) -> None:
    """They are not even among the variables."""
    savemat(tmp_path / "scan.mat", {"kspace": {"a": kspace}, "cell": np.array([kspace, "a"], dtype=object)})
    refused(tmp_path / "scan.mat", "no variable kspace, only nothing")


def _archive(path: Path, header: dict[str, Any], content: bytes, members: int = 1) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(members):
            stream = io.BytesIO()
            np.lib.format.write_array_header_1_0(stream, header)
            archive.writestr("kspace.npy" if index == 0 else f"a{index}.npy", stream.getvalue() + content)
    return path


def test_archives_that_would_fill_the_memory(tmp_path: Path) -> None:
    """What an archive claims is compared with its size, and with the cap, before any memory is taken."""
    header = {"descr": "<c8", "fortran_order": False, "shape": (1, 8, 30000, 30000)}
    small = {**header, "shape": (1, 1, 64, 64)}
    tracemalloc.start()
    refused(_archive(tmp_path / "claim.npz", header, bytes(1000)), "cannot hold")
    refused(_archive(tmp_path / "short.npz", small, bytes(64 * 64 * 8 - 8)), "cannot hold")
    refused(_archive(tmp_path / "many.npz", small, bytes(64 * 64 * 8), 80), "80 members")
    with h5py.File(tmp_path / "holes.h5", "w") as file:
        file.create_dataset("kspace", header["shape"], "<c8", chunks=(1, 1, 300, 300))
    refused(tmp_path / "holes.h5", "more than the 536870912 that are held")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ("12 10 1 4 3 1 1 1 1 1 1 1 1 1", "3 sets of maps .* --maps"),
        ("12 10 1 4 1 3 1 1 1 1 1 1 1 1", "dimension 5 has 3 entries; take one .bart slice 5 0"),
        ("12 1 1 4 1 1 1 1 1 1 1 1 1 30", "sizes 12 1 1 in space, which is no image"),
        ("12 10 1 4", "too long, 11520 bytes where its header says 3840"),
        ("12 10 1 4 1 1 1 1 1 1 1 1 1 4", "cut short, 11520 bytes where its header says 15360"),
        ("12 10 -1 4", "no line of sizes"),
        ("", "no line of sizes"),
    ],
)
def test_headers_of_bart(sizes: str, match: str, write: Write, kspace: Data) -> None:
    """Sizes that are no slices of k-space, or not those of the data."""
    path = write("cfl", kspace=kspace)
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{sizes}\n")
    refused(path, match)


def test_halves_of_a_pair(write: Write, kspace: Data) -> None:
    """Either half alone asks for the other."""
    path = write("cfl", kspace=kspace)
    header = path.with_suffix(".hdr")
    kept = header.read_bytes()
    header.unlink()
    refused(path, "only its data; put both halves")
    header.write_bytes(kept)
    path.unlink()
    refused(header, "only its header; put both halves")


def test_a_missing_library_is_named(write: Write, kspace: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, HDF5 files say how to get it, and all others are read."""
    path, other = write("fastmri", kspace=kspace), write("npz", kspace=kspace)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(InputError, match=r"voxprior\[kspace\]"):
        open_kspace(path)
    with open_kspace(other) as file:
        assert file.slices == 3
