"""The preview shows the right voxels in the right place."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from voxprior.jobs.cubic import cubic
from voxprior.report.html import Entry, page
from voxprior.report.preview import PLANES, Oriented, preview
from voxprior.volume import Volume, slice_geometry


def volume(shape: tuple[int, int, int] = (20, 24, 10), affine: np.ndarray | None = None) -> Volume:
    data = np.random.default_rng(0).random(shape).astype(np.float32) + 1
    return Volume(data, np.diag([1.0, 1.0, 3.0, 1.0]) if affine is None else affine, {}, "DOE_JOHN.nii.gz")


def picture(scan: Volume, with_std: bool) -> np.ndarray:
    g = slice_geometry(scan)
    image = cubic(scan, g)
    return np.asarray(
        Image.open(io.BytesIO(preview(scan, g, image, image, image if with_std else None))).convert("RGB")
    )


def test_a_preview_is_a_dark_picture_with_a_colour_column_only_for_a_std() -> None:
    """Guards the columns: gray without an uncertainty; with one, colours at the right and a wider page."""
    plain, full = picture(volume(), False), picture(volume(), True)
    coloured = np.ptp(full.astype(int), axis=-1) > 40
    assert full.shape[1] > plain.shape[1] * 1.25
    assert not (np.ptp(plain.astype(int), axis=-1) > 40).any()
    assert coloured[:, : plain.shape[1] - 30].sum() == 0
    assert coloured.mean() > 0.02
    assert plain[:5].max() < 40


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRA", "PIL"])
def test_every_array_order_is_turned_to_the_same_view(codes: str) -> None:
    """Guards orientation: a bright corner at right, anterior, superior is found there from any storage order."""
    data = np.ones((6, 7, 8), dtype=np.float32)
    data[-1, -1, -1] = 9  # right, anterior, superior in RAS
    world = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    order = [world[c][0] for c in codes]
    stored = data.transpose(order)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, code in enumerate(codes):
        affine[world[code][0], axis] = world[code][1] * (1.0 + world[code][0])
    stored = np.flip(stored, [axis for axis, code in enumerate(codes) if world[code][1] < 0])
    view = Oriented.of(Volume(stored, affine))
    np.testing.assert_array_equal(view.data, data)
    assert view.spacing == (1.0, 2.0, 3.0)
    for plane in PLANES:
        cut = view.cut(plane, view.edge(plane.normal) - 0.1)
        assert cut.shape == (data.shape[plane.up], data.shape[plane.across])
        assert cut[-1, -1] == 9  # upper end of both axes


def test_panels_have_the_proportions_of_the_patient() -> None:
    """Guards the aspect in mm: a stack of 10 slices 3 mm apart is as high as 30 voxels of 1 mm."""
    thick = picture(volume((20, 20, 10)), False)
    fine = picture(volume((20, 20, 5), np.diag([1.0, 1.0, 6.0, 1.0])), False)
    assert abs(thick.shape[0] - fine.shape[0]) <= 2


def test_no_name_of_the_file_is_in_the_picture() -> None:
    """Guards privacy: neither the picture's metadata nor the page take the source's name."""
    scan = volume()
    g = slice_geometry(scan)
    data = preview(scan, g, cubic(scan, g), cubic(scan, g), None)
    assert b"DOE" not in data
    assert Image.open(io.BytesIO(data)).info.get("Software") == "Voxprior"


def test_a_page_escapes_every_text() -> None:
    """Guards against markup in file names and warnings."""
    values = {
        "notice": "n",
        "warnings": ["<script>alert(1)</script>"],
        "residual": 0.1,
        "certificate": {
            "residual_per_slice": [0.1],
            "noise": None,
            "noise_source": "unknown",
            "output_sha256": "00",
            "operator": {"kind": "slices"},
        },
        "settings": {"method": "<b>"},
        "seconds": 1,
        "network_calls": 0,
        "peak_memory_bytes": None,
        "weights": None,
        "versions": {},
    }
    text = page([Entry("<img src=x>.nii", values, b"png")])
    for raw in ("<script>", "<b>", "<img src=x>"):
        assert raw not in text
    assert "&lt;img src=x&gt;.nii" in text
