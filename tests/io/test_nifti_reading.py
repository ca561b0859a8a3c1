"""Images come in, and go out again, at the same place, in the same units, with the same values."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from voxprior.errors import InputError
from voxprior.io.encoding import as_stored
from voxprior.io.nifti import read_frames, read_volume
from voxprior.io.outputs import voxel_digest, write_volume
from voxprior.volume import Volume

SHAPE = (5, 6, 7)


def oblique(degrees: float = 25.0) -> np.ndarray:
    """Rotation about (1, 2, 3) by Rodrigues' formula."""
    x, y, z = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    a = np.radians(degrees)
    return np.eye(3) + np.sin(a) * k + (1 - np.cos(a)) * k @ k


def forty_eight() -> list[np.ndarray]:
    turns = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turns.append(np.eye(3)[:, order] * signs)
    return turns


def affine_of(rotation: np.ndarray, spacing: tuple[float, float, float] = (0.9, 1.1, 5.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = (-81.25, 12.5, 40.75)
    return affine


def noise(shape: tuple[int, ...] = SHAPE, dtype: str = "f4") -> np.ndarray:
    values = np.random.default_rng(3).integers(0, 200, shape)
    return values.astype(dtype)


def save(path: Path, data: np.ndarray, affine: np.ndarray, kind: type = nib.Nifti1Image) -> Path:
    nib.save(kind(data, affine), path)
    return path


@pytest.mark.parametrize("rotation", [*forty_eight(), oblique(), oblique(120), oblique(180)])
def test_any_orientation_keeps_its_world_coordinates_to_the_bit(tmp_path: Path, rotation: np.ndarray) -> None:
    """Guards against a flipped, permuted or rounded affine on the way through."""
    source = save(tmp_path / "in.nii.gz", noise(), affine_of(rotation))
    volume = read_volume(source)
    write_volume(tmp_path / "out.nii.gz", volume)
    before, after = nib.load(source), nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(volume.affine, before.affine)
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(after.header.get_sform(), before.header.get_sform())
    np.testing.assert_allclose(after.header.get_qform(), after.affine, atol=1e-3)
    np.testing.assert_array_equal(np.asarray(after.dataobj), noise())
    assert after.get_data_dtype() == np.float32


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_every_number_type_and_byte_order_reads_as_nibabel_reads_it(
    tmp_path: Path, kind: type, dtype: str, order: str
) -> None:
    """Guards the reading of voxels against an independent reader."""
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    image = kind(noise(dtype=dtype), affine_of(oblique()), header)
    nib.save(image, tmp_path / "in.nii")
    expected = nib.load(tmp_path / "in.nii")
    assert expected.header.endianness == order
    volume = read_volume(tmp_path / "in.nii")
    np.testing.assert_array_equal(volume.data, expected.get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(volume.affine, expected.affine)
    assert volume.data.dtype == np.float32


@pytest.mark.parametrize("slope, inter", [(0.25, -1024.0), (1.7e-3, 3.0), (0.0, 5.0), (np.nan, 0.0)])
def test_int16_with_a_scale_reads_the_scaled_value(tmp_path: Path, slope: float, inter: float) -> None:
    """Guards scl_slope and scl_inter, and that a slope of 0 or NaN means no scaling; output has slope 1."""
    stored = noise(dtype="i2")
    raw = nib.Nifti1Header()
    raw.set_data_shape(SHAPE)
    raw.set_data_dtype("i2")
    raw.set_sform(affine_of(np.eye(3)), code=1)
    raw["scl_slope"], raw["scl_inter"], raw["magic"], raw["vox_offset"] = slope, inter, b"n+1", 352
    (tmp_path / "in.nii").write_bytes(raw.binaryblock + bytes(4) + stored.tobytes(order="F"))
    volume = read_volume(tmp_path / "in.nii")
    scaled = slope != 0 and np.isfinite(slope)
    expected = stored * float(np.float32(slope)) + inter if scaled else stored.astype(float)
    np.testing.assert_allclose(volume.data, expected, rtol=1e-6)
    write_volume(tmp_path / "out.nii", volume)
    again = nib.Nifti1Header((tmp_path / "out.nii").read_bytes()[:348])
    assert (float(again["scl_slope"]), float(again["scl_inter"])) == (1.0, 0.0)


def test_values_outside_the_input_type_are_not_clipped(tmp_path: Path) -> None:
    """Guards against an output that is forced into the range or type of the input."""
    data = noise().astype(np.float32) * 1e4 - 5e5
    write_volume(tmp_path / "out.nii.gz", Volume(data, affine_of(np.eye(3))))
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj), data)


def test_mgz_goes_in_and_out(tmp_path: Path) -> None:
    """Guards FreeSurfer's format against nibabel, both ways, for an oblique volume."""
    source = save(tmp_path / "in.mgz", noise(), affine_of(oblique()), nib.MGHImage)
    volume = read_volume(source)
    np.testing.assert_array_equal(volume.affine, nib.load(source).affine)
    write_volume(tmp_path / "out.mgz", volume)
    write_volume(tmp_path / "out.nii", volume)
    for name in ("out.mgz", "out.nii"):
        after = nib.load(tmp_path / name)
        np.testing.assert_allclose(after.affine, volume.affine, atol=2e-5)
        np.testing.assert_array_equal(np.asarray(after.dataobj), noise())
    assert int(nib.load(tmp_path / "out.nii").header["sform_code"]) == 1


@pytest.mark.parametrize("codes", [(1, 1), (1, 4), (2, 3), (0, 2), (3, 0), (1, 0)])
def test_codes_of_both_forms_survive(tmp_path: Path, codes: tuple[int, int]) -> None:
    """Guards against a lost or invented meaning of the coordinates."""
    image = nib.Nifti1Image(noise(), affine_of(forty_eight()[17]))
    image.set_qform(image.affine, code=codes[0])
    image.set_sform(image.affine, code=codes[1])
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "in.nii")
    write_volume(tmp_path / "out.nii", read_volume(tmp_path / "in.nii"))
    after = nib.load(tmp_path / "out.nii")
    assert (int(after.header["qform_code"]), int(after.header["sform_code"])) == codes
    assert after.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_array_equal(after.affine, nib.load(tmp_path / "in.nii").affine)


