"""The same k-space comes out of every format, slice by slice, and only what is asked for is held in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxprior.io.kspace import open_kspace, read_maps
from voxprior.io.kspace.arrays import as_mask
from voxprior.io.kspace.readout import centre_crop

Write = Callable[..., Path]
ALL = ["npz", "npz-compressed", "npz-fortran", "npy", "mat5", "mat7", "fastmri", "cfl"]
NAMED = ["npz", "npz-compressed", "mat5", "mat7"]
KINDS = {"npz-compressed": "npz", "npz-fortran": "npz", "mat5": "mat", "mat7": "mat"}


@pytest.mark.parametrize("kind", ALL)
def test_every_format_gives_the_same_slices(kind: str, write: Write, kspace: NDArray[np.complex64]) -> None:
    """An axis that is swapped, or a slice that is another one, would reconstruct into a wrong image silently."""
    path = write(kind, kspace=kspace)
    with open_kspace(path) as file:
        assert (file.kind, file.slices, file.coils, file.shape) == (KINDS.get(kind, kind), 3, 4, (12, 10))
        assert file.affine is None and file.noise is None and file.maps is None and file.mask is None
        for index in (2, 0, 1, 1):
            data = file.read(index)
            assert data.dtype == np.complex64 and data.flags.writeable and data.flags.c_contiguous
            np.testing.assert_array_equal(data, kspace[index])
    data[:] = 0  # what was read is the reader's own: neither the file nor the next reading changes
    with open_kspace(path) as file:
        np.testing.assert_array_equal(file.read(1), kspace[1])


@pytest.mark.parametrize("kind", ["npz", "npz-compressed", "npz-fortran", "npy", "mat5", "mat7"])
def test_a_single_slice_needs_no_axis(kind: str, write: Write, kspace: NDArray[np.complex64]) -> None:
    """(coil, y, x) is one slice; double precision becomes single."""
    with open_kspace(write(kind, kspace=kspace[1].astype(np.complex128))) as file:
        assert (file.slices, file.coils, file.shape) == (1, 4, (12, 10))
        np.testing.assert_array_equal(file.read(0), kspace[1])


def test_five_axes_are_a_volume(write: Write, kspace: NDArray[np.complex64]) -> None:
    """(slice, coil, z, y, x) is 3-D k-space."""
    with open_kspace(write("npz", kspace=kspace[None].transpose(0, 2, 1, 3, 4))) as file:
        assert (file.slices, file.coils, file.shape) == (1, 4, (3, 12, 10))
        np.testing.assert_array_equal(file.read(0), kspace.transpose(1, 0, 2, 3))


@pytest.mark.parametrize("sizes", [(5, 4, 3, 2), (5, 1, 3, 2), (1, 4, 3, 2)])
def test_three_dimensions_of_bart(sizes: tuple[int, ...], tmp_path: Path) -> None:
    """Read-out, first and second phase encoding become (z, y, x); where one of them is 1, the others become (y, x)."""
    array = np.arange(1, np.prod(sizes) + 1).astype("<c8").reshape(sizes, order="F")
    (tmp_path / "scan.hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))}\n")
    (tmp_path / "scan.cfl").write_bytes(array.tobytes(order="F"))
    with open_kspace(tmp_path / "scan.cfl") as file:
        data = file.read(0)
    if 1 not in sizes:
        assert all(data[c, z, y, x] == array[y, x, z, c] for y, x, z, c in np.ndindex(sizes))
    else:
        np.testing.assert_array_equal(data, np.squeeze(array).transpose(2, 0, 1))


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("name", ["maps", "s_maps"])
def test_what_belongs_to_k_space_is_read_with_it(
    kind: str, name: str, write: Write, kspace: NDArray[np.complex64]
) -> None:
    """Mask, maps, noise and affine beside the k-space are used, in whatever order MATLAB stores them."""
    lines = (np.arange(10) % 3 > 0).astype(np.uint8)
    affine = np.array([[-2.0, 0, 0, 7], [0, 0, 3, 1], [0, 1, 0, 2], [0, 0, 0, 1]])
    noise = kspace[0].reshape(4, 120)
    others = {"mask": lines, name: kspace[2], "noise": noise, "affine": affine, "remark": np.arange(3)}
    with open_kspace(write(kind, kspace=kspace, **others)) as file:
        np.testing.assert_array_equal(file.mask, np.broadcast_to(lines > 0, (12, 10)))
        np.testing.assert_array_equal(file.maps, kspace[2])
        np.testing.assert_array_equal(file.noise, noise)
        np.testing.assert_array_equal(file.affine, affine)
        np.testing.assert_array_equal(file.read(2), kspace[2])


@given(
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
    st.sampled_from(["full", "lines", "row", "column", "padded", "float"]),
    st.integers(0, 99),
)
def test_every_way_to_write_a_mask_of_lines_means_the_same(shape: tuple[int, int], form: str, seed: int) -> None:
    """One value a column of phase encoding, however many axes of length 1 stand about it."""
    lines = np.random.default_rng(seed).random(shape[1]) < 0.6
    lines[0] = True
    whole = np.broadcast_to(lines, shape)
    if form == "column" and shape[0] == shape[1]:
        form = "lines"  # a column of a square matrix is one value a row
    written = {
        "full": whole,
        "lines": lines,
        "row": lines[None],
        "column": lines[:, None],
        "padded": whole[None, None],
        "float": lines.astype(np.float64) * 0.5,
    }[form]
    np.testing.assert_array_equal(as_mask(written, shape, "scan"), whole)


def test_masks_of_a_volume() -> None:
    """(z, x) holds for every read-out position; (z, y, x) and (x,) are taken as they are."""
    plane = np.array([[1, 0, 1, 1], [0, 1, 1, 0]])
    whole = as_mask(plane, (2, 3, 4), "scan")
    assert whole.shape == (2, 3, 4) and all(np.array_equal(whole[:, y], plane > 0) for y in range(3))
    np.testing.assert_array_equal(as_mask(whole, (2, 3, 4), "scan"), whole)
    np.testing.assert_array_equal(as_mask(plane[0], (2, 3, 4), "scan")[1, 2], plane[0] > 0)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".cfl", ".h5", ".mat"])
@pytest.mark.parametrize("axes", ["coil", "slice-coil", "slice-set-coil"])
def test_maps_are_read_from_every_format(
    suffix: str, axes: str, write: Write, kspace: NDArray[np.complex64], tmp_path: Path
) -> None:
    """--maps takes what other programs write, shared by the slices, one a slice, or two sets a slice."""
    sets = np.stack([kspace, 2 * kspace], axis=1)
    maps = {"coil": kspace[0], "slice-coil": kspace, "slice-set-coil": sets}[axes]
    path = tmp_path / f"maps{suffix}"
    if suffix == ".npz":
        np.savez(path, s_maps=maps, other=np.zeros(2))
    elif suffix == ".npy":
        np.save(path, maps)
    elif suffix == ".mat":
        path = write("mat5", name="maps", only=maps)
    elif suffix == ".h5":
        path = write("fastmri", name="maps", s_maps=maps, kspace=kspace)
    else:
        full = {"coil": maps[None, None], "slice-coil": kspace[:, None], "slice-set-coil": sets}[axes]
        slices, count = full.shape[:2]
        sizes = [12, 10, 1, 4, count, *[1] * 8, slices, 1, 1]
        path.with_suffix(".hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))}\n")
        path.write_bytes(np.ascontiguousarray(full.transpose(0, 1, 2, 4, 3)).tobytes())
    with open_kspace(write("npz", kspace=kspace)) as file:
        np.testing.assert_array_equal(read_maps(path, file), maps)


@pytest.mark.parametrize("kind", ["npy", "cfl", "hdf5", "npz-compressed"])
def test_a_slice_costs_the_memory_of_a_slice(kind: str, tmp_path: Path, kspace: NDArray[np.complex64]) -> None:
    """20 GB of k-space must be read on a laptop: files with holes of that size, and a compressed one of 12 slices."""
    shape = (2600, 15, 256, 256)
    path, last = tmp_path / "large", 2599
    piece = np.tile(kspace[0, :1, :8, :8], (15, 32, 32))
    if kind == "npy":
        path = path.with_suffix(".npy")
        with path.open("wb") as stream:
            header = {"descr": "<c8", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            stream.seek(last * piece.nbytes, 1)
            stream.write(piece.tobytes())
    elif kind == "cfl":
        path = path.with_suffix(".cfl")
        path.with_suffix(".hdr").write_text(f"# Dimensions\n256 256 1 15 1 1 1 1 1 1 1 1 1 {shape[0]}\n")
        with path.open("wb") as stream:
            stream.seek(last * piece.nbytes)
            stream.write(np.ascontiguousarray(piece.transpose(0, 2, 1)).tobytes())
    elif kind == "hdf5":
        path = path.with_suffix(".h5")
        with h5py.File(path, "w") as file:
            file.create_dataset("kspace", shape, "<c8", chunks=(1, 1, 256, 256))[last] = piece
    else:
        path, last = path.with_suffix(".npz"), 11
        np.savez_compressed(path, kspace=np.broadcast_to(piece, (12, *piece.shape)))
    tracemalloc.start()
    with open_kspace(path) as file:
        data = file.read(last)
        assert file.slices == last + 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(data, piece)
    assert peak < 4 * piece.nbytes


@settings(max_examples=25)
@given(st.integers(1, 8), st.integers(0, 5), st.integers(1, 8), st.integers(0, 5))
def test_a_crop_keeps_the_middle(rows: int, more: int, columns: int, wider: int) -> None:
    """Index n // 2 is where a centred transform has its origin, before and after."""
    image = np.zeros((2, rows + more, columns + wider))
    image[1, (rows + more) // 2, (columns + wider) // 2] = 1
    cut = centre_crop(image, (rows, columns))
    assert cut.shape == (2, rows, columns) and cut[1, rows // 2, columns // 2] == 1
    with pytest.raises(ValueError, match="crop"):
        centre_crop(image, (rows + more + 1, columns))
