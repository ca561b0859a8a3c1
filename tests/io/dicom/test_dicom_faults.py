"""Series that are not what they should be, and archives that mean harm: one line says what is wrong."""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import MPEG2MPML

from dicoms import Series, thick
from voxprior.errors import InputError
from voxprior.io.dicom import files, is_dicom, read_dicom


def _refused(path: Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_dicom(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([0, 1, 3, 4, 5], "1 slice missing between slices 2 and 3, 9.6 mm apart where others are 4.8"),
        ([0, 1, 2, 5], "2 slices missing between slices 3 and 4"),
        ([2], "all images show one slice"),
    ],
)
def test_missing_slices_are_found(order: list[int], words: str, tmp_path: Path) -> None:
    """A hole in the stack is named with its place and width."""
    thick().write(tmp_path, order)
    _refused(tmp_path, words)


def test_tilt_is_refused_with_its_angle(tmp_path: Path) -> None:
    """Guards against a sheared stack on a straight grid."""
    angle = np.deg2rad(12.0)
    series = thick("CT")
    series.row, series.column = (1.0, 0.0, 0.0), (0.0, float(np.cos(angle)), float(np.sin(angle)))
    series.step = (0.0, 0.0, 5.0)
    series.write(tmp_path)
    _refused(tmp_path, r"12\.0 degrees off their normal \(gantry tilt\)")


def _localizer(ds: Dataset, index: int) -> None:
    if index % 2:
        ds.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def _uneven(ds: Dataset, index: int) -> None:
    ds.ImagePositionPatient = [0, 0, 5.0 * index + (1.6 if index == 3 else 0)]


def _twice(ds: Dataset, index: int) -> None:
    if index == 4:
        ds.ImagePositionPatient = [-20, -30, 40 + 3 * 4.8]


def _smaller(ds: Dataset, index: int) -> None:
    if index == 2:
        ds.PixelSpacing = [1.0, 1.0]


def _without(keyword: str) -> Callable[[Dataset, int], None]:
    def change(ds: Dataset, index: int) -> None:
        del ds[keyword]

    return change


def _set(keyword: str, value: object) -> Callable[[Dataset, int], None]:
    return lambda ds, index: setattr(ds, keyword, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_localizer, "slices in 2 directions, as of a localizer"),
        (_uneven, "unevenly spaced"),
        (_twice, "2 different images at 54.4 mm where other places have 1"),
        (_smaller, "different size or pixel spacing"),
        (_without("ImagePositionPatient"), "has no position or orientation"),
        (_without("ImageOrientationPatient"), "has no position or orientation"),
        (_without("PixelSpacing"), "has no pixel spacing"),
        (_set("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "has no position or orientation"),
        (_set("RescaleSlope", 0), "rescale slope"),
        (_set("SamplesPerPixel", 3), "a colour image"),
        (_set("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7"), "no MR or CT image here among 6 other"),
        (_set("Rows", 4000), "damaged|pixels of"),
    ],
)
def test_what_is_no_stack_is_refused(change: Callable[[Dataset, int], None], words: str, tmp_path: Path) -> None:
    """Every way in which a series is no even stack of images has its own line."""
    thick(change=change).write(tmp_path)
    _refused(tmp_path, words)


def test_thickness_that_is_missing_or_absurd_is_doubted(tmp_path: Path) -> None:
    """A thickness that cannot be is not used, and a warning says so."""
    for name, thickness, words in (("a", None, "no slice thickness"), ("b", 40.0, "is not believed")):
        thick(thickness=thickness).write(tmp_path / name)
        volume = read_dicom(tmp_path / name)
        assert volume.header["thickness"] is None
        assert any(words in text for text in volume.header["warnings"])


def test_constant_series_is_nothing_to_restore(tmp_path: Path) -> None:
    """An empty series is an error and no division by zero."""
    Series(np.full((4, 8, 8), 5, np.uint16)).write(tmp_path)
    _refused(tmp_path, "every voxel is 5")


def test_cut_files_are_refused(tmp_path: Path) -> None:
    """A transfer that broke off is told, not guessed at."""
    path = thick().write(tmp_path)[1]
    path.write_bytes(path.read_bytes()[:-100])
    _refused(tmp_path, "damaged")
    path.write_bytes(path.read_bytes()[:200])
    _refused(tmp_path, "damaged|no MR or CT|missing|no position")


def test_compression_without_a_decoder_is_named(tmp_path: Path) -> None:
    """The line names the packing, so that the user can unpack it."""
    path = thick().write(tmp_path)[0]
    ds = dcmread(path)
    item, end = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
    ds.PixelData = item + bytes(4) + item + b"\x04\0\0\0abcd" + end + bytes(4)
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = MPEG2MPML
    ds.save_as(path, enforce_file_format=True)
    _refused(tmp_path, "pixels packed as MPEG2.*decompress")