def test_a_sheared_affine_is_kept_in_the_sform_alone(tmp_path: Path) -> None:
    """Guards against a qform that claims to say where a sheared volume is: a quaternion cannot."""
    affine = affine_of(np.eye(3))
    affine[0, 2] = 2.0
    volume = Volume(noise(), affine, {"qform_code": 1, "sform_code": 1})
    write_volume(tmp_path / "out.nii", volume)
    after = nib.load(tmp_path / "out.nii")
    assert (int(after.header["qform_code"]), int(after.header["sform_code"])) == (0, 1)
    np.testing.assert_array_equal(after.affine, affine.astype(np.float32))


def test_a_coarse_quaternion_does_not_move_a_volume_that_had_only_a_qform(tmp_path: Path) -> None:
    """Guards an oblique volume of qform only: near half a turn float32 quaternions misplace voxels by 0.1
    mm.
    """
    affine = affine_of(oblique(179.99))
    shape = (64, 64, 40)
    volume = Volume(noise(shape), affine, {"qform_code": 1, "sform_code": 0})
    write_volume(tmp_path / "out.nii", volume)
    corner = np.array([63, 63, 39, 1.0])
    assert np.abs((nib.load(tmp_path / "out.nii").affine - affine) @ corner).max() < 1e-3


@pytest.mark.parametrize("move, expected", [(0.0, False), (0.05, False), (0.5, True)])
def test_forms_that_disagree_are_told_and_the_sform_is_kept(
    tmp_path: Path, move: float, expected: bool
) -> None:
    """Guards the choice between two contradicting forms, and silence within the tolerance."""
    image = nib.Nifti1Image(noise(), affine_of(oblique()))
    turned = image.affine.copy()
    turned[1, 3] += move
    image.set_qform(turned, code=1)
    image.set_sform(image.affine, code=1)
    nib.save(image, tmp_path / "in.nii")
    volume = read_volume(tmp_path / "in.nii")
    assert any("disagree" in w for w in volume.header["warnings"]) is expected
    np.testing.assert_array_equal(volume.affine, nib.load(tmp_path / "in.nii").affine)


