"""Statistics of generated volumes: distances whose value is known, the volumes compared with, and the page."""

import csv
import hashlib

import nibabel
import numpy as np
import pytest
import torch
from pydantic import BaseModel, ConfigDict

from evaluate.conftest import head
from voxprior.errors import InputError
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.generate.protocols import SCAN, SEEDS, generate_contenders
from voxprior.evaluate.generate.reference import read_reference
from voxprior.evaluate.generate.run import evaluate_generate, score
from voxprior.evaluate.generate.statistics import (
    PLANES,
    Statistics,
    alike,
    average,
    describe,
    histogram_distance,
    spectrum_distance,
)
from voxprior.methods.result import Result

EDGE = 24
COLUMNS = (
    *("file", "split", "role", "subject", "modality", "sequence_field_scanner", "shape", "voxel_mm", "fine_axes"),
    "sha256",
)


@pytest.fixture
def data(tmp_path):
    """Two training heads of 1 mm (one in another array order), one left out, one of 2 mm, and one of the test split."""
    folder = tmp_path / "data"
    rows = []
    given = (
        ("train/a", "fit", np.eye(4), "1.000x1.000x1.000"),
        ("train/b", "fit", np.array([[0, 0, -1.0, 9], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]), "1.0x1.1x0.9"),
        ("train/c", "calibrate", np.eye(4), "1.000x1.000x1.000"),
        ("train/d", "fit", np.diag([2, 2, 2, 1.0]), "2.000x2.000x2.000"),
        ("test/e", "", np.eye(4), "1.000x1.000x1.000"),
    )
    for seed, (name, role, affine, voxel) in enumerate(given):
        path = folder / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(head((30, 34, 32), seed), affine), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        split = name.split("/")[0]
        rows.append((f"{name}.nii.gz", split, role, name[-1], "T1w", "s", "30x34x32", voxel, "A-P", digest))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return folder


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    steps: int = 1


class Noise:
    """White noise about a half."""

    name, Options, citation = "noise", Options, "a test"

    def __call__(self, measurement, options, rng, progress=None):
        shape = tuple(measurement.operator.adjoint(measurement.y).shape[1:])
        return Result(0.5 + 0.1 * rng(0, 0, shape), calls=7)


def _field(seed, slope=0.0):
    return (0.5 + 0.1 * np.random.default_rng(seed).standard_normal((32,) * 3) + slope).astype(np.float32)


def test_a_shift_of_a_tenth_is_a_histogram_distance_of_a_tenth():
    """The distance has the unit of the intensity."""
    a, b = describe(_field(0)), describe(_field(0, 0.1))
    assert histogram_distance(a, b) == pytest.approx(0.1, abs=0.005)
    assert histogram_distance(a, a) == 0


def test_a_gain_of_two_is_six_decibels_in_every_plane():
    """A spectrum distance is one of amplitudes."""
    block = _field(0)
    a, b = describe(block), describe(2 * block)
    for plane in PLANES:
        assert spectrum_distance(a, b, plane) == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_blur_along_an_axis_shows_in_the_planes_that_hold_it():
    """A smooth axis is seen in two planes, and less in the one normal to it."""
    block = _field(0)
    blurred = (block + np.roll(block, 1, 2) + np.roll(block, -1, 2)) / 3
    gain = 3**0.5  # what blurring takes from white noise, so that only the form of the spectrum is left
    a, b = describe(block), describe(0.5 + gain * (blurred - 0.5))
    found = {plane: spectrum_distance(a, b, plane) for plane in PLANES}
    assert found["axial"] < 0.7 * min(found["sagittal"], found["coronal"])


def test_averages_and_likeness():
    """Spectra are averaged in their logarithm; likeness knows neither gain nor offset."""
    a, b = _field(0), _field(1)
    mean = average([describe(a), describe(10 * a)])
    assert isinstance(mean, Statistics)
    expected = describe(a).spectra["axial"] + 1  # half of the 20 dB of a gain of ten, in powers of ten
    assert mean.spectra["axial"] == pytest.approx(expected, abs=1e-6)
    assert alike(a, 3 * a + 1) == pytest.approx(1, abs=1e-6) and abs(alike(a, b)) < 0.05
    assert alike(a, np.ones_like(a)) == 0


def test_only_training_volumes_of_one_millimetre_are_the_measure(data):
    """Three blocks of each; what was left out of the training stands apart."""
    found = read_reference(data, EDGE)
    assert len(found.fit) == 6 and len(found.left_out) == 3
    assert all(b.shape == (EDGE,) * 3 for b in (*found.fit, *found.left_out))
    assert score(found.fit[0], found)["nearest"] == pytest.approx(1, abs=1e-6)
    with pytest.raises(InputError, match="smaller --edge"):
        read_reference(data, 64)


def test_blocks_are_in_one_orientation(data):
    """An array in another order is the same head: its statistics by plane must not change places."""
    folder = data / "train"
    volume = nibabel.load(folder / "a.nii.gz")
    other = nibabel.Nifti1Image(np.asarray(volume.dataobj).transpose(2, 0, 1)[::-1], np.diag([1.0, 1, 1, 1]))
    other = nibabel.Nifti1Image(
        np.asarray(other.dataobj), np.array([[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 31], [0, 0, 0, 1.0]])
    )
    from voxprior.evaluate.generate.reference import _blocks

    nibabel.save(other, data / "turned.nii.gz")
    for one, same in zip(_blocks(folder / "a.nii.gz", EDGE), _blocks(data / "turned.nii.gz", EDGE), strict=True):
        assert np.array_equal(one, same)


def test_a_run_measures_scans_once_and_volumes_by_seed(data, tmp_path):
    """Known results are not made again; the page is the records."""

    def go():
        where = tmp_path / "out", tmp_path / "page.md"
        member = [Contender("noise", "noise")]
        return evaluate_generate(data, *where, (), EDGE, member, lambda name: Noise(), lambda line: None)

    made = go()
    assert [r["label"] for r in made].count(SCAN) == 1 and len(made) == 1 + len(SEEDS)
    assert go() == []
    figures = [r["figures"] for r in made if r["label"] == "noise"]
    assert len({f["mean"] for f in figures}) == len(SEEDS)
    text = (tmp_path / "page.md").read_text()
    assert f"| noise | 3 | {np.mean([f['histogram'] for f in figures]):.3f} |" in text
    assert str(tmp_path) not in text


def test_ours_and_tpdm_take_part():
    """Both on the same weights."""
    assert [c.method for c in generate_contenders("w")] == ["voxprior", "tpdm"]
    assert {c.options["weights"] for c in generate_contenders("w")} == {"w"}
    assert torch.get_num_threads() > 0
