"""Series that derive from none, in an archive: Orthanc takes studies of nobody, keeps them apart and gives them back.

DCMTK stores, finds and fetches; nothing of the package's own node takes part.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pytest
from nibabel.orientations import io_orientation, ornt_transform
from pydicom import Dataset, dcmread
from scipy.spatial.transform import Rotation

import scans
from external.conftest import Ask
from external.orthanc import Archive, running
from phantoms import HEAD
from voxprior.cli.app import main
from voxprior.io.dicom.reading import read_written

pytestmark = pytest.mark.external

GEOMETRY = "ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness SpacingBetweenSlices Rows Columns"
VALUES = "BitsStored PixelRepresentation RescaleSlope RescaleIntercept FrameOfReferenceUID InstanceNumber"
COUNTS = {"recon": 3, "ct": 2, "generate": 3, "again": 3}
"""Series of each study: the image, what was invented, the phase; or the samples."""
KINDS = ("recon", "ct", "generate")


class Stored(NamedTuple):
    """Folders of a study each, by name, and the archive that they were stored in."""

    folder: Path
    archive: Archive

    def series(self, name: str) -> dict[Path, list[Path]]:
        """The images of each series of a study, by its folder."""
        found: dict[Path, list[Path]] = {}
        for path in sorted((self.folder / name).rglob("*.dcm")):
            found.setdefault(path.parent, []).append(path)
        return found

    def first(self, name: str) -> Dataset:
        """The first image of a study."""
        return dcmread(self.folder / name / "0001.dcm")


def _make(folder: Path) -> None:
    """A study of each command, and of ``generate`` another, as DICOM and the image beside it as NIfTI."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -10, 35], degrees=True).as_matrix() * [1, 1, -4]
    affine[:3, 3] = [12, -30, 44]
    made = [scans.scan(shift=shift, noise=1e-3) for shift in (0.0, 0.6, 1.2)]
    np.savez(folder / "k.npz", kspace=np.stack([one.kspace for one in made]), maps=made[0].maps, affine=affine)
    angles = np.arange(20) * 9.0
    views = HEAD.views(angles, (np.arange(45) - 22) * 1.0, [0.0, 4.0, 8.0], 1.0) * 0.0193 / 140
    np.savez(folder / "v.npz", sinogram=views, angles_deg=angles, pixel_mm=1.0, affine=affine)
    prior = ["generate", "--shape", "12", "16", "8", "--steps", "3", "--spacing", "1.5", "--samples", "2"]
    for name, words in {
        "recon": ["recon", "-i", folder / "k.npz", "--method", "sense", "--phase"],
        "ct": ["ct", "-i", folder / "v.npz", "--method", "fbp"],
        "generate": [*prior, "--seed", "1"],
        "again": [*prior, "--seed", "2"],
    }.items():
        assert main([*map(str, words), "-o", str(folder / f"{name}.nii.gz"), "-q"]) == 0
        assert main([*map(str, words), "-o", str(folder / name), "--dicom", "-q"]) == 0


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, ask: Ask) -> Iterator[Stored]:
    """Four studies of nobody, stored in one archive."""
    folder = tmp_path_factory.mktemp("studies")
    with running(folder, {}) as archive:
        _make(folder)
        for name in COUNTS:
            _store(ask, archive, folder / name)
        yield Stored(folder, archive)


def _store(ask: Ask, archive: Archive, folder: Path) -> None:
    ask("storescu", "-aec", "ORTHANC", "+sd", "+r", "+sp", "*.dcm", "127.0.0.1", str(archive.port), folder)


def _fetch(ask: Ask, archive: Archive, to: Path, **keys: str) -> list[Path]:
    """What the archive has under ``keys``, into the new folder ``to``."""
    to.mkdir()
    words = [word for key in keys.items() for word in ("-k", "=".join(key))]
    ask("getscu", "-aec", "ORTHANC", "-S", "+B", "-od", to, *words, "127.0.0.1", str(archive.port))
    return sorted(to.iterdir())


