"""Which slices are undersampled how, and what of a file becomes the problem that methods are given."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluate.recon_data import SIZE, coil_images, head
from voxprior.errors import InputError
from voxprior.evaluate.recon import acquire as acquiring
from voxprior.evaluate.recon import protocols
from voxprior.evaluate.recon.acquire import acquire, from_coil_images, simulate, undersample
from voxprior.evaluate.recon.protocols import recon_cases, tune_cases, undersampled_cases
from voxprior.operators.fourier import ifft


def _case(data, words):
    return next(c for c in recon_cases(data) if all(word in c.name for word in words))


def test_every_case_has_a_name_of_its_own(recon_data):
    """Names key the tables: two cases with one name would overwrite each other."""
    names = [c.name for c in [*recon_cases(recon_data), *undersampled_cases(recon_data)]]
    assert len(names) == len(set(names))
    assert "one 7 poisson R = 4, ACS 24" in names


def test_each_group_gets_its_masks(recon_data):
    """All accelerations for lines and discs on heads, and spokes on the real one alone."""
    cases = recon_cases(recon_data)
    for subject, more in (("a", 0), ("real", 1)):
        mine = [c for c in cases if c.subject == subject and not c.matrix and c.slices == 1]
        assert len(mine) == len(protocols.SAMPLINGS) + more
        assert {c.acceleration for c in mine if c.mask == "uniform"} == {4, 8, 10, 12}
    assert {c.subject for c in cases if c.mask == "radial"} == {"real"}
    (timed,) = (c for c in cases if c.repeats > 1)
    assert (timed.coils, timed.matrix) == (15, 320)


def test_a_slice_lies_across_a_direction_that_need_not_be_fine(recon_data):
    """A slice with an interpolated axis in its plane would be smooth already."""
    assert {c.direction for c in recon_cases(recon_data) if c.subject in "ab"} == {"I-S"}


def test_settings_are_chosen_on_no_test_subject(recon_data):
    """What is tuned on the test split is not measured there."""
    tested = {c.subject for c in recon_cases(recon_data)}
    tuned = tune_cases(recon_data)
    assert tuned and not tested & {c.subject for c in tuned}
    kinds = {(c.mask, c.acceleration, c.coils == 1) for c in tuned}
    real = [c for c in recon_cases(recon_data) if c.source in ("slice", "coils", "complex") and not c.matrix]
    assert {(c.mask, c.acceleration, c.source == "complex") for c in real} <= kinds


def test_a_folder_without_test_heads_is_an_error(recon_data):
    """An evaluation of nothing must not look finished."""
    with (recon_data / "manifest.csv").open(newline="") as stream:
        rows = [row for row in csv.reader(stream) if not row[0].startswith("test/")]
    with (recon_data / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    with pytest.raises(InputError, match="fine_axes"):
        recon_cases(recon_data)


def test_a_changed_file_is_refused(recon_data):
    """Results are known by the digest of the manifest, so the file must be that one."""
    case = _case(recon_data, ["real uniform R = 8"])
    with (recon_data / case.file).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(InputError, match="sha256"):
        acquire(recon_data, case)


def test_nothing_but_the_measured_samples_reaches_the_methods(recon_data):
    """HF-09: scale, maps and noise from the full data would be a leak; another rest of k-space changes nothing."""
    case = _case(recon_data, ["real uniform R = 8"])
    full = acquire(recon_data, case)
    problem = undersample(full, case)
    other = full.kspace.copy()
    other[:, ~problem.mask.keep] = 5 - 3j
    again = undersample(replace(full, kspace=other), case)
    assert np.array_equal(again.y, problem.y) and np.array_equal(again.maps, problem.maps)
    assert again.noise == problem.noise


def test_the_reference_of_real_coils_is_their_combination():
    """Maps of unit sum of squares leave the root sum of squares, where there is signal."""
    images = coil_images((80, 84), 4, 1)
    found = from_coil_images(images)
    plain = np.sqrt((np.abs(images) ** 2).sum(0))
    inside = found.object
    assert 0.3 < inside.mean() < 0.8
    assert np.abs(found.truth - plain)[inside].max() < 0.02 * plain.max()
    back = ifft(torch.from_numpy(found.kspace), (-2, -1)).numpy()
    assert np.abs(back - images).max() < 1e-5 * np.abs(images).max()


def test_one_complex_image_is_one_coil_without_change(recon_data):
    """Its k-space gives the image back, and its magnitude is the truth, at any scale."""
    case = _case(recon_data, ["one 7 uniform"])
    full = acquire(recon_data, case)
    assert full.kspace.shape == (1, 96, 100) and full.noise is None
    back = ifft(torch.from_numpy(full.kspace), (-2, -1))[0].abs().numpy()
    assert np.abs(back - full.truth).max() < 1e-5 * full.truth.max() < 1e-5


def test_simulated_noise_has_the_stated_size(monkeypatch):
    """Mean signal over noise std of a real component: in every coil, real and imaginary part alike."""
    magnitude = head((96, 90, 1), 0)[..., 0]
    noisy = simulate(magnitude, 4, "x")
    monkeypatch.setattr(acquiring, "SNR", 1e9)
    clean = simulate(magnitude, 4, "x")
    noise = noisy.kspace - clean.kspace
    expected = magnitude[noisy.object].mean() / 50
    tolerance = 5 / np.sqrt(2 * noise.size)
    for part in (noise.real, noise.imag):
        assert part.std() == pytest.approx(expected, rel=tolerance)
    assert noisy.noise == pytest.approx(expected)
    combined = ifft(torch.from_numpy(clean.kspace), (-2, -1)).abs().square().sum(0).sqrt().numpy()
    assert np.abs(combined - magnitude).max() < 1e-4 * magnitude.max()


def test_a_simulated_slice_depends_on_its_name_alone():
    """Equal cases give equal figures, whatever was made before."""
    magnitude = head((64, 64, 1), 0)[..., 0]
    first = simulate(magnitude, 3, "x")
    assert np.array_equal(first.kspace, simulate(magnitude, 3, "x").kspace)
    assert not np.allclose(first.kspace, simulate(magnitude, 3, "y").kspace)


def test_the_slice_with_most_head_is_taken(recon_data):
    """The middle one of the phantom, whose ellipse is largest."""
    full = acquire(recon_data, _case(recon_data, ["a uniform R = 8"]))
    assert np.array_equal(full.truth, head(SIZE, 0)[..., SIZE[2] // 2])


def test_the_timed_slice_is_brought_to_its_matrix(recon_data):
    """Padded about the centre, so that the centre of k-space stays where it is."""
    case = next(c for c in recon_cases(recon_data) if c.repeats > 1)
    full = acquire(recon_data, case)
    assert full.kspace.shape == (15, 320, 320)
    rows = np.flatnonzero(full.truth.any(1))
    assert abs(rows.mean() - 159.5) < 3


def test_ct_becomes_a_positive_magnitude_in_its_window(recon_data):
    """Air is 0, bone is 1: a magnitude image of something that is no head."""
    case = _case(recon_data, ["c uniform R = 4"])
    full = acquire(recon_data, case)
    assert full.kspace.shape == (6, 60, 57)
    assert full.truth.min() == 0 and full.truth.max() == pytest.approx((100 + 160) / 400)


def test_data_without_a_truth_keep_their_own_mask(recon_data):
    """What the scanner left out is zero in the file, and nothing more is taken away."""
    (case,) = undersampled_cases(recon_data)
    full = acquire(recon_data, case)
    problem = undersample(full, case)
    assert full.truth is None and np.array_equal(problem.y, full.kspace)
    assert problem.mask.name == "data" and 1.3 < problem.mask.acceleration < 2
