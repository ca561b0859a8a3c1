"""The preview of a reconstruction."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from voxprior.report.kspace_preview import kspace_preview


def picture(with_std: bool, shape: tuple[int, int] = (30, 20)) -> np.ndarray:
    rng = np.random.default_rng(0)
    image = (rng.random(shape) * np.exp(1j * rng.random(shape))).astype(np.complex64)
    error = rng.random(shape).astype(np.float32)
    data = kspace_preview(image, 2 * image, error, error if with_std else None)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (64, 4)])
def test_the_panels_are_gray_for_images_and_coloured_for_errors(shape: tuple[int, int]) -> None:
    """Guards the row: two gray panels, the uncertainty where there is one, and what is not explained."""
    three, four = picture(False, shape), picture(True, shape)
    assert four.shape[1] > three.shape[1] * 1.2
    assert four.shape[0] == three.shape[0]
    coloured = np.ptp(three.astype(int), axis=-1) > 40
    half = round(three.shape[1] * 0.55)
    assert not coloured[:, :half].any()
    assert coloured[:, half:].mean() > 0.1


def test_an_image_of_zeros_and_a_perfect_fit_can_be_shown() -> None:
    """Guards the windows: nothing is divided by a range of 0."""
    zeros = np.zeros((8, 8), np.complex64)
    assert kspace_preview(zeros, zeros, zeros.real, zeros.real).startswith(b"\x89PNG")
