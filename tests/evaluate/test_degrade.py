"""Thick slices of a truth: where they lie, what they average, and what the methods are told."""

from dataclasses import replace

import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.evaluate.directions import array_axis
from voxprior.evaluate.sr.degrade import Truth, block, thicken
from voxprior.evaluate.sr.protocols import sr_cases
from voxprior.metrics import data_range, foreground
from voxprior.volume import Volume, fine_affine


def _case(data, kind, subject="a", direction="A-P", crop=0):
    found = [c for c in sr_cases(data) if (c.kind, c.subject, c.direction, c.crop) == (kind, subject, direction, crop)]
    assert len(found) == 1
    return found[0]


def _problem(data, kind, **chosen):
    case = _case(data, kind, **chosen)
    return thicken(Truth.read(data, case), case, crop=20)


def _seen(problem):
    """Relative distance of the true volume from the slices, under the assumed profile."""
    import torch

    y = problem.measurement.y
    return float((problem.measurement.operator.apply(torch.from_numpy(problem.truth)[None]) - y).norm() / y.norm())


def test_directions_are_found_by_the_affine(data):
    """The array axis of A-P is not the same in a LAS and in a PIR file."""
    cases = {subject: _case(data, "x2 box", subject=subject) for subject in "ab"}
    axes = {name: array_axis(Truth.read(data, case).volume, "A-P") for name, case in cases.items()}
    assert axes == {"a": 1, "b": 0}


@pytest.mark.parametrize("kind", ["x2 box", "x5 box", "x5 gaussian", "x4 box, gap 25%", "x8 box", "x5 box, block"])
@pytest.mark.parametrize("subject", ["a", "b"])
def test_slices_and_truth_share_one_place_in_the_patient(data, kind, subject):
    """The grid that the slices are restored to is the truth's, voxel by voxel, whatever had to be cut off."""
    problem = _problem(data, kind, subject=subject, crop=2 if "block" in kind else 0)
    slices = problem.measurement.operator.slices
    np.testing.assert_allclose(fine_affine(problem.thick.affine, slices), problem.affine, atol=1e-9)
    assert problem.truth.shape == problem.measurement.operator.shape == problem.foreground.shape
    assert problem.thick.data.shape == tuple(problem.measurement.y.shape[1:])
    whole = Truth.read(data, _case(data, "x2 box", subject=subject)).volume
    corner = np.rint(np.linalg.inv(whole.affine) @ problem.affine[:, 3]).astype(int)[:3]
    cut = tuple(slice(c, c + n) for c, n in zip(corner, problem.truth.shape, strict=True))
    assert np.array_equal(whole.data[cut], problem.truth)


def test_a_box_slice_is_the_mean_of_its_voxels(data):
    """Known answer: x5 slices are means of five neighbours, and a gap leaves every fourth voxel out."""
    problem = _problem(data, "x5 box")
    blocks = problem.truth.reshape(28, 6, 5, 32).mean(2)
    np.testing.assert_allclose(problem.measurement.y[0].numpy(), blocks, atol=1e-3)
    gapped = _problem(data, "x4 box, gap 25%")
    assert gapped.truth.shape == (28, 27, 32)
    np.testing.assert_allclose(gapped.measurement.y[0, :, 1].numpy(), gapped.truth[:, 4:7].mean(1), atol=1e-3)


def test_the_told_profile_is_wrong_only_where_the_name_says_so(data):
    """A wrong-profile row that is told the truth would be the inverse crime it is there to avoid."""
    assert _seen(_problem(data, "x5 gaussian")) < 1e-6
    assert _seen(_problem(data, "x5 gaussian, box assumed")) > 1e-2
    assert _problem(data, "x5 gaussian, box assumed").measurement.operator.slices.profile == "box"


def test_the_spline_truth_is_another_integral_of_the_same_ramp(data):
    """On a linear ramp both integrals agree; on a real volume they must differ, or the row shows nothing."""
    case = _case(data, "x5 box, spline truth")
    assert 1e-4 < _seen(_problem(data, "x5 box, spline truth")) < 0.1
    ramp = np.broadcast_to(np.arange(30, dtype=np.float32)[None, :, None] + 1, (28, 30, 32))
    volume = Volume(np.ascontiguousarray(ramp), np.eye(4) @ np.diag([-1, 1, 1, 1.0]))
    problem = thicken(Truth(volume, data_range(volume.data), foreground(volume.data)), case)
    np.testing.assert_allclose(problem.thick.data[0, 1:-1, 0], [8, 13, 18, 23], atol=1e-4)


def test_blocks_lie_at_both_ends_of_the_head_and_inside_the_volume():
    """A block beside the head would measure air."""
    mask = np.zeros((40, 60, 30), dtype=bool)
    mask[5:35, 10:55, 2:9] = True
    first, second = block(mask, 1, 20), block(mask, 2, 20)
    assert (first[1], second[1]) == (slice(10, 30), slice(35, 55))
    assert (first[0], first[2]) == (slice(10, 30), slice(0, 20))
    assert block(mask, 1, 96) == [slice(0, 40), slice(0, 60), slice(0, 30)]


def test_a_changed_file_is_refused(data):
    """A result must not be stored under the digest of another file."""
    case = _case(data, "x2 box")
    with pytest.raises(InputError, match="sha256"):
        Truth.read(data, replace(case, sha256="0" * 64))


def test_impossible_cases_are_refused(data):
    """A thickness between voxels would need resampling, a single slice leaves nothing to interpolate."""
    case = _case(data, "x4 box, gap 25%")
    truth = Truth.read(data, case)
    with pytest.raises(InputError, match="not whole"):
        thicken(truth, replace(case, fill=0.6))
    with pytest.raises(InputError, match="at least 2"):
        thicken(truth, replace(case, factor=20, fill=1.0))
