"""Every file that is no scan is refused in one line that names it and says what to do."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxprior.errors import InputError
from voxprior.io.nifti import read_frames, read_volume
from voxprior.volume import Volume

SHAPE = (4, 5, 6)


def voxels(shape: tuple[int, ...] = SHAPE, dtype: str = "f4") -> np.ndarray:
    return np.random.default_rng(5).integers(1, 99, shape).astype(dtype)


def header(kind: type = nib.Nifti1Header, shape: tuple[int, ...] = SHAPE, code: int = 16) -> nib.Nifti1Header:
    h = kind()
    h.set_data_shape([min(n, 99) for n in shape])
    h["dim"][: len(shape) + 1] = (len(shape), *shape)
    h["datatype"], h["bitpix"] = code, {2: 8, 4: 16, 16: 32, 64: 64}.get(code, 32)
    h.set_sform(np.diag([1.0, 1.0, 3.0, 1.0]), code=1)
    h["magic"] = b"n+1" if kind is nib.Nifti1Header else b"n+2\0\r\n\x1a\n"
    h["vox_offset"] = 352 if kind is nib.Nifti1Header else 544
    return h


def nifti(h: nib.Nifti1Header | None = None, data: np.ndarray | None = None) -> bytes:
    h = header() if h is None else h
    return h.binaryblock + bytes(4) + (voxels() if data is None else data).tobytes(order="F")


def edited(**fields: object) -> nib.Nifti1Header:
    h = header()
    for name, value in fields.items():
        h[name] = value
    return h


def mgh(dims: tuple[int, int, int, int] = (*SHAPE, 1), kind: int = 3, data: bytes | None = None) -> bytes:
    numbers = np.array([1, *dims, kind, 0], ">i4").tobytes() + b"\0\1"
    places = np.array([1, 1, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], ">f4").tobytes()
    body = voxels().astype(">f4").tobytes(order="F") if data is None else data
    return (numbers + places).ljust(284, b"\0") + body


def with_value(value: float, dtype: str = "f4") -> np.ndarray:
    data = voxels(dtype=dtype)
    data[1, 2, 3] = data[0, 0, 0] = value
    return data


def singular() -> nib.Nifti1Header:
    h = header()
    h.set_sform(np.diag([1.0, 0.0, 3.0, 1.0]), code=1)
    return h


def not_finite() -> nib.Nifti1Header:
    return edited(srow_x=[np.nan, 0, 0, 0])


def flat() -> nib.Nifti1Header:
    h = header()
    affine = np.eye(4)
    affine[:3, 1] = affine[:3, 0] * 2
    h.set_sform(affine, code=1)
    return h


def qform_of_no_size() -> nib.Nifti1Header:
    return edited(sform_code=0, qform_code=1, pixdim=[1, 1, 0, 3, 0, 0, 0, 0])


def no_forms_and_no_size() -> nib.Nifti1Header:
    return edited(sform_code=0, qform_code=0, pixdim=[1, 1, -1, np.nan, 0, 0, 0, 0])


HUGE1 = header(shape=(30000, 30000, 30000), code=2)
HUGE2 = header(nib.Nifti2Header, (60000, 60000, 60000), code=2)
COLOUR = nib.Nifti1Image(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), np.eye(4)).to_bytes()
COMPLEX = nib.Nifti1Image(voxels().astype(np.complex64), np.eye(4)).to_bytes()
FRAMES = nib.Nifti1Image(voxels((*SHAPE, 3)), np.eye(4)).to_bytes()
VECTORS = nib.Nifti1Image(voxels((*SHAPE, 1, 3)), np.eye(4)).to_bytes()

CASES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.nii", b"", "empty"),
    "empty gz": ("a.nii.gz", b"", "empty"),
    "empty gz member": ("a.nii.gz", gzip.compress(b""), "not a NIfTI"),
    "text": ("a.nii", b"this is no scan\n" * 100, "not a NIfTI"),
    "text gz": ("a.nii.gz", b"this is no scan\n" * 100, "not compressed"),
    "packed text": ("a.nii.gz", gzip.compress(b"this is no scan\n" * 100), "not a NIfTI"),
    "packed text as mgz": ("a.mgz", gzip.compress(b"this is no scan\n" * 100), "not an MGH"),
    "short text": ("a.nii", b"x", "not a NIfTI"),
    "suffix": ("a.txt", nifti(), "must end in"),
    "no suffix": ("scan", nifti(), "must end in"),
    "only a suffix": (".nii", nifti(), "must end in"),
    "packed under a plain name": ("a.nii", gzip.compress(nifti()), "rename it"),
    "header of a pair": ("a.nii", nifti(edited(magic=b"ni1")), "pair"),
    "cut": ("a.nii", nifti()[:-1], "cut short"),
    "cut in the header": ("a.nii", nifti()[:200], "not a NIfTI"),
    "cut inside the packed file": ("a.nii.gz", gzip.compress(nifti()[:-1]), "cut short"),
    "cut mgz": ("a.mgz", gzip.compress(mgh()[:-1]), "cut short"),
    "NaN": ("a.nii", nifti(data=with_value(np.nan)), "2 voxels are NaN"),
    "infinite": ("a.nii", nifti(data=with_value(-np.inf)), "2 voxels are NaN or infinite"),
    "overflow of float32": ("a.nii", nifti(header(code=64), with_value(1e300, "f8")), "2 voxels"),
    "overflow by scale": ("a.nii", nifti(edited(scl_slope=3e38)), "NaN or infinite"),
    "zeros": ("a.nii", nifti(data=np.zeros(SHAPE, "f4")), "zero"),
    "constant": ("a.nii", nifti(data=np.full(SHAPE, 7, "f4")), "every voxel is 7"),
    "no voxels": ("a.nii", nifti(header(shape=(4, 0, 6))), "no volume"),
    "negative size": ("a.nii", nifti(header(shape=(4, -5, 6))), "no volume"),
    "one dimension": ("a.nii", nifti(header(shape=(120,))), "single slice"),
    "two dimensions": ("a.nii", nifti(header(shape=(10, 12))), "single slice"),
    "one slice": ("a.nii", nifti(header(shape=(10, 12, 1))), "single slice"),
    "one slice, several frames": ("a.nii", nifti(header(shape=(10, 4, 1, 3))), "single slice"),
    "dimensions": ("a.nii", nifti(edited(dim=[9, 4, 5, 6, 1, 1, 1, 1])), "dimensions"),
    "colour": ("a.nii", COLOUR, "RGB"),
    "complex": ("a.nii", COMPLEX, "complex"),
    "vectors": ("a.nii", VECTORS, "more than one value"),
    "long double": ("a.nii", nifti(header(code=1536)), "float32|damaged"),
    "bits": ("a.nii", nifti(header(code=1)), "convert|damaged"),
    "unknown type": ("a.nii", nifti(header(code=777)), "damaged"),
    "unknown mgh type": ("a.mgz", gzip.compress(mgh(kind=7)), "type 7"),
    "frames": ("a.nii", FRAMES, "3 frames; choose with --frames"),
    "singular affine": ("a.nii", nifti(singular()), "sform is singular"),
    "affine not finite": ("a.nii", nifti(not_finite()), "sform is singular or not finite"),
    "parallel axes": ("a.nii", nifti(flat()), "sform is singular"),
    "qform of no size": ("a.nii", nifti(qform_of_no_size()), "qform is singular"),
    "no forms, no size": ("a.nii", nifti(no_forms_and_no_size()), "pixdim"),
    "scale without offset": ("a.nii", nifti(edited(scl_slope=1, scl_inter=np.inf)), "damaged"),
    "offset not finite": ("a.nii", nifti(edited(vox_offset=np.nan)), "byte nan"),
    "offset beyond the file": ("a.nii", nifti(edited(vox_offset=1e9)), "cut short"),
    "30000 cubed": ("a.nii", nifti(HUGE1), "30000 x 30000 x 30000"),
    "30000 cubed gz": ("a.nii.gz", gzip.compress(nifti(HUGE1)), "30000 x 30000 x 30000"),
    "60000 cubed": ("a.nii", nifti(HUGE2), "60000 x 60000 x 60000"),
    "60000 cubed gz": ("a.nii.gz", gzip.compress(nifti(HUGE2)), "60000 x 60000 x 60000"),
    "60000 cubed mgz": ("a.mgz", gzip.compress(mgh((60000, 60000, 60000, 1))), "60000 x 60000 x 60000"),
    "more than deflate can hold": (
        "a.nii.gz",
        gzip.compress(nifti(header(shape=(500, 500, 500)))),
        "cannot hold",
    ),
}


def refused(act: Callable[[], object], path: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=pattern) as caught:
        act()
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    assert ";" in message, "the message must say what to do"


@pytest.mark.parametrize("name, content, pattern", CASES.values(), ids=CASES.keys())
def test_bad_file_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, pattern: str) -> None:
    """Guards every named kind of bad input: one line, the file's name, the reason, what to do."""
    path = tmp_path / name
    path.write_bytes(content)
    refused(lambda: read_volume(path), path, pattern)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Guards missing files, folders and devices, in place of a traceback or an endless read."""
    refused(lambda: read_volume(tmp_path / "a.nii"), tmp_path / "a.nii", "no such file")
    refused(lambda: read_volume(tmp_path), tmp_path, "a folder")
    (tmp_path / "b.nii").symlink_to("/dev/zero")
    refused(lambda: read_volume(tmp_path / "b.nii"), tmp_path / "b.nii", "not a regular file")
    long = tmp_path / ("n" * 300 + ".nii")
    refused(lambda: read_volume(long), long, "cannot be read|no such file")


def test_a_name_with_control_characters_stays_on_one_line(tmp_path: Path) -> None:
    """Guards terminals and logs against a file name that holds a line break or an escape sequence."""
    with pytest.raises(InputError) as caught:
        read_volume(tmp_path / "a\n\x1b[2Jb.nii")
    assert str(caught.value).isprintable()


def test_gzip_cut_anywhere(tmp_path: Path) -> None:
    """Guards against a scan that is half there: each shorter prefix of the file is refused, the whole is
    read.
    """
    whole = gzip.compress(nifti(), mtime=0)
    path = tmp_path / "a.nii.gz"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.nii\.gz"):
            read_volume(path)
    path.write_bytes(whole)
    np.testing.assert_array_equal(read_volume(path).data, voxels())


def test_a_flipped_bit_in_the_packed_voxels_is_found(tmp_path: Path) -> None:
    """Guards the checksum at the end of the stream, which tells of damage that still unpacks."""
    whole = bytearray(gzip.compress(nifti(), compresslevel=0, mtime=0))
    whole[-100] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(whole)
    refused(lambda: read_volume(tmp_path / "a.nii.gz"), tmp_path / "a.nii.gz", "damaged")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgz"])
def test_a_lying_header_costs_no_memory(tmp_path: Path, name: str) -> None:
    """Guards the order of things: what the header claims is judged before anything is allocated."""
    body = mgh((60000, 60000, 60000, 1)) if name.endswith("mgz") else nifti(HUGE1)
    (tmp_path / name).write_bytes(body if name == "a.nii" else gzip.compress(body))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="at most"):
            read_volume(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    """Guards memory and time against a small volume followed by 256 MB of packed zeros."""
    path = tmp_path / "a.nii.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(nifti())
        for _ in range(256):
            stream.write(bytes(1_000_000))
    tracemalloc.start()
    begin = time.process_time()
    try:
        refused(lambda: read_volume(path), path, "far more data")
        assert tracemalloc.get_traced_memory()[1] < 16e6
    finally:
        tracemalloc.stop()
    assert time.process_time() - begin < 5


def test_the_voxel_cap_is_a_parameter_and_counts_the_frames_asked_for(tmp_path: Path) -> None:
    """Guards the limit itself, on both sides, and that frames which nobody wants do not count."""
    path = tmp_path / "a.nii"
    path.write_bytes(FRAMES)
    one = int(np.prod(SHAPE))
    assert len(read_frames(path, "0,2", voxel_cap=2 * one)) == 2
    refused(lambda: read_frames(path, "0,2", voxel_cap=2 * one - 1), path, f"at most {2 * one - 1}")


@pytest.mark.parametrize("frames", ["3", "0,7", "1-5", "2-1", "0-99999999999999999999"])
def test_a_frame_out_of_range(tmp_path: Path, frames: str) -> None:
    """Guards against a frame that is not there, and against a list as long as a typing error."""
    path = tmp_path / "a.nii"
    path.write_bytes(FRAMES)
    refused(lambda: read_frames(path, frames), path, "no frame .* within 0-2")


@pytest.mark.parametrize("frames", ["", "x", "-1", "1,", "0--2", "1.5", "²"])
def test_frames_that_are_no_numbers(tmp_path: Path, frames: str) -> None:
    """Guards the spelling of --frames."""
    (tmp_path / "a.nii").write_bytes(FRAMES)
    with pytest.raises(InputError, match="--frames .* not understood"):
        read_frames(tmp_path / "a.nii", frames)


@given(
    kind=st.sampled_from(["nifti1", "nifti2", "mgh"]),
    edits=st.lists(st.tuples(st.integers(0, 359), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_damaged_header_is_read_or_refused_never_more(
    tmp_path_factory: pytest.TempPathFactory, kind: str, edits: list[tuple[int, int]]
) -> None:
    """Guards against a traceback, a warning or a huge allocation from any bytes in a header."""
    body = {"nifti1": nifti(), "nifti2": nifti(header(nib.Nifti2Header)), "mgh": mgh()}[kind]
    damaged = bytearray(body)
    for position, value in edits:
        damaged[position] = value
    path = tmp_path_factory.mktemp("io") / ("a.mgz" if kind == "mgh" else "a.nii")
    path.write_bytes(gzip.compress(bytes(damaged)) if kind == "mgh" else bytes(damaged))
    try:
        volume = read_volume(path)
    except InputError as error:
        assert str(error).isprintable()
    else:
        assert (
            isinstance(volume, Volume) and np.isfinite(volume.data).all() and np.isfinite(volume.affine).all()
        )
