"""Figures a plane: means over slices, by the axis that a plane is normal to."""

import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.metrics import psnr, ssim
from voxprior.metrics.planes import plane_psnr, plane_ssim

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}


@pytest.fixture
def truth():
    return np.random.default_rng(0).random((12, 13, 14)).astype(np.float32)


def test_psnr_of_a_plane_is_the_mean_over_its_slices(truth):
    """By a loop; slices with a small error raise the mean of the plane that they belong to."""
    image = truth + 0.1 * np.linspace(0.1, 1, 14, dtype=np.float32)
    found = plane_psnr(image, truth, 1.0, PLANES)
    assert found["axial"] == pytest.approx(np.mean([psnr(image[..., k], truth[..., k], 1.0) for k in range(14)]))
    assert found["coronal"] == pytest.approx(psnr(image, truth, 1.0), abs=1e-4)
    assert found["axial"] > found["sagittal"] + 1


def test_slices_that_are_exact_do_not_make_the_mean_infinite(truth):
    """A single empty slice would otherwise hide all the others."""
    image = truth.copy()
    image[..., 3:] += 0.1
    found = plane_psnr(image, truth, 1.0, PLANES)
    assert found["axial"] == pytest.approx(20, abs=1e-4)
    assert plane_psnr(truth, truth, 1.0, PLANES) == dict.fromkeys(PLANES, np.inf)


def test_ssim_of_a_plane_is_the_mean_over_its_slices(truth):
    """By a loop, for one plane."""
    image = truth + 0.05 * np.random.default_rng(1).standard_normal(truth.shape).astype(np.float32)
    expected = np.mean([ssim(image[i], truth[i], 1.0) for i in range(12)])
    assert plane_ssim(image, truth, 1.0, PLANES)["sagittal"] == pytest.approx(expected)


@pytest.mark.parametrize("figure", [plane_psnr, plane_ssim])
def test_a_single_slice_has_no_planes(figure, truth):
    """The caller would otherwise get rows of pixels as slices."""
    with pytest.raises(InputError, match="three"):
        figure(truth[0], truth[0], 1.0, PLANES)