def test_forms_that_differ_by_a_turn_are_told(tmp_path: Path) -> None:
    """Guards the angle: a small volume turned by 0.2 degrees moves by less than the tolerance in mm."""
    image = nib.Nifti1Image(noise(), affine_of(oblique(25.0), (1, 1, 1)))
    image.set_qform(affine_of(oblique(25.2), (1, 1, 1)), code=1)
    image.set_sform(image.affine, code=1)
    nib.save(image, tmp_path / "in.nii")
    assert any("degrees" in w for w in read_volume(tmp_path / "in.nii").header["warnings"])


def test_a_header_without_any_orientation_is_read_and_told(tmp_path: Path) -> None:
    """Guards a file with both codes 0: sizes are kept, the guess is said, and the output can be placed."""
    image = nib.Nifti1Image(noise(), None)
    image.header.set_zooms((0.9, 1.1, 5.0))
    nib.save(image, tmp_path / "in.nii")
    volume = read_volume(tmp_path / "in.nii")
    assert volume.spacing == pytest.approx((0.9, 1.1, 5.0))
    assert any("guess" in w for w in volume.header["warnings"])
    write_volume(tmp_path / "out.nii", volume)
    stored = volume.affine.astype(np.float32)  # this affine is computed from sizes, not read
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").affine, stored)


@pytest.mark.parametrize("unit, factor", [("meter", 1e3), ("micron", 1e-3), ("mm", 1.0), ("unknown", 1.0)])
def test_lengths_in_other_units_become_millimetres(tmp_path: Path, unit: str, factor: float) -> None:
    """Guards slice thickness and place of files whose header counts in metres or micrometres."""
    image = nib.Nifti1Image(noise(), affine_of(oblique()))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "in.nii")
    volume = read_volume(tmp_path / "in.nii")
    np.testing.assert_allclose(volume.spacing, np.array([0.9, 1.1, 5.0]) * factor, rtol=1e-6)
    write_volume(tmp_path / "out.nii", volume)
    expected = "unknown" if unit == "unknown" else "mm"
    assert nib.load(tmp_path / "out.nii").header.get_xyzt_units()[0] == expected


@pytest.mark.parametrize("kind, suffix", [(nib.Nifti1Image, ".nii.gz"), (nib.MGHImage, ".mgz")])
def test_frames_are_chosen_by_number(tmp_path: Path, kind: type, suffix: str) -> None:
    """Guards the choice of frames, their order, and that each knows its number."""
    data = noise((*SHAPE, 5)).astype(np.float32)
    source = save(tmp_path / f"in{suffix}", data, np.eye(4), kind)
    for text, numbers in {
        "2": [2],
        "0,3": [0, 3],
        "3,0,3": [3, 0],
        "1-3": [1, 2, 3],
        "all": list(range(5)),
    }.items():
        volumes = read_frames(source, text)
        assert [v.header["frame"] for v in volumes] == numbers
        for volume, t in zip(volumes, numbers, strict=True):
            np.testing.assert_array_equal(volume.data, data[..., t])
    np.testing.assert_array_equal(read_volume(source, 4).data, data[..., 4])


def test_a_single_frame_of_four_or_five_dimensions_is_a_volume(tmp_path: Path) -> None:
    """Guards (x, y, z, 1) and (x, y, z, 1, 1), which need no --frames."""
    for trailing in ((1,), (1, 1)):
        source = save(tmp_path / f"in{len(trailing)}.nii", noise((*SHAPE, *trailing)), np.eye(4))
        assert read_volume(source).data.shape == SHAPE
        assert read_volume(source).header["frame"] is None


