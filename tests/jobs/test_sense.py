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

import voxprior
from phantoms import HEAD
from voxprior.errors import InputError
from voxprior.jobs.acquire import Acquired, acquire, receiver
from voxprior.jobs.enhance import Enhanced, enhance_volume
from voxprior.jobs.enhance_simulate import simulate
from voxprior.jobs.options import EnhanceOptions, ReconOptions, SrOptions
from voxprior.jobs.recon import reconstruct_slice
from voxprior.jobs.sense import is_label_map, require_scan
from voxprior.jobs.sr import restore_slices
from voxprior.jobs.stages import Stage
from voxprior.operators.masks import make_mask
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


def _fine() -> Volume:
    image = nibabel.load(Path(str(files("voxprior.demo") / "head.nii.gz")))
    return Volume(np.asarray(image.dataobj, dtype=np.float32), np.array(image.affine))


def _head() -> Volume:
    fine = _fine()
    affine = fine.affine.copy()
    affine[:3, 1] *= 5
    return Volume(fine.data.reshape(104, 38, 5, 104).mean(2), affine)


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
    assert "unfamiliarity" not in _enhanced(_fine(), method="cubic").notes


def _enhanced(fine: Volume, stages: int = 1, **options: object) -> Enhanced:
    """A part of ``fine``, made coarse along two axes by each stage, and restored."""
    part = Volume(fine.data[:, :, 40:64], fine.affine)
    made = simulate(part, (Stage("one", EnhanceOptions.model_validate({"axes": "ij", **options})),) * stages)
    return enhance_volume(made.measurement, made.stages)


@pytest.mark.parametrize("degradation", ["box", "1.5t"])
def test_coarse_voxels_of_a_scan_raise_no_warning_and_those_of_noise_do(degradation: str) -> None:
    """Guards the thresholds of ``enhance``, one a cause, and the words."""
    scan = _enhanced(_fine(), degradation=degradation)
    told = scan.notes["unfamiliarity"]
    assert told["score"] <= told["threshold"]
    assert not [w for w in scan.warnings if "unlike" in w]
    noise = np.hypot(*np.random.default_rng(0).normal(size=(2, *_fine().data.shape))).astype(np.float32)
    spoilt = _enhanced(Volume(100 * noise, _fine().affine), degradation=degradation)
    assert spoilt.notes["unfamiliarity"]["score"] > 2 * told["threshold"]
    (said,) = [w for w in spoilt.warnings if w.startswith("unlike what the weights were trained on (the image")]
    assert said.endswith("do not trust detail that the measured voxels do not show")


def test_fine_voxels_outside_the_trained_range_warn_and_only_the_first_stage_is_judged() -> None:
    """Guards the header of ``enhance``, and cascades: what a stage has made is no scan."""
    affine = _fine().affine.copy()
    affine[:3, :3] *= 3
    found = _enhanced(Volume(_fine().data, affine), stages=2)
    assert found.stages[0].run.result.notes["unfamiliarity"]["outside_trained_range"] > 0.3
    assert "unfamiliarity" not in found.stages[1].run.result.notes
    assert [w for w in found.warnings if w.startswith("stage one: unlike") and "(voxels or factor" in w]


def _measured(image: np.ndarray, noise: float = 0.005) -> Acquired:
    """K-space of one coil with noise, a third of its lines."""
    rng = np.random.default_rng(1)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image), norm="ortho"))
    kspace = kspace + noise * image.max() * (rng.normal(size=image.shape) + 1j * rng.normal(size=image.shape))
    mask, options = make_mask("poisson", image.shape, 4, 16), ReconOptions()
    maps = np.ones((1, *image.shape), np.complex64)
    return acquire(kspace.astype(np.complex64)[None], mask, maps, receiver(None, options), options)


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_k_space_of_a_scan_raises_no_warning(mode: str) -> None:
    """Guards the threshold of ``recon``: samples are judged by the mean that withheld samples take, at no more cost."""
    scan = reconstruct_slice(_measured(_fine().data[:, :, 52]), ReconOptions.model_validate({"mode": mode}))
    told = scan.notes["unfamiliarity"]
    assert told["score"] <= told["threshold"]
    assert not [w for w in scan.warnings if "unlike" in w]


def test_k_space_of_noise_does() -> None:
    """Guards the words and figures that a user of ``recon`` gets."""
    noise = np.hypot(*np.random.default_rng(0).normal(size=(2, 104, 120))).astype(np.float32)
    spoilt = reconstruct_slice(_measured(noise), ReconOptions())
    told = spoilt.notes["unfamiliarity"]
    assert told["score"] > 1.2 * told["threshold"]
    (said,) = [w for w in spoilt.warnings if w.startswith("unlike what the weights were trained on (the image")]
    assert said.endswith("do not trust detail that the measured part of k-space does not determine")


def test_of_a_stack_the_middle_slice_is_judged() -> None:
    """Guards the time and the ends of a head: one slice a stack, of those whose error is measured anyway."""
    acquired, options = _measured(_fine().data[:64, :64, 52]), ReconOptions(steps=3)
    for parts, chosen in ((1, 0), (2, 1), (6, 2), (8, 4), (9, 3)):
        found = [reconstruct_slice(acquired, options, None, None, k, parts, 1.0) for k in range(min(parts, 5))]
        assert [k for k, one in enumerate(found) if "unfamiliarity" in one.notes] == [chosen]


def test_the_sidecar_of_a_stack_has_what_was_found_of_its_middle_slice() -> None:
    """Guards notes of a slice that is not the last."""
    acquired = _measured(_fine().data[:64, :64, 52])
    stack = np.stack([acquired.y * k for k in (1, 2, 3)])
    found = voxprior.reconstruct(stack, maps=acquired.maps, steps=3)
    told = found.sidecar["settings"]["unfamiliarity"]
    alone = reconstruct_slice(acquired, ReconOptions(steps=3)).notes["unfamiliarity"]
    assert told["score"] == pytest.approx(alone["score"], rel=0.2)
    assert (told["score"] > told["threshold"]) == any("unlike" in w for w in found.sidecar["warnings"])
