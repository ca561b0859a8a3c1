"""Compressed series hold the values that were compressed; what is cut short is told, and never filled up."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import RLELossless

import lossless_jpeg
from dicoms import Series, thick
from voxprior.errors import InputError
from voxprior.io.dicom import Derivation, read_dicom, write_dicom
from voxprior.io.dicom.packed import JPEG_2000

FAMILY = "1.2.840.10008.1.2.4."
Encoder = Callable[[NDArray[Any], int], bytes]


def _jpeg_2000(values: NDArray[Any], bits: int) -> bytes:
    """By Pillow's OpenJPEG, which stores 16 bits without sign whatever they mean."""
    stream = io.BytesIO()
    Image.fromarray(values.astype(np.uint16)).save(stream, "JPEG2000", no_jp2=True, irreversible=False)
    return stream.getvalue()


def _jpeg_2000_with_sign(values: NDArray[Any], bits: int) -> bytes:
    return imagecodecs.jpeg2k_encode(values, level=0, codecformat="J2K", reversible=True)


def _high_throughput(values: NDArray[Any], bits: int) -> bytes:
    """By OpenJPH; what reads it is OpenJPEG."""
    return imagecodecs.htj2k_encode(values, reversible=True)


def _jpeg_ls(values: NDArray[Any], bits: int) -> bytes:
    return imagecodecs.jpegls_encode(values.view(np.uint16), level=0)


LOSSLESS: dict[str, tuple[str, Encoder]] = {
    "JPEG": ("70", lossless_jpeg.encode),
    "JPEG of any predictor": ("57", lossless_jpeg.encode),
    "JPEG-LS": ("80", _jpeg_ls),
    "JPEG 2000": ("90", _jpeg_2000),
    "JPEG 2000 with sign": ("90", _jpeg_2000_with_sign),
    "high-throughput JPEG 2000": ("201", _high_throughput),
}


def _pack(path: Path, syntax: str, encode: Encoder, change: Callable[[bytes], bytes] = bytes) -> None:
    """Replace the pixels of a file by their codestreams, one a frame."""
    ds = dcmread(path)
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    streams = [change(encode(np.ascontiguousarray(f), ds.BitsStored)) for f in frames]
    ds.PixelData = encapsulate(streams)
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = FAMILY + syntax
    ds.save_as(path, enforce_file_format=True)


def _signed(modality: str = "CT", bits: int = 16) -> Series:
    """Hounsfield units stored with their sign, in so many of 16 bits."""
    series = thick(modality)
    series.voxels = (series.voxels.astype(np.int32) * (1 if bits == 12 else 30) - 700).astype(np.int16)
    series.intercept = 0.0

    def fewer(ds: Dataset, index: int) -> None:
        ds.BitsStored, ds.HighBit = bits, bits - 1

    series.change = fewer
    return series


@pytest.mark.parametrize("packing", LOSSLESS)
@pytest.mark.parametrize("kind", ["unsigned", "signed", "signed 12 bit", "enhanced"])
def test_lossless_packing_gives_the_values_back(packing: str, kind: str, tmp_path: Path) -> None:
    """Bit for bit what was packed, with sign and rescaling, classic and multi-frame."""
    plain = thick("CT", slope=2.0, intercept=-9.0)
    series = {"signed": _signed(), "signed 12 bit": _signed(bits=12)}.get(kind, plain)
    paths = [series.write_enhanced(tmp_path)] if kind == "enhanced" else series.write(tmp_path)
    for path in paths:
        _pack(path, *LOSSLESS[packing])
    volume = read_dicom(tmp_path)
    np.testing.assert_array_equal(volume.data, series.values().astype(np.float32))
    assert not any("loss" in text for text in volume.header["warnings"])


@given(hnp.arrays(np.int16, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_any_values_survive_lossless_jpeg(values: NDArray[np.int16]) -> None:
    """Differences of all sizes, of 16 bits with sign: Annex H by two who never met."""
    stream = lossless_jpeg.encode(values, 16)
    np.testing.assert_array_equal(imagecodecs.jpeg8_decode(stream).view(np.int16), values)


@pytest.mark.parametrize("extended", [False, True])
def test_frames_in_several_fragments(extended: bool, tmp_path: Path) -> None:
    """Guards multi-frame files whose frames are in pieces, and those with 64-bit offsets."""
    series = thick("MR")
    path = series.write_enhanced(tmp_path)
    ds = dcmread(path)
    streams = [lossless_jpeg.encode(frame, 16) for frame in series.voxels]
    if extended:
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(streams)
    else:
        ds.PixelData = encapsulate(streams, fragments_per_frame=3)
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = FAMILY + "70"
    ds.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(read_dicom(tmp_path).data, series.values().astype(np.float32))


@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"\0\0\0"])
def test_what_fills_a_frame_up_is_no_part_of_it(filler: bytes, tmp_path: Path) -> None:
    """Guards frames made even with a zero, or as JPEG itself fills, which some scanners do."""
    for path in thick().write(tmp_path):
        _pack(path, "70", lossless_jpeg.encode, lambda stream: stream + filler)
    np.testing.assert_array_equal(read_dicom(tmp_path).data, thick().values().astype(np.float32))


