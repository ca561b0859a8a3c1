"""Simulated slices are what the closed form says, and lie where they should."""

from __future__ import annotations

import numpy as np
import pytest

from voxprior.errors import InputError
from voxprior.jobs.options import SrOptions
from voxprior.jobs.simulate import simulate
from voxprior.jobs.slices import read_profile, understand
from voxprior.volume import Volume


@pytest.fixture
def ramp() -> Volume:
    """A fine volume whose value is its own third coordinate in mm: every average of it is known."""
    data = np.broadcast_to(np.arange(30, dtype=np.float32) * 1.5, (4, 5, 30))
    return Volume(data, np.diag([1.5, 1.5, 1.5, 1.0]))


@pytest.mark.parametrize("profile", ["box", "gaussian", "slr"])
@pytest.mark.parametrize(("factor", "gap"), [(3.0, 0.0), (4.0, 2.0), (2.5, 0.5)])
def test_a_slice_of_a_ramp_is_its_centre(ramp: Volume, profile: str, factor: float, gap: float) -> None:
    """Guards the places of slices: a symmetric profile sees the value at its centre, away from the ends.

    Voxels of h mm are taken as constant, so that each end of a box of T mm may err by h^2 / 8 T.
    """
    made = simulate(ramp, SrOptions(profile=profile, gap=gap), factor)
    inner = made.measurement.data[0, 0, 1:-1]
    index = np.arange(1, made.measurement.data.shape[2] - 1)
    centres = made.measurement.affine[2, 3] + index * made.measurement.spacing[2]
    np.testing.assert_allclose(inner, centres, atol=1.5**2 / (8 * (factor * 1.5 - gap)) + 1e-4)
    geometry = understand(made.measurement, made.options)
    assert geometry.fine_count == made.truth.data.shape[2]
    assert geometry.fine_spacing == pytest.approx(1.5)
    assert geometry.thickness == pytest.approx(factor * 1.5 - gap)
    np.testing.assert_allclose(made.truth.data[0, 0], made.truth.affine[2, 3] + 1.5 * np.arange(geometry.fine_count))


def test_lengths_that_contradict_each_other_are_refused(ramp: Volume) -> None:
    """Guards --factor with --thickness and --gap, and slices that do not fit."""
    with pytest.raises(InputError, match="do not add up to --factor 4"):
        simulate(ramp, SrOptions(thickness=3, gap=1), 4.0)
    with pytest.raises(InputError, match="fewer than two"):
        simulate(ramp, SrOptions(), 20.0)
    with pytest.raises(InputError, match="cannot be simulated"):
        simulate(ramp, SrOptions(thickness=-1))


def test_a_profile_can_be_read_from_a_file(tmp_path) -> None:
    """Guards --profile FILE: numbers by line or comma, everything else refused in one line."""
    path = tmp_path / "p.txt"
    path.write_text("0, 0.5\n1\n0.5 0\n")
    assert read_profile(str(path)) == (0.0, 0.5, 1.0, 0.5, 0.0)
    assert read_profile("gaussian") == "gaussian"
    for text in ("one two", "1 2", "0 0 0 0", "-1 2 1", "nan 1 1"):
        path.write_text(text)
        with pytest.raises(InputError, match="--profile"):
            read_profile(str(path))
