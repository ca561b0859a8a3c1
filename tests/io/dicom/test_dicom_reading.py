"""What a scanner says of a series is what we understand of it."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from dicoms import SECRETS, thick
from voxprior.io.dicom import is_dicom, list_series, read_dicom, read_dicom_frames
from voxprior.io.dicom.geometry import place, stack

SHUFFLED = [3, 0, 5, 1, 4, 2]


@pytest.mark.parametrize("modality", ["MR", "CT"])
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_affine_and_values_are_those_of_the_definition(modality: str, kind: str, tmp_path: Path) -> None:
    """The affine is the standard's equation for it, whatever the order of the files."""
    series = thick(modality, slope=1.5, intercept=-100.0)
    if kind == "classic":
        series.write(tmp_path, SHUFFLED)
    else:
        series.write_enhanced(tmp_path)
    volume = read_dicom(tmp_path)
    np.testing.assert_allclose(volume.affine, series.affine(), atol=1e-9)
    np.testing.assert_array_equal(volume.data, series.values().astype(np.float32))
    assert volume.header["thickness"] == 4.0
    assert volume.spacing[2] == pytest.approx(4.8)
    assert volume.header["warnings"] == ()
    assert volume.header["dicom"].modality == modality


def test_one_file_of_a_series_stands_for_all(tmp_path: Path) -> None:
    """Who names one slice means the series."""
    series = thick()
    paths = series.write(tmp_path / "study")
    thick(uid="1.2.3.4", number=9).write(tmp_path / "study" / "other")
    for path in paths:
        path.rename(path.with_suffix(".dcm"))
    volume = read_dicom(paths[2].with_suffix(".dcm"))
    np.testing.assert_array_equal(volume.data, series.values().astype(np.float32))
    assert len(list_series(tmp_path / "study")) == 1, "files in the folder itself are enough"


def test_zip_folder_and_enhanced_file_are_the_same_scan(tmp_path: Path) -> None:
    """One scan in three packings gives one volume; the digest does not hang on names."""
    series = thick()
    paths = series.write(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, f"deep/er/{path.name}")
    folder, packed = read_dicom(tmp_path / "a"), read_dicom(tmp_path / "a.zip")
    enhanced = read_dicom(series.write_enhanced(tmp_path / "b"))
    assert folder.header["dicom"].digest == packed.header["dicom"].digest
    for other in (packed, enhanced):
        np.testing.assert_array_equal(other.data, folder.data)
        np.testing.assert_array_equal(other.affine, folder.affine)


