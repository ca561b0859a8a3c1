"""The figures that others report, against scikit-image and closed forms."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from voxprior.errors import InputError
from voxprior.metrics import fastmri, fastmri_masked, hfs_sde


def _pair(shape, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.abs(gaussian_filter(rng.standard_normal(shape), 1.5)) * 700
    return np.abs(truth + noise * truth.max() * rng.standard_normal(shape)), truth


def test_fastmri_figures_are_those_of_its_own_evaluation():
    """There, NMSE by norms, PSNR and slice-wise SSIM by scikit-image with its defaults, range = volume maximum."""
    x, truth = _pair((4, 30, 41))
    truth[2] *= 0.2  # a dim slice is judged on the range of the volume, not on its own
    expected = np.mean([structural_similarity(t, v, data_range=truth.max()) for t, v in zip(truth, x, strict=True)])
    found = fastmri(x, truth)
    assert found.ssim == pytest.approx(expected, abs=1e-9)
    assert found.psnr == pytest.approx(peak_signal_noise_ratio(truth, x, data_range=truth.max()), abs=1e-9)
    assert found.nmse == pytest.approx(np.linalg.norm(truth - x) ** 2 / np.linalg.norm(truth) ** 2)


def test_a_slice_is_a_volume_of_one():
    """Two-dimensional images need no axis of length one."""
    x, truth = _pair((24, 25))
    assert fastmri(x, truth) == fastmri(x[None], truth[None])


def test_the_object_mask_takes_whole_windows_inside_and_keeps_the_range():
    """What lies outside the object, however wrong, changes nothing; the range stays that of the picture."""
    x, truth = _pair((40, 40))
    mask = np.zeros(truth.shape, dtype=bool)
    mask[12:28, 10:30] = True
    inside = fastmri_masked(x, truth, mask)
    spoilt = np.zeros_like(x)
    spoilt[9:31, 7:33] = x[9:31, 7:33]  # the mask and half a window around it
    assert fastmri_masked(spoilt, truth, mask) == pytest.approx(inside)
    assert inside.psnr == pytest.approx(peak_signal_noise_ratio(truth[mask], x[mask], data_range=truth.max()))
    whole = fastmri_masked(x, truth, np.ones_like(mask))
    assert whole == pytest.approx(fastmri(x, truth))
    with pytest.raises(InputError, match="mask is empty"):
        fastmri_masked(x, truth, np.zeros_like(mask))


def test_a_gain_error_is_seen_by_fastmri_and_hidden_by_the_source():
    """HF-11: after division by its own maximum an image twice as bright has no error."""
    _, truth = _pair((24, 24))
    assert fastmri(2 * truth, truth).nmse == pytest.approx(1.0)
    assert hfs_sde(2 * truth, truth).nmse == pytest.approx(0.0, abs=1e-15)


def test_the_ranges_of_the_source_come_from_the_pair():
    """HF-11: PSNR on the truth's span, SSIM on the larger span of both, so that a wild pixel raises the SSIM."""
    x, truth = _pair((30, 32))
    truth += 200.0
    x += 200.0
    span = np.ptp(truth)
    assert hfs_sde(x, truth).psnr == pytest.approx(peak_signal_noise_ratio(truth, x, data_range=span))
    wild = x.copy()
    wild[0, 0] = 50 * truth.max()
    expected = structural_similarity(
        truth, wild, data_range=np.ptp(wild), gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert hfs_sde(wild, truth).ssim == pytest.approx(expected, abs=1e-5)
    assert hfs_sde(wild, truth).ssim > hfs_sde(x, truth).ssim


@pytest.mark.parametrize("shape", [(6, 40), (40,), (2, 2, 30, 30)])
def test_what_is_no_slice_is_refused(shape):
    """A window that does not fit, or an axis of samples, would give a figure of something else."""
    with pytest.raises(InputError, match="slice"):
        fastmri(np.ones(shape), np.ones(shape))


def test_a_truth_without_signal_is_refused():
    """A range of zero divides by zero."""
    with pytest.raises(InputError, match="truth"):
        fastmri(np.ones((8, 8)), np.zeros((8, 8)))
    with pytest.raises(InputError, match="positive"):
        hfs_sde(np.zeros((12, 12)), np.arange(144.0).reshape(12, 12))
    with pytest.raises(InputError, match="does not fit"):
        hfs_sde(np.ones((12, 13)), np.ones((12, 12)))
