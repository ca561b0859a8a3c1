"""A derived series: valid, in its place, in its study, honest about what it is, and whole or not there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicoms import SECRET, Series, thick
from voxprior.errors import InputError
from voxprior.io.dicom import NOTICE, Derivation, dicom_folder, read_dicom, require_folder, write_dicom
from voxprior.io.dicom.quantise import decimal, quantise
from voxprior.io.outputs import voxel_digest
from voxprior.volume import Volume, fine_affine, slice_geometry


def _derive(series: Series, folder: Path, enhanced: bool = False, **options: str) -> tuple[Volume, Volume, list[Path]]:
    """Source, a finer volume in its space with values between the whole numbers, and the files of the latter."""
    if enhanced:
        series.write_enhanced(folder / "in")
    else:
        series.write(folder / "in")
    source = read_dicom(folder / "in")
    geometry = slice_geometry(source, spacing=1.3, thickness=4.0)
    rng = np.random.default_rng(1)
    low, high = source.data.min(), source.data.max()
    data = rng.uniform(low, high, (*source.data.shape[:2], geometry.fine_count)).astype(np.float32)
    volume = Volume(data, fine_affine(source.affine, geometry))
    (folder / "out").mkdir()
    return source, volume, write_dicom(folder / "out", volume, source, Derivation("for a test", {"a": 1}), **options)


OBLIQUE = {"row": (0.96, 0.28, 0.0), "column": (-0.168, 0.576, 0.8)}


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_what_is_written_is_read_again(modality: str, enhanced: bool, tmp_path: Path) -> None:
    """Place to 1e-8 mm and values to half a step, for all four kinds of source."""
    source, volume, paths = _derive(thick(modality, **OBLIQUE), tmp_path, enhanced)
    again = read_dicom(tmp_path / "out")
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-8)
    step = float(dcmread(paths[0]).RescaleSlope)
    assert np.abs(again.data - volume.data).max() <= 0.51 * step
    assert step <= (source.data.max() - source.data.min()) / 60_000
    assert again.header["thickness"] == pytest.approx(1.3)
    assert again.header["warnings"] == ()


@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_header_of_a_derived_image(modality: str, tmp_path: Path) -> None:
    """Study, space and patient stay; what is new says so; what no longer holds is gone."""
    def dose(ds: Dataset, index: int) -> None:
        ds.AcquisitionTime, ds.AcquisitionMatrix = f"1011{index:02d}", [0, 20, 16, 0]

    series = thick(modality, change=dose)
    _, volume, paths = _derive(series, tmp_path)
    assert len(paths) == volume.data.shape[2]
    source, images = dcmread(tmp_path / "in" / "IM0000"), [dcmread(path) for path in paths]
    same = "StudyInstanceUID FrameOfReferenceUID PatientID PatientName StudyDate AccessionNumber"
    for keyword in same.split():
        assert {str(image[keyword].value) for image in images} == {str(source[keyword].value)}
    first = images[0]
    assert {image.SeriesInstanceUID for image in images} == {first.SeriesInstanceUID} != {source.SeriesInstanceUID}
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert list(first.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert first.SeriesDescription.startswith("AI-restored, not for diagnosis")
    assert first.DerivationDescription == f"{NOTICE}. for a test"
    assert first.SOPClassUID == source.SOPClassUID and first.Modality == modality
    acquired, restored = first.ContributingEquipmentSequence
    assert (acquired.Manufacturer, acquired.DeviceSerialNumber) == ("ACME", "42")
    assert (restored.Manufacturer, first.Manufacturer) == ("Voxprior", "Voxprior")
    assert first.SliceThickness == first.SpacingBetweenSlices == pytest.approx(1.3)
    assert (first.WindowCenter, first.WindowWidth) == (300, 800)
    assert [image.InstanceNumber for image in images] == list(range(1, len(images) + 1))
    for keyword in ("SAR", "XRayTubeCurrent", "AcquisitionTime", "AcquisitionMatrix"):
        assert keyword not in first
    assert not [element for element in first.iterall() if element.tag.is_private]


def test_every_slice_names_the_slices_it_came_from(tmp_path: Path) -> None:
    """The reference is to the slices around, among them the nearest."""
    series = thick()
    _, _, paths = _derive(series, tmp_path)
    for k, path in enumerate(paths):
        image = dcmread(path)
        height = float(image.ImagePositionPatient[2])
        named = [int(item.ReferencedSOPInstanceUID.rpartition(".")[2]) - 1 for item in image.SourceImageSequence]
        heights = [series.position(index)[2] for index in range(6)]
        nearest = int(np.argmin(np.abs(np.array(heights) - height)))
        assert nearest in named
        assert all(abs(heights[index] - height) <= 4.8 + 1e-6 for index in named), k


def test_frames_of_a_multi_frame_source_are_named(tmp_path: Path) -> None:
    """A source in one file is referred to frame by frame."""
    _, _, paths = _derive(thick(), tmp_path, enhanced=True)
    item = dcmread(paths[-1]).SourceImageSequence[-1]
    assert (item.ReferencedSOPClassUID, item.ReferencedFrameNumber) == ("1.2.840.10008.5.1.4.1.1.4.1", 6)


def test_uids_follow_from_content_when_asked(tmp_path: Path) -> None:
    """Equal input, settings and voxels give equal files; anything else gives other UIDs."""
    first = _derive(thick(), tmp_path / "1", uids="content")[2]
    second = _derive(thick(), tmp_path / "2", uids="content")[2]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    source = read_dicom(tmp_path / "1" / "in")
    (tmp_path / "3").mkdir()
    volume = read_dicom(tmp_path / "1" / "out")
    other = write_dicom(tmp_path / "3", volume, source, Derivation("for a test", {"a": 2}), "content")
    assert dcmread(other[0]).SeriesInstanceUID != dcmread(first[0]).SeriesInstanceUID
    fresh = {dcmread(_derive(thick(), tmp_path / n)[2][0]).SeriesInstanceUID for n in ("4", "5")}
    assert len(fresh) == 2
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{0,38}", uid) for uid in fresh)


def test_digest_does_not_depend_on_the_way_through_the_disk(tmp_path: Path) -> None:
    """The certificate holds a digest of what is read back: reading must give the same bits every time."""
    _derive(thick(**OBLIQUE), tmp_path)
    assert voxel_digest(read_dicom(tmp_path / "out")) == voxel_digest(read_dicom(tmp_path / "out"))


def test_missing_facts_are_left_empty(tmp_path: Path) -> None:
    """An image is valid even where its source left things out."""
    def bare(ds: Dataset, index: int) -> None:
        for keyword in ("PatientName", "ScanningSequence", "StudyID", "FrameOfReferenceUID", "WindowWidth", "EchoTime"):
            del ds[keyword]

    _, _, paths = _derive(thick(change=bare), tmp_path)
    image = dcmread(paths[0])
    assert image.PatientName == "" and image.ScanningSequence == "RM" and image.EchoTime is None
    assert image.FrameOfReferenceUID.startswith("2.25.")
    assert image.WindowWidth >= 1


def test_non_ascii_names_survive(tmp_path: Path) -> None:
    """Guards the character set: a name that changes is another patient for an archive."""
    def named(ds: Dataset, index: int) -> None:
        ds.SpecificCharacterSet, ds.PatientName = "ISO_IR 100", "Größe^Zoë"

    _, _, paths = _derive(thick(change=named), tmp_path)
    assert str(dcmread(paths[0]).PatientName) == "Größe^Zoë"


def test_nifti_has_no_series_to_derive_from(tmp_path: Path) -> None:
    """Without a source there is no study to join."""
    volume = Volume(np.zeros((2, 2, 2), np.float32), np.eye(4), {}, "x.nii")
    with pytest.raises(InputError, match="not a DICOM series"):
        write_dicom(tmp_path, volume, volume, Derivation("x"))


@example([0.0, 1.401298464324817e-45], False)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=40), st.booleans())
def test_quantisation_is_within_half_a_step(values: list[float], whole: bool) -> None:
    """Whole numbers exactly, others to half a step, and zero stays zero."""
    data: NDArray[np.float32] = np.array([round(v) % 30_000 for v in values] if whole else values, np.float32)
    q = quantise(data)
    back = q.stored.astype(np.float64) * float(q.slope) + float(q.intercept)
    limit = 0.0 if whole else 0.501 * float(q.slope)
    assert np.abs(back - data).max() <= limit + 1e-9 * float(np.abs(data).max())
    assert len(q.slope) <= 16 and len(q.intercept) <= 16
    if data.min() <= 0 <= data.max():
        nearest = np.abs(float(q.intercept) / float(q.slope) - round(float(q.intercept) / float(q.slope)))
        assert nearest < 1e-6, "zero is a stored value"


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1.7976931345e308)
def test_decimal_strings_fit_and_are_near(value: float) -> None:
    """Guards the 16 characters that the standard allows."""
    text = decimal(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-8, abs=1e-300)


class TestFolder:
    """The folder appears whole or not at all, and takes no place that is not its own."""

    def test_nothing_is_left_of_a_failure(self, tmp_path: Path) -> None:
        """Neither the folder nor a temporary one."""
        with pytest.raises(KeyError), dicom_folder(tmp_path / "out") as folder:
            (folder / "a").write_text("x")
            assert not (tmp_path / "out").exists()
            raise KeyError
        assert list(tmp_path.iterdir()) == []

    def test_an_older_output_stays_until_the_new_one_is_whole(self, tmp_path: Path) -> None:
        """A failed replacement leaves the old output as it was."""
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "voxprior.json").write_text("old")
        with pytest.raises(InputError, match="--force"), dicom_folder(tmp_path / "out"):
            pass
        with pytest.raises(KeyError), dicom_folder(tmp_path / "out", force=True):
            raise KeyError
        assert (tmp_path / "out" / "voxprior.json").read_text() == "old"
        with dicom_folder(tmp_path / "out", force=True) as folder:
            (folder / "voxprior.json").write_text("new")
        assert (tmp_path / "out" / "voxprior.json").read_text() == "new"
        assert [p.name for p in tmp_path.iterdir()] == ["out"]

    def test_other_peoples_folders_are_never_replaced(self, tmp_path: Path) -> None:
        """Guards what is not ours, even with force."""
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.doc").write_text("x")
        with pytest.raises(InputError, match="other files"), dicom_folder(tmp_path / "out", force=True):
            pass

    def test_input_and_output_are_apart(self, tmp_path: Path) -> None:
        """An output in the input would be read as a second series the next time."""
        (tmp_path / "in" / "deep").mkdir(parents=True)
        for target in ("in", "in/out"):
            with pytest.raises(InputError, match="is the input"):
                require_folder(tmp_path / target, True, [tmp_path / "in"])
        with pytest.raises(InputError, match="is the input"):
            require_folder(tmp_path / "in", True, [tmp_path / "in" / "deep"])


def test_patient_is_in_the_images_and_nowhere_else(tmp_path: Path) -> None:
    """Names of files say nothing."""
    _, _, paths = _derive(thick(), tmp_path)
    assert str(dcmread(paths[0]).PatientName) == SECRET
    assert not any("Zzyzx" in path.name for path in paths)