def test_deflated_file_is_refused_unopened(tmp_path: Path) -> None:
    """Guards memory: such a file is unpacked before any size in it can be seen."""
    meta = thick().write(tmp_path / "x")[0].read_bytes()
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = bomb.compress(bytes(1 << 24)) + bomb.flush()
    head = meta.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    group = head[144:]
    length = struct.unpack("<I", meta[140:144])[0] + 2
    head = head[:140] + struct.pack("<I", length) + group
    at = head.index(b"1.2.840.10008.1.2.1.99")
    head = head[: at - 2] + struct.pack("<H", 22) + head[at:]
    (tmp_path / "bomb.dcm").write_bytes(head[: 144 + length] + body)
    _refused(tmp_path / "bomb.dcm", "deflated as a whole")


def test_too_many_voxels_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """Guards memory: the headers alone say how much it would be."""
    thick().write(tmp_path)
    with pytest.raises(InputError, match="1920 voxels in the series; at most 1000"):
        read_dicom(tmp_path, voxel_cap=1000)


@pytest.mark.parametrize("frames", ["-1000000", "-1", "0"])
def test_a_count_of_frames_below_one_hides_no_voxels(frames: str, tmp_path: Path) -> None:
    """Guards the cap: one image that claims fewer frames than none must not make room for the others."""

    def change(ds: Dataset, index: int) -> None:
        if index == 0:
            ds.add_new("NumberOfFrames", "IS", frames)

    thick(change=change).write(tmp_path)
    with pytest.raises(InputError, match="1920 voxels in the series; at most 1000"):
        read_dicom(tmp_path, voxel_cap=1000)


def _zip(path: Path, name: str, content: bytes, **values: object) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        for key, value in values.items():
            setattr(info, key, value)
        archive.writestr(info, content)
    return path


@pytest.mark.parametrize("name", ["../evil.dcm", "/etc/evil.dcm", "a/../../evil.dcm", "..\\evil.dcm", "C:\\evil.dcm"])
def test_archive_that_reaches_outside_is_refused(name: str, tmp_path: Path) -> None:
    """Guards against path traversal, in all its spellings."""
    inside = thick().write(tmp_path / "x")[0].read_bytes()
    path = _zip(tmp_path / "a.zip", name, inside)
    _refused(path, "names a file outside the archive")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "x"]


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against zip bombs, by bytes and by members."""
    path = _zip(tmp_path / "a.zip", "big.dcm", bytes(1 << 20))
    monkeypatch.setattr(files, "MOST_ZIPPED", 1 << 19)
    _refused(path, "unpacks to 1048576 bytes")
    monkeypatch.setattr(files, "MOST_FILES", 0)
    _refused(path, "holds more than 0 files")


def test_archive_that_is_damaged_or_empty_is_refused(tmp_path: Path) -> None:
    """An archive that cannot be read says whether it is cut, encrypted or without images."""
    path = _zip(tmp_path / "a.zip", "x.txt", b"hello")
    _refused(path, "no MR or CT image here")
    path.write_bytes(path.read_bytes()[:-10])
    _refused(path, "not a zip archive")
    encrypted = bytearray(_zip(tmp_path / "b.zip", "x.dcm", bytes(200)).read_bytes())
    at = encrypted.index(b"PK\x01\x02")
    encrypted[at + 8] |= 1
    (tmp_path / "b.zip").write_bytes(encrypted)
    _refused(tmp_path / "b.zip", "is encrypted")
    foreign = _zip(tmp_path / "c.zip", "\u00e9.dcm", bytes(200))
    foreign.write_bytes(foreign.read_bytes().replace("\u00e9".encode(), b"\xff\xfe"))
    _refused(foreign, "the archive is damaged")


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_are_damaged_are_told_whatever_packed_them(kind: int, tmp_path: Path) -> None:
    """Guards against a traceback: each library has errors of its own."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("x.dcm", bytes(range(256)) * 8)
    content = bytearray(path.read_bytes())
    content[44:64] = b"\xff" * 20
    path.write_bytes(content)
    _refused(path, "the archive is damaged|cannot be read")


def test_sequences_without_end_are_refused(tmp_path: Path) -> None:
    """Guards the stack: a header nested thousands deep ends in a line."""
    paths = thick().write(tmp_path)
    depth = 3000
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    start = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff"
    ends = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    raw = paths[0].read_bytes()
    at = raw.index(b"\x10\x00\x10\x00PN")
    paths[0].write_bytes(raw[:at] + (start + item) * depth + ends * depth + raw[at:])
    _refused(tmp_path, "nested without end|damaged")


def test_missing_things_are_refused(tmp_path: Path) -> None:
    """A name without a file, and a file that only claims to be DICOM."""
    _refused(tmp_path / "nothing", "no such file or folder")
    (tmp_path / "a.dcm").write_bytes(b"no image")
    _refused(tmp_path / "a.dcm", "not a DICOM file")
    assert is_dicom(tmp_path / "a.dcm"), "by its name it claims to be one, and the reader says why it is not"


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pydicom the line says what to install."""
    thick().write(tmp_path)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    _refused(tmp_path, r"needs the extra 'dicom'; pip install 'voxprior\[dicom\]'")
