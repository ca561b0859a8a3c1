"""Series packed by DCMTK are read as DCMTK unpacks them: lossless ones bit for bit as they were, others as it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicoms import Series, thick
from voxprior.io.dicom import read_dicom

pytestmark = pytest.mark.external

LOSSLESS = {
    "process 14, predictor 1": ("dcmcjpeg", "+e1"),
    "process 14, predictor 6": ("dcmcjpeg", "+el", "+sv", "6"),
    "JPEG-LS": ("dcmcjpls", "+el"),
    "JPEG-LS in fragments of a kilobyte": ("dcmcjpls", "+el", "+fs", "1"),
}
LOSSY = {
    "baseline": ("dcmcjpeg", "+eb", "+q", "95"),
    "extended": ("dcmcjpeg", "+ee", "+q", "95"),
    "near-lossless": ("dcmcjpls", "+en", "+md", "2"),
}


def _series(kind: str) -> Series:
    """Of 8, 12 or 16 bits, with sign or without."""
    sign, bits = kind.split()
    series = thick("CT", shape=(4, 60, 50))
    values = series.voxels.astype(np.int32) * {"8": 1, "12": 1, "16": 20}[bits] // (5 if bits == "8" else 1)
    series.voxels = (values - 700).astype(np.int16) if sign == "signed" else values.astype(np.uint16)

    def fewer(ds: Dataset, index: int) -> None:
        ds.BitsStored, ds.HighBit = int(bits), int(bits) - 1
        ds.SmallestImagePixelValue = ds.LargestImagePixelValue = None

    series.change = fewer
    return series


def _packed(paths: list[Path], to: Path, words: tuple[str, ...], ask: Callable[..., str]) -> Path:
    to.mkdir()
    for path in paths:
        ask(*words, path, to / path.name)
    return to


@pytest.mark.parametrize("packing", LOSSLESS)
@pytest.mark.parametrize("kind", ["unsigned 8", "unsigned 12", "unsigned 16", "signed 12", "signed 16", "enhanced 16"])
def test_lossless_packings_of_dcmtk(packing: str, kind: str, ask: Callable[..., str], tmp_path: Path) -> None:
    """Every voxel is what it was before."""
    series = _series(kind.replace("enhanced", "unsigned"))
    written = [series.write_enhanced(tmp_path / "in")] if "enhanced" in kind else series.write(tmp_path / "in")
    folder = _packed(written, tmp_path / "packed", LOSSLESS[packing], ask)
    np.testing.assert_array_equal(read_dicom(folder).data, series.values().astype(np.float32))


@pytest.mark.parametrize("packing", LOSSY)
@pytest.mark.parametrize("kind", ["unsigned 8", "unsigned 12"])
def test_lossy_packings_of_dcmtk(packing: str, kind: str, ask: Callable[..., str], tmp_path: Path) -> None:
    """As DCMTK unpacks them, to the rounding of two inverse cosine transforms; and a warning."""
    words = LOSSY[packing]
    written = _series(kind).write(tmp_path / "in")
    folder = _packed(written, tmp_path / "packed", words, ask)
    back = _packed(sorted(folder.iterdir()), tmp_path / "back", (words[0].replace("dcmc", "dcmd"),), ask)
    ours, theirs = read_dicom(folder), read_dicom(back)
    scale = max(image.slope for image in ours.header["dicom"].images)
    assert np.abs(ours.data - theirs.data).max() <= (0 if packing == "near-lossless" else scale)
    assert any("compressed with loss" in text for text in ours.header["warnings"])
