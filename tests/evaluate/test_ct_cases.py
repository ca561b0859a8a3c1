"""Which blocks of CT volumes are measured how, and an analytic phantom that the projector had no hand in."""

import math

import numpy as np
import pytest
import torch

from evaluate.ct_data import SIZE, body
from evaluate.ct_data import make as ct_folder
from phantoms import Ellipsoid as Independent
from phantoms import Phantom
from voxprior.errors import InputError
from voxprior.evaluate.ct import phantom
from voxprior.evaluate.ct.acquire import acquire, counted, cut
from voxprior.evaluate.ct.protocols import PHANTOM, SETTINGS, TUNE_SLICES, ct_cases, phantom_cases, tune_cases
from voxprior.io.nifti import read_volume
from voxprior.io.sinogram import MU_WATER, to_mu
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.volume import Volume


@pytest.fixture
def data(tmp_path):
    return ct_folder(tmp_path / "data")


def test_every_case_has_a_name_of_its_own(data):
    """Names key the tables: two cases with one name would overwrite each other."""
    names = [case.name for case in [*ct_cases(data), *tune_cases(data)]]
    assert len(names) == len(set(names))
    assert "a 60 views over 120 degrees" in names
    assert "b 36 views, 1e5 photons" in names


def test_settings_are_chosen_on_no_test_subject(data):
    """What is tuned on the test split is not measured there, and every kind of views is tuned."""
    tuned = tune_cases(data)
    assert {case.subject for case in tuned} == {"t"}
    assert {case.setting for case in tuned} == {case.setting for case in ct_cases(data)}
    assert len(tuned) == len(SETTINGS)


def test_the_tuning_block_lies_in_the_top_fifth(data):
    """The other four fifths are what a network is trained on."""
    block = acquire(data, tune_cases(data)[0]).truth
    whole = read_volume(data / "ct" / "t.nii.gz")
    first = round(float(block.affine[2, 3] - whole.affine[2, 3]) / 2)
    assert SIZE[2] - round(0.2 * SIZE[2]) <= first <= SIZE[2] - TUNE_SLICES
    assert block.data.shape[2] == TUNE_SLICES


def test_up_is_towards_the_head_however_the_array_lies():
    """The top fifth of an array that runs from head to foot is its beginning."""
    data = body(0)
    up, down = (Volume(data, np.diag([1, 1, s, 1.0])) for s in (1, -1))
    assert np.array_equal(cut(up, 4, 0.95).data, data[:, :, 59:63])
    found = cut(down, 4, 0.95)
    assert np.array_equal(found.data, data[:, :, 1:5])
    middle = cut(up, 4, 0.5)
    assert np.array_equal(middle.data, data[:, :, 30:34]) and middle.affine[2, 3] == 30


def test_a_folder_without_ct_is_an_error(data):
    """An evaluation of nothing must not look finished."""
    text = (data / "manifest.csv").read_text().replace("ct/", "test/")
    (data / "manifest.csv").write_text(text)
    with pytest.raises(InputError, match="no CT volume"):
        ct_cases(data)


def test_a_changed_file_is_refused(data):
    """Results are known by the digest of the manifest, so the file must be that one."""
    with (data / "ct" / "a.nii.gz").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(InputError, match="sha256"):
        acquire(data, ct_cases(data)[0])


def test_views_of_the_phantom_are_those_of_another_closed_form():
    """The projections of ``tests/phantoms.py`` know neither axes of arrays nor slices as thick as a voxel."""
    parts = (phantom.Ellipsoid((20, -30, 1), (40, 60, 30), 700), phantom.Ellipsoid((-35, 10, 0), (15, 9, 20), -300))
    geometry = ProjectionGeometry(phantom.SHAPE, (2.5, 2.5), (0.0, 31.0, 90.0, 144.0), 90, 2.5)
    found = phantom.views(geometry, 2, parts)
    same = Phantom(tuple(Independent((c[1], c[0], c[2]), (r[1], r[0], r[2]), v) for c, r, v in parts))
    t = (np.arange(90) - 89 / 2) * 2.5
    heights = [side * 1.25 + step / 4 * 2.5 for side in (-1, 1) for step in (-1.5, -0.5, 0.5, 1.5)]
    expected = same.views(geometry.angles, t, heights, 2.5).reshape(2, 4, 4, 90).mean(1)
    assert np.abs(found - expected).max() < 1e-8 * np.abs(expected).max()


def test_the_phantom_s_volume_has_the_mass_of_its_views():
    """A view integrated over the detector is the integral over the slice, whatever the angle."""
    volume = phantom.volume(3)
    assert volume.min() == -1000 and volume.shape == (*phantom.SHAPE, 3)
    inside = phantom.THORAX[:1]
    geometry = ProjectionGeometry(phantom.SHAPE, (2.5, 2.5), (0.0, 20.0, 77.0), 200, 2.5)
    mass = phantom.views(geometry, 1, inside).sum((0, 2)) * 2.5
    exact = math.pi * 115 * 160 * 1040 * (1 - 5 / 16 * 2.5**2 / 4 / 300**2)  # mean of z^2 over the heights
    assert mass == pytest.approx(exact, rel=1e-4)
    voxels = (phantom.volume(1, inside) + 1000).sum(dtype=np.float64) * 2.5**2
    assert voxels == pytest.approx(exact, rel=1e-3)


def test_counts_have_the_mean_and_the_spread_of_poisson():
    """Noise whose size is wrong would make every weighting look wrong."""
    p = np.full(40_000, 2.0)
    found = counted(p, 1e5, np.random.default_rng(0))
    sigma = math.sqrt(math.exp(2.0) / 1e5)
    assert found.mean() == pytest.approx(2.0, abs=5 * sigma / 200)
    assert found.std() == pytest.approx(sigma, rel=0.02)
    assert np.isfinite(counted(np.full(3, 40.0), 10, np.random.default_rng(0))).all()


def test_the_phantom_s_problem_is_nearly_that_of_its_voxels(data):
    """Closed form and matrix agree but for the voxels: a mistake in axes or scale would be a factor."""
    clean, noisy = phantom_cases()
    problem = acquire(data, clean)
    mu = torch.from_numpy(to_mu(problem.truth.data, MU_WATER)).float()[None]
    again, y = problem.operator().apply(mu), problem.measurement().y
    assert float((again - y).norm() / y.norm()) < 0.01
    assert clean.subject == PHANTOM and noisy.photons == 1e5