@pytest.mark.parametrize(
    "name", ["with space.nii.gz", "Schädel-头-🧠.nii", "UPPER.NII.GZ", "n" * 240 + ".nii.gz"]
)
def test_file_names_of_any_script_and_length(tmp_path: Path, name: str) -> None:
    """Guards reading and writing under names that are not plain ASCII, or as long as a name may be."""
    write_volume(tmp_path / name, Volume(noise(), np.eye(4)))
    volume = read_volume(tmp_path / name)
    assert volume.source == name
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_header_extensions_and_trailing_bytes_are_passed_over(tmp_path: Path) -> None:
    """Guards the voxel offset when text extensions lie between header and voxels."""
    image = nib.Nifti1Image(noise(), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a long comment " * 40))
    nib.save(image, tmp_path / "in.nii")
    with (tmp_path / "in.nii").open("ab") as stream:
        stream.write(b"trailing")
    np.testing.assert_array_equal(read_volume(tmp_path / "in.nii").data, noise())


def test_volumes_larger_than_a_chunk_are_read_and_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the seams between the pieces in which voxels are read and written."""
    monkeypatch.setattr("voxprior.io.nifti.CHUNK_VOXELS", 17)
    monkeypatch.setattr("voxprior.io.encoding.SLAB_VOXELS", 61)
    write_volume(tmp_path / "out.nii.gz", Volume(noise(), np.eye(4)))
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj), noise())
    np.testing.assert_array_equal(read_volume(tmp_path / "out.nii.gz").data, noise())


@given(
    data=arrays(
        np.float32, st.tuples(*[st.integers(2, 4)] * 3), elements=st.floats(-1e6, 1e6, width=32), unique=True
    ),
    numbers=st.lists(st.floats(-3, 3), min_size=12, max_size=12),
    suffix=st.sampled_from([".nii", ".nii.gz", ".mgz"]),
)
def test_what_is_read_back_is_what_as_stored_foretold(
    tmp_path_factory: pytest.TempPathFactory, data: np.ndarray, numbers: list[float], suffix: str
) -> None:
    """Guards the digest of a certificate, which is taken before the file is there, for any affine."""
    affine = np.vstack([np.reshape(numbers, (3, 4)), [0, 0, 0, 1]])
    affine[:3, :3] += 8 * np.eye(3)
    volume = Volume(data, affine)
    path = tmp_path_factory.mktemp("io") / f"out{suffix}"
    write_volume(path, volume)
    stored = read_volume(path)
    assert voxel_digest(stored) == voxel_digest(as_stored(volume, suffix))
    np.testing.assert_allclose(stored.affine, affine, atol=1e-5)


def test_reading_needs_a_frame_that_is_there(tmp_path: Path) -> None:
    """Guards against a silent first frame when a wrong number is asked of a single volume."""
    source = save(tmp_path / "in.nii", noise(), np.eye(4))
    assert read_volume(source, 0).data.shape == SHAPE
    with pytest.raises(InputError, match="no frame 1"):
        read_volume(source, 1)


def edited(path: Path, **fields: object) -> Path:
    """The header of the NIfTI-1 file ``path`` with some of its fields replaced."""
    content = path.read_bytes()
    header = nib.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + content[348:])
    return path


def test_a_quaternion_that_is_no_rotation(tmp_path: Path) -> None:
    """Guards against a wrong place from a damaged qform: the sform serves if there is one, and it is told."""
    image = nib.Nifti1Image(noise(), affine_of(oblique()))
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    nib.save(image, tmp_path / "in.nii")
    edited(tmp_path / "in.nii", quatern_b=1, quatern_c=1, quatern_d=1)
    volume = read_volume(tmp_path / "in.nii")
    assert volume.header["warnings"] == ("the qform is not valid; the sform is used",)
    np.testing.assert_array_equal(volume.affine, nib.load(tmp_path / "in.nii").affine)
    edited(tmp_path / "in.nii", sform_code=0)
    with pytest.raises(InputError, match="qform is singular or not finite"):
        read_volume(tmp_path / "in.nii")


def test_a_qfac_of_zero_means_one(tmp_path: Path) -> None:
    """Guards the rule of the format for writers that leave pixdim[0] empty."""
    image = nib.Nifti1Image(noise(), affine_of(oblique()))
    image.set_qform(image.affine, code=1)
    image.set_sform(None, code=0)
    nib.save(image, tmp_path / "in.nii")
    expected = read_volume(tmp_path / "in.nii").affine
    np.testing.assert_array_equal(
        read_volume(edited(tmp_path / "in.nii", pixdim=[0, *image.header["pixdim"][1:]])).affine, expected
    )


def test_mgz_without_orientation_is_told(tmp_path: Path) -> None:
    """Guards goodRASFlag 0, where FreeSurfer assumes a coronal volume."""
    source = save(tmp_path / "in.mgz", noise(), np.eye(4), nib.MGHImage)
    content = bytearray(gzip.decompress(source.read_bytes()))
    content[28:30] = b"\0\0"
    source.write_bytes(gzip.compress(bytes(content)))
    volume = read_volume(source)
    assert any("guess" in w for w in volume.header["warnings"])
    assert volume.axcodes == ("L", "I", "A")
