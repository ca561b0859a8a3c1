"""A series without a source: a study of its own, nobody in it, and slices in the order that DICOM wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmread
from scipy.spatial.transform import Rotation

from voxprior.errors import InputError
from voxprior.io.dicom import SYNTHETIC, Derivation, in_order_of, new_study, require_straight, write_dicom
from voxprior.io.dicom.reading import read_dicom, read_written
from voxprior.io.dicom.slice_order import lean, right_handed
from voxprior.io.dicom.uids import Uids
from voxprior.volume import Volume

SHAPE = (5, 4, 3)


@st.composite
def affines(draw: st.DrawFn) -> NDArray[np.float64]:
    """Turned in any way, of any spacing, either hand."""
    turns = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.3, 8.0)] * 3))
    signs = draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turns, degrees=True).as_matrix() * spacing * np.array(signs)
    affine[:3, 3] = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    return affine


def _volume(affine: NDArray[np.float64], seed: int = 0) -> Volume:
    return Volume(np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32), affine)


def _write(folder: Path, volume: Volume, modality: str = "MR", uids: Uids = "new", **derived: str) -> list[Path]:
    folder.mkdir()
    source = Volume(volume.data, volume.affine, {"dicom": new_study(modality, "digest", uids)})
    return write_dicom(folder, volume, source, Derivation("for a test", {"a": 1}, **derived), uids)


@given(affines())
def test_no_voxel_moves_when_slices_are_put_in_order(affine: NDArray[np.float64]) -> None:
    """A value keeps its millimetres whichever way the slices are numbered, and the way back is exact in values."""
    volume = _volume(affine)
    stored = right_handed(volume)
    assert np.linalg.det(stored.affine) > 0
    turned = np.linalg.det(affine) < 0
    for i, j, k in ((0, 0, 0), (4, 1, 2), (2, 3, 1)):
        other = SHAPE[2] - 1 - k if turned else k
        assert stored.data[i, j, other] == volume.data[i, j, k]
        np.testing.assert_allclose(stored.affine @ [i, j, other, 1], affine @ [i, j, k, 1], atol=1e-9)
    again = in_order_of(stored, affine)
    np.testing.assert_array_equal(again.data, volume.data)
    np.testing.assert_allclose(again.affine, affine, atol=1e-9)


@given(affines(), st.floats(0.01, 0.3))
def test_shear_is_measured_where_it_shows(affine: NDArray[np.float64], cosine: float) -> None:
    """Rounding is not told of; a lean of the slices is, as the distance of the last one from where it should be."""
    require_straight(affine, SHAPE, "x")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    unit = affine[:3, :3] / lengths
    sheared = affine.copy()
    sheared[:3, 2] = (unit[:, 2] * np.sqrt(1 - cosine**2) + unit[:, 0] * cosine) * lengths[2]
    expected = cosine * min(4 * lengths[0], 2 * lengths[2])
    assert lean(sheared, SHAPE) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(InputError, match="sheared"):
        require_straight(sheared, (50, 50, 50), "x")


@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_a_series_of_nobody(modality: str, tmp_path: Path) -> None:
    """Patient and study are empty and there, space and study are new, and no source or scanner is made up."""
    images = [dcmread(path) for path in _write(tmp_path / "a", _volume(np.diag([1.0, 2, 3, 1])), modality)]
    first = images[0]
    empty = "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber"
    for keyword in (*empty.split(), "ReferringPhysicianName", "Laterality"):
        assert keyword in first and not first[keyword].value, keyword
    assert first.Modality == modality and list(first.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert first.SeriesDescription == "AI-restored, not for diagnosis"
    assert "SourceImageSequence" not in first
    (made,) = first.ContributingEquipmentSequence
    assert made.Manufacturer == "Voxprior"
    assert {image.StudyInstanceUID for image in images} == {first.StudyInstanceUID}
    uids = {first.StudyInstanceUID, first.SeriesInstanceUID, first.FrameOfReferenceUID, first.SOPInstanceUID}
    assert len(uids) == 4 and all(uid.startswith("2.25.") for uid in uids)
    other = dcmread(_write(tmp_path / "b", _volume(np.diag([1.0, 2, 3, 1])), modality)[0])
    assert uids.isdisjoint({other.StudyInstanceUID, other.SeriesInstanceUID, other.FrameOfReferenceUID})


def test_uids_and_files_follow_from_content_when_asked(tmp_path: Path) -> None:
    """The same again is the same file, with no time in it; other voxels share the study and not the series."""
    affine = np.diag([1.0, 2, 3, 1])
    first, second = (_write(tmp_path / n, _volume(affine), uids="content") for n in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    other, one = (dcmread(p[0]) for p in (_write(tmp_path / "c", _volume(affine, 1), uids="content"), first))
    assert other.StudyInstanceUID == one.StudyInstanceUID and other.SeriesInstanceUID != one.SeriesInstanceUID


def test_what_nobody_measured_says_so_in_every_place(tmp_path: Path) -> None:
    """Guards a synthetic image that is taken for a patient's."""
    image = dcmread(_write(tmp_path / "a", _volume(np.eye(4)), notice=SYNTHETIC)[0])
    assert image.SeriesDescription == "synthetic, no patient, not for diagnosis"
    assert image.DerivationDescription.startswith(SYNTHETIC)
    assert image.ContributingEquipmentSequence[0].ContributionDescription == SYNTHETIC
    assert image.ManufacturerModelName == "MR synthesis"


def test_one_slice_is_read_again_but_is_no_volume_to_restore(tmp_path: Path) -> None:
    """A reconstruction may be of one slice; its distance is that which the header states."""
    affine = np.diag([2.0, 2.0, 7.0, 1.0])
    volume = Volume(_volume(affine).data[:, :, :1], affine)
    _write(tmp_path / "a", volume)
    again = read_written(tmp_path / "a")
    np.testing.assert_allclose(again.affine, affine, atol=1e-9)
    np.testing.assert_allclose(again.data, volume.data, atol=np.ptp(volume.data) / 120_000)
    with pytest.raises(InputError, match="at least two"):
        read_dicom(tmp_path / "a")