def test_slope_of_each_slice_counts(tmp_path: Path) -> None:
    """Guards against the slope of the first slice for all: PET-like and Philips series have one a slice."""

    def change(ds: Dataset, index: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = index + 1, -index, "US"

    series = thick(change=change)
    series.write(tmp_path)
    expected = series.voxels.astype(np.float64) * np.arange(1, 7)[:, None, None] - np.arange(6)[:, None, None]
    np.testing.assert_array_equal(read_dicom(tmp_path).data, expected.transpose(2, 1, 0).astype(np.float32))


@pytest.mark.parametrize(("stated", "warned"), [(2.0, False), (7.0, False), (3.5, True)])
def test_distance_is_measured_whatever_the_tag_means(stated: float, warned: bool, tmp_path: Path) -> None:
    """Guards the trap of one vendor: the tag holds the gap. 3.5 for 7 mm says that every other slice is gone."""
    series = thick(spacing=7.0, thickness=5.0, change=lambda ds, k: setattr(ds, "SpacingBetweenSlices", stated))
    series.write(tmp_path)
    volume = read_dicom(tmp_path)
    assert volume.spacing[2] == pytest.approx(7.0)
    assert any("may be missing" in text for text in volume.header["warnings"]) == warned


def test_positions_rounded_to_tenths_are_one_even_stack(tmp_path: Path) -> None:
    """Guards scans whose vendor rounds positions: uneven by .1 mm is not broken."""
    series = thick(spacing=6.937, thickness=5.0, shape=(12, 8, 8))

    def rounded(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient = [round(float(v), 1) for v in series.position(index)]

    series.change = rounded
    series.write(tmp_path)
    volume = read_dicom(tmp_path)
    assert volume.spacing[2] == pytest.approx(6.937, abs=0.01)
    np.testing.assert_allclose(volume.affine, series.affine(), atol=0.06)
    assert any("taken as every" in text for text in volume.header["warnings"])


def test_bytes_behind_the_pixels_are_passed_over(tmp_path: Path) -> None:
    """Guards exports with megabytes of nothing behind the image."""
    paths = thick().write(tmp_path)
    paths[0].write_bytes(paths[0].read_bytes() + bytes(100_000))
    np.testing.assert_array_equal(read_dicom(tmp_path).data, thick().values().astype(np.float32))


def test_an_object_that_lies_there_twice_counts_once(tmp_path: Path) -> None:
    """A file copied twice into a folder is no second slice."""
    paths = thick().write(tmp_path)
    (tmp_path / "copy").write_bytes(paths[1].read_bytes())
    assert read_dicom(tmp_path).data.shape[2] == 6


def test_several_images_a_place_are_frames(tmp_path: Path) -> None:
    """Two echoes are two volumes, the short one first, and are never mixed."""
    first, second = thick(), thick()
    second.voxels = second.voxels + np.uint16(7)
    first.change = lambda ds, k: setattr(ds, "EchoTime", 80)
    second.change = lambda ds, k: (setattr(ds, "EchoTime", 20), setattr(ds, "SOPInstanceUID", f"1.2.3.{k}"))[0]
    first.write(tmp_path / "a" / "x")
    second.write(tmp_path / "a" / "y")
    with pytest.raises(Exception, match="2 frames; choose with --frames"):
        read_dicom(tmp_path / "a")
    volumes = read_dicom_frames(tmp_path / "a", frames="all")
    np.testing.assert_array_equal(volumes[0].data - volumes[1].data, 7)  # the short echo comes first
    assert [v.header["frame"] for v in volumes] == [0, 1]


def test_series_is_chosen_by_number_or_uid(tmp_path: Path) -> None:
    """Guards against the silent choice of one of several series."""
    thick(number=3).write(tmp_path / "s" / "3")
    other = thick(number=5, uid="1.2.3.5", spacing=5.5)
    other.write(tmp_path / "s" / "5")
    with pytest.raises(Exception, match=r"2 series, choose with --series NUMBER.*number 3: MR, 6 images 't1 thick'"):
        read_dicom(tmp_path / "s")
    for name in ("5", "1.2.3.5"):
        assert read_dicom(tmp_path / "s", name).spacing[2] == pytest.approx(5.5)
    with pytest.raises(Exception, match="has no series 7"):
        read_dicom(tmp_path / "s", "7")


def test_volume_shows_nothing_of_the_patient(tmp_path: Path) -> None:
    """A volume that is printed by accident, as in a traceback, names nobody."""
    thick().write(tmp_path)
    volume = read_dicom(tmp_path)
    assert not any(secret in repr(volume) for secret in SECRETS)


def test_other_files_are_no_dicom(tmp_path: Path) -> None:
    """Guards the dispatch: text, NIfTI and their folders go to other readers."""
    (tmp_path / "notes.txt").write_text("hello " * 50)
    (tmp_path / "x.nii.gz").write_bytes(bytes(128) + b"DICM")
    assert not is_dicom(tmp_path / "notes.txt")
    assert not is_dicom(tmp_path / "x.nii.gz")
    assert not is_dicom(tmp_path)
    thick().write(tmp_path / "d")
    assert is_dicom(tmp_path / "d")
    (tmp_path / "d" / "converted.nii.gz").write_bytes(b"x")
    assert is_dicom(tmp_path / "d"), "what a converter left among the slices changes nothing"


def test_run_length_packing_is_read(tmp_path: Path) -> None:
    """The packing that needs no decoder beyond pydicom's own; values are those before."""
    series = thick()
    for path in series.write(tmp_path):
        ds = dcmread(path)
        ds.compress(RLELossless)
        ds.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(read_dicom(tmp_path).data, series.values().astype(np.float32))


@st.composite
def directions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two perpendicular unit vectors, of any direction, as exact as header digits."""
    angles = [draw(st.floats(-np.pi, np.pi)) for _ in range(3)]
    c, s = np.cos(angles), np.sin(angles)
    a = np.array([[c[0], -s[0], 0], [s[0], c[0], 0], [0, 0, 1]])
    b = np.array([[c[1], 0, s[1]], [0, 1, 0], [-s[1], 0, c[1]]])
    e = np.array([[1, 0, 0], [0, c[2], -s[2]], [0, s[2], c[2]]])
    turn = a @ b @ e
    return np.round(turn[:, 0], 6), np.round(turn[:, 1], 6)


@given(directions(), st.floats(0.7, 9), st.integers(2, 40), st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_orientation_in_any_order(
    turned: tuple[np.ndarray, np.ndarray], spacing: float, count: int, rng: random.Random
) -> None:
    """Every slice's first voxel is where its header says, whatever the orientation and the order of files."""
    row, column = turned
    normal = np.cross(row, column)
    origin = np.array([12.5, -80.0, 33.0])
    positions = [origin + k * spacing * normal for k in range(count)]
    order = list(range(count))
    rng.shuffle(order)
    found = stack([place(positions[k].tolist(), [*row, *column]) for k in order], "x")
    assert [order[g[0]] for g in found.groups] == list(range(count))
    lps = np.diag([-1, -1, 1, 1]) @ found.affine
    for k in range(count):
        np.testing.assert_allclose((lps @ [0, 0, k, 1])[:3], positions[k], atol=1e-3)
    np.testing.assert_allclose(lps[:3, 0], row, atol=1e-5)
    np.testing.assert_allclose(lps[:3, 1], column, atol=1e-5)
    assert np.linalg.det(found.affine[:3, :3]) > 0
