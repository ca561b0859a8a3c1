"""What is refused as no scan, and what is warned about."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from phantoms import HEAD
from voxprior.errors import InputError
from voxprior.jobs.options import SrOptions
from voxprior.jobs.sense import is_label_map, require_scan
from voxprior.jobs.sr import restore_slices
from voxprior.volume import Volume

THICK = np.diag([1.0, 1, 5, 1])


def _labels(seed: int, count: int) -> np.ndarray:
    """A map of whole numbers in smooth regions."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(40, 40, 24)), 4)
    return np.floor(count * (field - field.min()) / np.ptp(field) * 0.999).astype(np.float32)


@settings(max_examples=20)
@given(seed=st.integers(0, 99), count=st.integers(3, 20))
def test_label_maps_are_refused_and_can_be_forced(seed: int, count: int) -> None:
    """Guards the refusal, and the way round it."""
    volume = Volume(_labels(seed, count), THICK)
    with pytest.raises(InputError, match="looks like a label map, not a scan; give the scan, or --force-input"):
        require_scan(volume, SrOptions())
    require_scan(volume, SrOptions(force_input=True))


@settings(max_examples=20)
@given(seed=st.integers(0, 99), levels=st.sampled_from([60, 256, 4096]), stripped=st.booleans())
def test_scans_of_few_bits_are_not_taken_for_labels(seed: int, levels: int, stripped: bool) -> None:
    """Guards scans of 8 bits or less with a black background: noise keeps neighbours apart."""
    rng = np.random.default_rng(seed)
    head = gaussian_filter(rng.normal(size=(40, 40, 24)), 3)
    data = levels * (0.5 + 0.1 * head / head.std()) + 0.02 * levels * rng.normal(size=head.shape)
    if stripped:
        data[:12] = 0
    volume = Volume(np.round(np.clip(data, 0, levels - 1)).astype(np.float32), THICK)
    require_scan(volume, SrOptions())
    assert not is_label_map(volume.data)


def test_a_phantom_is_not_refused() -> None:
    """Guards digital phantoms: whole numbers without noise, slices, and whole numbers after a little noise."""
    x = np.arange(36.0) - 18
    assert not is_label_map(HEAD.at(x[:, None, None], x[None, :, None], x[None, None, :]).astype(np.float32))
    slices = HEAD.slices((36, 44), (1, 1), np.arange(-10, 11, 5.0), 5.0)
    require_scan(Volume(slices.astype(np.float32), THICK), SrOptions())
    noisy = np.round(slices + np.random.default_rng(0).normal(size=slices.shape) * 2)
    assert not is_label_map(noisy.astype(np.float32))


def test_an_all_but_empty_volume_is_refused() -> None:
    """Guards one stray voxel in nothing."""
    data = np.zeros((40, 40, 24), np.float32)
    data[3, 4, 5] = 7.5
    with pytest.raises(InputError, match="nearly every voxel is 0"):
        require_scan(Volume(data, THICK), SrOptions())


def _head() -> Volume:
    image = nibabel.load(Path(str(files("voxprior.demo") / "head.nii.gz")))
    data = np.asarray(image.dataobj, dtype=np.float32)
    affine = np.array(image.affine)
    affine[:3, 1] *= 5
    return Volume(data.reshape(104, 38, 5, 104).mean(2), affine)


def test_a_scan_raises_no_warning_and_noise_does() -> None:
    """Guards the threshold on a scan that was not trained on, and the words and figures that a user gets."""
    scan = restore_slices(_head(), SrOptions())
    told = scan.notes["unfamiliarity"]
    assert told["score"] <= told["threshold"]
    assert not [w for w in scan.warnings if "unlike" in w]
    rng = np.random.default_rng(0)
    noise = Volume(100 * np.hypot(*rng.normal(size=(2, 104, 38, 104))).astype(np.float32), _head().affine)
    spoilt = restore_slices(noise, SrOptions())
    assert spoilt.notes["unfamiliarity"]["score"] > 2 * told["threshold"]
    assert any(w.startswith("unlike what the weights were trained on (the image") for w in spoilt.warnings)


def test_a_header_outside_the_trained_range_warns() -> None:
    """Guards voxels of 3 mm: the header alone is enough, and is named."""
    head = _head()
    affine = head.affine.copy()
    affine[:3, :3] *= 3
    found = restore_slices(Volume(head.data, affine), SrOptions())
    assert found.notes["unfamiliarity"]["outside_trained_range"] > 0.3
    assert any("(voxels or slice distance" in w for w in found.warnings)


def test_baselines_are_not_scored() -> None:
    """Guards methods without a prior: nothing is known, so nothing is said."""
    assert "unfamiliarity" not in restore_slices(_head(), SrOptions(method="cubic")).notes