def _kept(archive: Archive, level: str, **tags: str) -> list[dict[str, Any]]:
    """What of a ``level`` the archive has with these tags."""
    found = [archive.ask(f"/{level}/{identifier}") for identifier in archive.ask(f"/{level}")]
    return [one for one in found if tags.items() <= one["MainDicomTags"].items()]


def test_each_study_is_one_and_each_series_whole(stored: Stored, ask: Ask) -> None:
    """Guards what an archive groups by: no study of nobody falls apart, none runs into another, twice is once."""
    archive = stored.archive
    for _ in range(2):
        assert len(archive.ask("/studies")) == len(COUNTS)
        for name, count in COUNTS.items():
            (study,) = _kept(archive, "studies", StudyInstanceUID=str(stored.first(name).StudyInstanceUID))
            assert len(study["Series"]) == len(stored.series(name)) == count
            for paths in stored.series(name).values():
                (series,) = _kept(archive, "series", SeriesInstanceUID=str(dcmread(paths[0]).SeriesInstanceUID))
                assert series["ParentStudy"] == study["ID"] and len(series["Instances"]) == len(paths)
        _store(ask, archive, stored.folder / "recon")
    (nobody,) = archive.ask("/patients")
    told = archive.ask(f"/patients/{nobody}")
    assert told["MainDicomTags"]["PatientID"] == "" and len(told["Studies"]) == len(COUNTS)


@pytest.mark.parametrize("name", KINDS)
def test_voxels_and_places_come_back(name: str, stored: Stored, ask: Ask, tmp_path: Path) -> None:
    """Guards the way through the archive, by C-GET: every image as it was sent, in bytes, values and millimetres."""
    for number, (folder, paths) in enumerate(stored.series(name).items()):
        first = dcmread(paths[0])
        keys = {"StudyInstanceUID": str(first.StudyInstanceUID), "SeriesInstanceUID": str(first.SeriesInstanceUID)}
        got = _fetch(ask, stored.archive, tmp_path / str(number), QueryRetrieveLevel="SERIES", **keys)
        back = {image.SOPInstanceUID: image for image in map(dcmread, got)}
        assert len(back) == len(got) == len(paths)
        for image in map(dcmread, paths):
            other = back[image.SOPInstanceUID]
            assert other.PixelData == image.PixelData
            for keyword in (*GEOMETRY.split(), *VALUES.split(), "PatientID", "PatientName"):
                assert other[keyword].value == image[keyword].value, keyword
        again, written = read_written(tmp_path / str(number)), read_written(folder)
        np.testing.assert_array_equal(again.data, written.data)
        np.testing.assert_array_equal(again.affine, written.affine)


@pytest.mark.parametrize("name", KINDS)
def test_the_archive_sees_a_volume(name: str, stored: Stored) -> None:
    """Guards what Orthanc makes of a series by itself: its slices in their order in space, and its voxels."""
    for folder, paths in stored.series(name).items():
        images = [dcmread(path) for path in paths]
        (series,) = _kept(stored.archive, "series", SeriesInstanceUID=str(images[0].SeriesInstanceUID))
        ordered = stored.archive.ask(f"/series/{series['ID']}/ordered-slices")
        assert ordered["Type"] == "Volume"
        tags = [stored.archive.ask(f"/{path}/simplified-tags") for path in _instances(ordered)]
        assert [one["SOPInstanceUID"] for one in tags] == [image.SOPInstanceUID for image in images]
        # Orthanc 1.10 cuts rescaled values off to whole numbers: taken are the stored ones, and its numbers beside them
        stack = np.load(io.BytesIO(stored.archive.ask(f"/series/{series['ID']}/numpy?rescale=false")))[..., 0]
        slope, intercept = (float(tags[0][f"Rescale{word}"]) for word in ("Slope", "Intercept"))
        written = read_written(folder).data
        np.testing.assert_allclose(stack.transpose(2, 1, 0) * slope + intercept, written, atol=0.01 * slope, rtol=1e-6)


def _instances(ordered: dict[str, Any]) -> list[str]:
    """Paths of the images of ``ordered-slices``, without the frame."""
    return [path.strip("/").partition("/frames")[0] for path in ordered["Slices"]]