LOSSY: dict[str, tuple[str, int, Encoder]] = {
    "baseline": ("50", 8, lambda v, bits: imagecodecs.jpeg8_encode(v.astype(np.uint8), level=98)),
    "extended": ("51", 12, lambda v, bits: imagecodecs.jpeg8_encode(v, level=98, bitspersample=12)),
    "near-lossless": ("81", 12, lambda v, bits: imagecodecs.jpegls_encode(v, level=2)),
}


@pytest.mark.parametrize("packing", LOSSY)
def test_loss_is_told_and_stated_by_what_is_derived(packing: str, tmp_path: Path) -> None:
    """Near what was packed; a warning, and an attribute that every further image keeps, though this header lacks it."""
    syntax, bits, encode = LOSSY[packing]
    series = thick("MR")
    series.voxels = (series.voxels // (1 if bits == 12 else 4)).astype(np.uint16)

    def fewer(ds: Dataset, index: int) -> None:
        ds.BitsStored, ds.HighBit = bits, bits - 1

    series.change = fewer
    for path in series.write(tmp_path / "in"):
        _pack(path, syntax, encode)
    volume = read_dicom(tmp_path / "in")
    assert 0 < np.abs(volume.data - series.values()).max() < 12
    assert any("compressed with loss" in text for text in volume.header["warnings"])
    (tmp_path / "out").mkdir()
    written = write_dicom(tmp_path / "out", volume, volume, Derivation("a copy"))
    assert all(dcmread(path).LossyImageCompression == "01" for path in written)


def _refused(folder: Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_dicom(folder)
    assert "\n" not in str(caught.value) and "IM0000" in str(caught.value)


@pytest.mark.parametrize("packing", LOSSLESS)
@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.98])
def test_a_frame_that_is_cut_short_is_refused(packing: str, part: float, tmp_path: Path) -> None:
    """Guards against codecs that fill up with grey what is missing, or seek it for ever."""
    for path in thick().write(tmp_path):
        _pack(path, *LOSSLESS[packing], lambda stream: stream[: int(part * len(stream))])
    _refused(tmp_path, "cut short or damaged; export it again")


def test_a_run_length_frame_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    """The packing that pydicom itself unpacks."""
    for path in thick().write(tmp_path):
        ds = dcmread(path)
        ds.compress(RLELossless)
        ds.PixelData = ds.PixelData[:-120]
        ds.save_as(path, enforce_file_format=True)
    _refused(tmp_path, "damaged")


def test_a_codestream_of_another_size_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """Guards the memory: a frame that claims to be of 65535 x 65535."""
    for path in thick().write(tmp_path):
        _pack(path, "70", lossless_jpeg.encode, lambda s: s.replace(b"\x10\0\x14\0\x10", b"\x10" + b"\xff" * 4))
    _refused(tmp_path, r"pixels of \(65535, 65535\) x 1 where the header says \(20, 16\)")


@pytest.mark.parametrize("packing", LOSSLESS)
def test_damage_is_one_line_or_values(packing: str, tmp_path: Path) -> None:
    """Bytes changed anywhere end no process: they are refused in a line, or, where no codec can tell, are values."""
    rng = np.random.default_rng(5)
    syntax, encode = LOSSLESS[packing]
    series = thick(shape=(2, 20, 16))
    for trial in range(15):

        def damaged(stream: bytes) -> bytes:
            changed = bytearray(stream)
            for at in rng.integers(0, len(stream), 4):
                changed[at] = rng.integers(256)
            return bytes(changed)

        folder = tmp_path / str(trial)
        for path in series.write(folder):
            _pack(path, syntax, encode, damaged)
        try:
            assert read_dicom(folder).data.shape == (16, 20, 2)
        except InputError as error:
            assert "\n" not in str(error)


def test_without_codecs_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the line for an installation by hand."""
    for path in thick().write(tmp_path):
        _pack(path, "70", lossless_jpeg.encode)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    _refused(tmp_path, r"JPEG lossless .* need the extra 'dicom'; pip install 'voxprior\[dicom\]'")


def test_all_packings_of_a_family_are_named_once() -> None:
    """Guards the table: the identifiers are of DICOM PS3.6, annex A."""
    assert set(JPEG_2000) == {FAMILY + n for n in ("90", "91", "201", "202", "203")}
