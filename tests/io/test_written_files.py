"""What is written is the same every time, under names that belong together."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.io.nifti import read_volume
from voxprior.io.outputs import (
    file_digest,
    sibling,
    sidecar_path,
    voxel_digest,
    write_json,
    write_volume,
)
from voxprior.volume import Volume


def volume(scale: float = 1.0) -> Volume:
    affine = np.array([[0, -0.9, 0, 10], [1.1, 0, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
    return Volume(np.arange(60, dtype=np.float32).reshape(3, 4, 5) * scale, affine)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz"])
def test_the_same_volume_gives_the_same_bytes_at_another_time_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Guards bitwise repeatable runs against clock and file name inside gzip."""
    write_volume(tmp_path / f"a{suffix}", volume())
    monkeypatch.setattr(time, "time", lambda: 1e9)
    write_volume(tmp_path / f"b{suffix}", volume())
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert (tmp_path / f"a{suffix}").stat().st_size > 100


@pytest.mark.parametrize("layout", ["C", "F"])
def test_the_memory_layout_of_the_array_does_not_matter(tmp_path: Path, layout: str) -> None:
    """Guards voxel order in the file, and the digest, for C- and Fortran-ordered and strided arrays."""
    strided = Volume(np.asarray(np.repeat(volume().data, 2, axis=1)[:, ::2], order=layout), volume().affine)
    write_volume(tmp_path / "a.nii", strided)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "a.nii").dataobj), volume().data)
    assert voxel_digest(strided) == voxel_digest(volume())


def test_voxels_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    """Guards users against a result with holes: a method that made NaN is a fault of ours, not an image."""
    data = volume().data.copy()
    data[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        write_volume(tmp_path / "a.nii", Volume(data, np.eye(4)))
    assert list(tmp_path.iterdir()) == []


def test_an_axis_too_long_for_nifti_1_is_written_as_nifti_2(tmp_path: Path) -> None:
    """Guards against sizes that overflow 16 bits."""
    long = Volume(np.arange(2 * 2 * 33000, dtype=np.float32).reshape(2, 2, 33000), np.eye(4))
    write_volume(tmp_path / "a.nii.gz", long)
    assert isinstance(nib.load(tmp_path / "a.nii.gz"), nib.Nifti2Image)
    assert read_volume(tmp_path / "a.nii.gz").data.shape == (2, 2, 33000)


def test_the_digest_is_what_its_documentation_says() -> None:
    """Guards the digest against change: certificates written today must verify in years."""
    v = volume()
    by_hand = hashlib.sha256()
    by_hand.update(np.array([3, 4, 5], "<i8").tobytes())
    by_hand.update(v.affine.T.astype("<f8").tobytes())
    by_hand.update(b"".join(v.data[i, j, k].tobytes() for k in range(5) for j in range(4) for i in range(3)))
    assert voxel_digest(v) == by_hand.hexdigest()


@pytest.mark.parametrize("change", ["voxel", "affine", "shape", "swap"])
def test_the_digest_sees_every_change(change: str) -> None:
    """Guards against a digest that misses one last bit, a shift, another shape, or exchanged voxels."""
    v = volume()
    data, affine = v.data.copy(), v.affine.copy()
    if change == "voxel":
        data[2, 3, 4] = np.nextafter(data[2, 3, 4], np.float32(1e9))
    elif change == "affine":
        affine[2, 3] += 1e-9
    elif change == "shape":
        data = data.reshape(3, 5, 4, order="F")
    else:
        data[0, 0, 0], data[0, 0, 1] = data[0, 0, 1], data[0, 0, 0]
    assert voxel_digest(Volume(data, affine)) != voxel_digest(v)


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    """Guards the SHA-256 of inputs, and the message for one that is gone."""
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match="b: cannot be read"):
        file_digest(tmp_path / "b")


def test_names_beside_an_image() -> None:
    """Guards the names that users and scripts rely on, also for names with dots and capitals."""
    assert sibling(Path("d/out.nii.gz"), "std") == Path("d/out_std.nii.gz")
    assert sibling(Path("d/sub-1.run.mgz"), "invented") == Path("d/sub-1.run_invented.mgz")
    assert sibling(Path("out.nii"), "preview", ".png") == Path("out_preview.png")
    assert sidecar_path(Path("d/out.nii.gz")) == Path("d/out.json")
    assert sidecar_path(Path("v1.5.NII.GZ")) == Path("v1.5.json")
    for bad in ("out.txt", "out", ".nii.gz", "out.gz"):
        with pytest.raises(InputError, match=r"must end in \.nii"):
            sidecar_path(Path(bad))
        with pytest.raises(InputError, match=r"must end in \.nii"):
            sibling(Path(bad), "std")


def test_json_is_sorted_readable_and_plain(tmp_path: Path) -> None:
    """Guards sidecars: sorted keys, numpy numbers as numbers, text of any script, undecodable names."""
    values = {"b": np.float32(0.5), "a": np.arange(3), "ü": "头", "raw": "x\udcff", "n": np.int64(7)}
    write_json(tmp_path / "a.json", values)
    text = (tmp_path / "a.json").read_text("utf-8")
    assert list(json.loads(text)) == ["a", "b", "n", "raw", "ü"]
    assert json.loads(text) == {"a": [0, 1, 2], "b": 0.5, "n": 7, "raw": "x\udcff", "ü": "头"}
    assert "头" in text and text.endswith("}\n")
    with pytest.raises(TypeError, match="set"):
        write_json(tmp_path / "b.json", {"x": {1}})
