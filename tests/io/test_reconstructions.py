"""Files of reconstructions: each format gives back what was written, and is written in pieces or not at all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.io.arrays import ArraysWriter, array_digest
from voxprior.io.kspace.cfl import read_cfl
from voxprior.io.outputs import voxel_digest
from voxprior.io.reconstructions import as_volume, files_of, image_digest, read_image, write_array

RNG = np.random.default_rng(4)
SLICES = (RNG.standard_normal((3, 5, 4)) + 1j * RNG.standard_normal((3, 5, 4))).astype(np.complex64)
AFFINE = np.array([[-2.0, 0.1, 0, 40], [0, 2, 0, -40], [0, 0, 5, 3], [0, 0, 0, 1]])


def stay(path: Path) -> Path:
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".h5", ".cfl"])
@pytest.mark.parametrize("space, single", [(2, False), (2, True), (3, False)])
def test_an_image_comes_back_from_every_format(tmp_path: Path, suffix: str, space: int, single: bool) -> None:
    """Guards axes and digests, of a stack, a slice and a volume: what is read has the digest of what was meant."""
    image = SLICES[0] if single else SLICES
    image = image if suffix == ".cfl" else np.abs(image)
    target = tmp_path / f"o{suffix}"
    assert write_array(stay, target, "reconstruction", image, space, AFFINE) == files_of(target)
    found, affine = read_image(target)
    np.testing.assert_allclose(found.reshape(image.shape), image, rtol=1e-6)
    assert image_digest(target, found, affine) == image_digest(target, image, AFFINE)
    assert image_digest(target, found, affine) != image_digest(target, 2 * image, AFFINE)


def test_bart_sees_slices_and_volumes_where_it_expects_them(tmp_path: Path) -> None:
    """Guards the dimensions: slices in 13, the third axis of a volume in 2, the bounds of an interval apart."""
    write_array(stay, tmp_path / "s.cfl", "image", SLICES, 2, None)
    assert read_cfl(tmp_path / "s.cfl").shape == (3, 1, 1, 5, 4)
    np.testing.assert_array_equal(np.asarray(read_cfl(tmp_path / "s.cfl").whole())[:, 0, 0], SLICES)
    write_array(stay, tmp_path / "v.cfl", "image", SLICES, 3, None)
    np.testing.assert_array_equal(np.asarray(read_cfl(tmp_path / "v.cfl").whole())[0, 0, 0], SLICES)
    write_array(stay, tmp_path / "i.cfl", "interval", np.stack([SLICES, 2 * SLICES]).real, 2, None)
    sizes = (tmp_path / "i.hdr").read_text().split("\n")[1].split()
    assert [sizes[d] for d in (0, 1, 10, 13)] == ["5", "4", "2", "3"]


def test_a_digest_is_that_of_the_voxels_and_their_place() -> None:
    """Guards what goes into it: NIfTI as sr's, npz with its affine, both blind to nothing."""
    image = np.abs(SLICES)
    stored = image_digest(Path("o.nii"), image, np.diag([2.0, 2, 5, 1]))
    assert stored == voxel_digest(as_volume(image, np.diag([2.0, 2, 5, 1])))
    one = image_digest(Path("o.npz"), SLICES, AFFINE)
    assert one != image_digest(Path("o.npz"), SLICES, None)
    assert one == array_digest(SLICES.shape, list(SLICES), AFFINE)
    assert one != array_digest((15, 4), [SLICES], AFFINE)


def test_a_volume_without_a_place_says_so() -> None:
    """Guards the form codes: no scanner's coordinates are claimed."""
    volume = as_volume(np.abs(SLICES), None)
    assert volume.data.shape == (4, 5, 3)
    assert dict(volume.header) == {"qform_code": 0, "sform_code": 2}


def test_arrays_are_written_row_by_row_and_read_by_numpy(tmp_path: Path) -> None:
    """Guards the streamed archive: plain numpy reads it, its digests are the arrays', equal arrays are equal files."""
    for name in ("a", "b"):
        with ArraysWriter(tmp_path / f"{name}.npz") as out:
            with out.rows("image", SLICES.shape, np.complex64) as rows:
                for part in SLICES:
                    rows.write(part)
            out.write("mask", np.eye(3, dtype=bool))
        assert out.digests["image"] == array_digest(SLICES.shape, [SLICES])
    with np.load(tmp_path / "a.npz") as held:
        np.testing.assert_array_equal(held["image"], SLICES)
        assert held["mask"].dtype == bool
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert zipfile.ZipFile(tmp_path / "a.npz").testzip() is None


def test_missing_rows_are_a_fault(tmp_path: Path) -> None:
    """Guards against an array that is shorter than its header says."""
    with (
        pytest.raises(ValueError, match="announced and not written"),
        ArraysWriter(tmp_path / "a.npz") as out,
        out.rows("image", (4, 2), np.float32) as rows,
    ):
        rows.write(np.zeros((3, 2), np.float32))


@pytest.mark.parametrize("suffix", [".npz", ".nii", ".nii.gz", ".h5", ".cfl"])
def test_files_that_hold_something_else_are_input_errors(tmp_path: Path, suffix: str) -> None:
    """Guards the reader of verify: damage is told in one line."""
    target = tmp_path / f"o{suffix}"
    for path in files_of(target):
        path.write_bytes(b"# Dimensions\n3 x\n" * 50)
    with pytest.raises(InputError) as caught:
        read_image(target)
    assert "\n" not in str(caught.value)
