"""Metrics against closed forms and against scikit-image."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from voxprior.errors import InputError
from voxprior.metrics import data_range, foreground, nmse, psnr, ssim


def _pair(shape, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    truth = gaussian_filter(rng.standard_normal(shape), 1.5)
    truth = (truth / np.abs(truth).max()).astype(np.float32)
    return (truth + noise * rng.standard_normal(shape)).astype(np.float32), truth


def test_psnr_of_a_constant_error_is_its_closed_form():
    """An offset of 1 % of the range is 40 dB, whatever the unit."""
    truth = np.linspace(0, 800, 4**3).reshape(4, 4, 4)
    assert psnr(truth + 5, truth, 500.0) == pytest.approx(40.0, abs=1e-9)


def test_psnr_of_known_noise():
    """White noise of std s has PSNR -20 log10(s / range), within four standard errors of the sampled
    variance.
    """
    n = 32**3
    noise = 0.05 * np.random.default_rng(1).standard_normal((32, 32, 32))
    tolerance = 4 * 10 / np.log(10) * np.sqrt(2 / n)
    assert psnr(noise, np.zeros_like(noise), 1.0) == pytest.approx(-20 * np.log10(0.05), abs=tolerance)


def test_psnr_equals_scikit_image():
    """The formula is the field's."""
    x, truth = _pair((12, 13, 14))
    assert psnr(x, truth, 0.7) == pytest.approx(peak_signal_noise_ratio(truth, x, data_range=0.7), abs=1e-4)


def test_psnr_in_a_mask_ignores_the_rest():
    """A foreground figure must not be diluted by an empty background."""
    truth = np.zeros((6, 6, 6))
    x = truth.copy()
    x[:3] = 0.1
    x[3:] = 9.0
    mask = np.zeros(truth.shape, dtype=bool)
    mask[:3] = True
    assert psnr(x, truth, 1.0, mask) == pytest.approx(20.0)


def test_psnr_of_a_float32_volume_is_summed_in_float64():
    """A float32 running sum over many voxels would lose the small errors."""
    truth = np.zeros((64, 256, 256), dtype=np.float32)
    x = np.full_like(truth, 1e-3)
    x[0, 0, 0] = 300.0
    expected = (300.0**2 + (truth.size - 1) * float(np.float32(1e-3)) ** 2) / truth.size
    assert psnr(x, truth, 1.0) == pytest.approx(-10 * np.log10(expected), abs=1e-6)


def test_equal_images_have_infinite_psnr_and_ssim_one():
    """The ideal values of the two figures."""
    _, truth = _pair((12, 12, 12))
    assert psnr(truth, truth, 1.0) == np.inf
    assert ssim(truth, truth, 1.0) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_useless_range_is_refused(bad):
    """A range of zero would give a figure that compares with nothing."""
    with pytest.raises(InputError, match="data range"):
        psnr(np.ones((12, 12)), np.ones((12, 12)), bad)
    with pytest.raises(InputError, match="data range"):
        ssim(np.ones((12, 12)), np.ones((12, 12)), bad)


def test_other_shapes_and_empty_masks_are_refused():
    """Broadcasting must not make a comparison of two grids look like a figure."""
    with pytest.raises(InputError, match="one grid"):
        psnr(np.ones((4, 4, 1)), np.ones((4, 4, 4)), 1.0)
    with pytest.raises(InputError, match="same grid"):
        psnr(np.ones((4, 4)), np.ones((4, 4)), 1.0, np.ones(4, dtype=bool))
    with pytest.raises(InputError, match="no voxel"):
        psnr(np.ones((4, 4)), np.ones((4, 4)), 1.0, np.zeros((4, 4), dtype=bool))


@pytest.mark.parametrize("shape", [(40, 41), (13, 30, 17), (30, 12, 11)])
def test_ssim_equals_scikit_image_over_valid_windows(shape):
    """The slab by slab float32 sum is the float64 SSIM of the whole image, in two and three dimensions."""
    x, truth = _pair(shape)
    expected = structural_similarity(
        truth.astype(float),
        x.astype(float),
        data_range=1.6,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(x, truth, 1.6) == pytest.approx(expected, abs=2e-6)


def test_ssim_of_a_slice_is_two_dimensional():
    """A depth-1 volume padded with zeros reads .98 where the slice has .57: it must keep its 2-D value."""
    rng = np.random.default_rng(0)
    image = gaussian_filter(rng.standard_normal((128, 128)), 4)
    image = (image - image.min()) / np.ptp(image) * 2 - 1
    truth = -np.ones((128, 128))
    truth[32:96, 32:96] = image[32:96, 32:96]
    noisy = truth + 0.08 * rng.standard_normal(truth.shape)
    flat = ssim(noisy, truth, 2.0)
    assert flat == pytest.approx(0.57, abs=0.05)
    assert ssim(noisy[None], truth[None], 2.0) == flat


def test_ssim_does_not_depend_on_the_unit():
    """Hounsfield-sized numbers must not lose digits in float32."""
    x, truth = _pair((24, 16, 16))
    assert ssim(4000 * x, 4000 * truth, 4000.0) == pytest.approx(ssim(x, truth, 1.0), abs=2e-6)


def test_ssim_refuses_an_image_below_the_window():
    """A window that does not fit would have to be padded, which inflates the figure."""
    with pytest.raises(InputError, match="window"):
        ssim(np.ones((40, 40, 5)), np.ones((40, 40, 5)), 1.0)


def test_nmse_sees_a_gain():
    """Normalising each image by its own maximum would hide a gain of two."""
    _, truth = _pair((8, 9, 10))
    assert nmse(2 * truth, truth) == pytest.approx(1.0, abs=1e-6)
    assert nmse(truth, truth) == 0
    with pytest.raises(InputError, match="zero everywhere"):
        nmse(truth, np.zeros_like(truth))


def test_range_is_the_stated_percentile():
    """One hot voxel must not set the range."""
    truth = np.ones((20, 20, 20))
    truth[0, 0, 0] = 1e6
    assert data_range(truth) == pytest.approx(1.0)
    with pytest.raises(InputError, match="signal"):
        data_range(np.zeros((5, 5, 5)))


def test_foreground_is_the_head_with_its_fluid_and_without_specks():
    """Ventricles count, a noise speck outside and the background do not."""
    grid = np.indices((32, 32, 32)) - 15.5
    radius = np.sqrt((grid**2).sum(0))
    truth = np.where(radius < 11, 100.0, 0.0)
    truth[radius < 4] = 2.0
    truth[1, 1, 1] = 90.0
    assert np.array_equal(foreground(truth), radius < 11)


def test_foreground_that_fills_the_volume_is_all_of_it():
    """A crop from the inside of a head has no background."""
    assert foreground(np.full((6, 6, 6), 3.0)).all()