@pytest.mark.parametrize("name", KINDS)
def test_a_study_in_one_heap_is_told_apart(name: str, stored: Stored, ask: Ask, tmp_path: Path) -> None:
    """Guards the geometry by judges alone: a study that comes back in one folder is, by dcm2niix, the NIfTI's image."""
    first = stored.first(name)
    uid = str(first.StudyInstanceUID)
    got = _fetch(ask, stored.archive, tmp_path / "heap", QueryRetrieveLevel="STUDY", StudyInstanceUID=uid)
    assert len(got) == sum(map(len, stored.series(name).values()))
    (tmp_path / "nii").mkdir()
    ask("dcm2niix", "-b", "n", "-d", "0", "-m", "n", "-f", "%j", "-o", tmp_path / "nii", tmp_path / "heap")
    made = list((tmp_path / "nii").iterdir())
    assert len(made) == COUNTS[name]
    (path,) = [path for path in made if path.name.startswith(str(first.SeriesInstanceUID))]
    image, expected = nibabel.load(path), nibabel.load(stored.folder / f"{name}.nii.gz")
    image = image.as_reoriented(ornt_transform(io_orientation(image.affine), io_orientation(expected.affine)))
    np.testing.assert_allclose(image.affine, expected.affine, atol=1e-4)
    step = float(first.RescaleSlope)
    np.testing.assert_allclose(image.get_fdata(), expected.get_fdata(), atol=0.51 * step, rtol=1e-6)


def test_a_study_of_nobody_is_found(stored: Stored, ask: Ask, tmp_path: Path) -> None:
    """Guards C-FIND: by the study alone its series come with their numbers of images, and the patient is empty."""
    uid = str(stored.first("generate").StudyInstanceUID)
    keys = ("QueryRetrieveLevel=SERIES", f"StudyInstanceUID={uid}", "SeriesInstanceUID", "SeriesDescription")
    words = [word for key in (*keys, "NumberOfSeriesRelatedInstances", "PatientID") for word in ("-k", key)]
    port = str(stored.archive.port)
    ask("findscu", "-aec", "ORTHANC", "-S", "-X", "-od", tmp_path, *words, "127.0.0.1", port)
    found = [dcmread(path, force=True) for path in sorted(tmp_path.glob("rsp*.dcm"))]
    expected = {dcmread(paths[0]).SeriesInstanceUID: len(paths) for paths in stored.series("generate").values()}
    assert {one.SeriesInstanceUID: int(one.NumberOfSeriesRelatedInstances) for one in found} == expected
    assert all(one.SeriesDescription.startswith("synthetic, no patient") and not one.PatientID for one in found)


def test_an_id_of_ones_own_keeps_the_study_together(ask: Ask, tmp_path: Path) -> None:
    """Guards the way that the documentation names for archives that want an ID: the study moves to that patient whole.

    Two runs from the same bytes with UIDs from content are one study, of which the series stay apart.
    """
    made = scans.scan(noise=1e-3)
    np.savez(tmp_path / "k.npz", kspace=made.kspace[None], maps=made.maps)
    for method in ("sense", "zero-filled"):
        words = ["recon", "-i", str(tmp_path / "k.npz"), "-o", str(tmp_path / method), "--method", method, "-q"]
        assert main([*words, "--dicom", "--uids", "content"]) == 0
    with running(tmp_path, {}) as archive:
        for method in ("sense", "zero-filled"):
            ask("dcmodify", "-nb", "-m", "PatientID=TEST-1", *sorted((tmp_path / method).rglob("*.dcm")))
            _store(ask, archive, tmp_path / method)
        (patient,), (study,) = (_kept(archive, level) for level in ("patients", "studies"))
        assert patient["MainDicomTags"]["PatientID"] == "TEST-1" and patient["Studies"] == [study["ID"]]
        count = sum(1 for _ in tmp_path.rglob("0*.dcm"))
        assert len(study["Series"]) == len(archive.ask("/instances")) == count, "one slice a series"
