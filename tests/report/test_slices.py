"""Pictures of volumes and of runs show the right slices the right way round."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from voxprior.report.slices import planes_picture, slice_picture, slices_picture
from voxprior.volume import Volume

WORLD = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def _stored(codes: str) -> Volume:
    """One bright octant at right, anterior, superior, in any storage order; voxels of 1, 2 and 3 mm."""
    data = np.ones((13, 11, 9), dtype=np.float32)
    data[6:, 5:, 4:] = 9
    order = [WORLD[c][0] for c in codes]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, code in enumerate(codes):
        affine[WORLD[code][0], axis] = WORLD[code][1] * (1.0 + WORLD[code][0])
    flipped = tuple(axis for axis, code in enumerate(codes) if WORLD[code][1] < 0)
    return Volume(np.flip(data.transpose(order), flipped), affine)


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRA", "PIL", "ASR"])
def test_slices_of_any_storage_order_are_seen_alike(codes: str) -> None:
    """Guards orientation: a snapshot's slices, cut along array axes, look as the volume itself does."""
    volume = _stored(codes)
    slices = [np.take(volume.data, n // 2, axis=a) for a, n in enumerate(volume.data.shape)]
    plain = _pixels(planes_picture({"": _stored("RAS")}))
    np.testing.assert_array_equal(_pixels(slices_picture(slices, volume.affine)), plain)
    np.testing.assert_array_equal(_pixels(planes_picture({"": volume})), plain)


def test_right_and_front_are_at_the_left_and_the_crown_is_up() -> None:
    """Guards the view of radiologists: the bright octant is upper left in every plane."""
    page = _pixels(planes_picture({"": _stored("RAS")}))
    width = page.shape[1] // 3
    for k in range(3):
        rows, columns = np.nonzero(page[20:, k * width : (k + 1) * width] > 240)
        seen_rows, seen_columns = np.nonzero(page[20:, k * width : (k + 1) * width] == 0)
        assert rows.mean() < seen_rows.mean() and columns.mean() < seen_columns.mean()


def test_a_row_for_each_volume() -> None:
    """Guards the page of several samples: higher than that of one, as wide."""
    one, two = (_pixels(planes_picture({str(k): _stored("RAS") for k in range(n)})) for n in (1, 2))
    assert two.shape[1] == one.shape[1] and two.shape[0] > 1.8 * one.shape[0]


def test_a_slice_alone_is_seen_as_it_is_stored() -> None:
    """Guards pictures of k-space slices: row 0 at the top, column 0 at the left."""
    image = np.ones((20, 16), dtype=np.float32)
    image[:8, :5] = 9
    page = _pixels(slice_picture(image))
    rows, columns = np.nonzero(page > 240)
    assert rows.mean() < 0.45 * page.shape[0] and columns.mean() < 0.4 * page.shape[1]


def test_an_empty_volume_can_be_shown() -> None:
    """Guards the window of a volume whose voxels are all the same."""
    assert _pixels(planes_picture({"": Volume(np.zeros((9, 9, 9), np.float32), np.eye(4))})).size
