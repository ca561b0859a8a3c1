"""Bench tests against what is known: the sinc of a slice, white noise, and the matched filter of a known signal."""

import numpy as np
import pytest

from voxprior.cli import evaluate as door
from voxprior.errors import InputError
from voxprior.evaluate.bench.detect import CENTRES, detectability, regions
from voxprior.evaluate.bench.edge import through_plane
from voxprior.evaluate.bench.measure import SLICES, bench_contenders, runs_on
from voxprior.evaluate.bench.noise import density, noise_figures
from voxprior.evaluate.bench.phantom import (
    HEAD,
    IN_PLANE,
    RADII,
    THICKNESS,
    VALUE,
    Body,
    above,
    disc,
    geometry,
    slices,
)  # fmt: skip
from voxprior.evaluate.bench.protocols import Case, bench_cases
from voxprior.evaluate.bench.run import evaluate_bench
from voxprior.evaluate.contender import Contender


def test_slices_hold_the_volume_of_the_body():
    """Means over slices add up to the ellipsoid, and a thicker slice is the mean of thinner ones."""
    thick, thin = slices([HEAD]), slices([HEAD], 130, 1.0)
    assert thick.sum() * THICKNESS / VALUE == pytest.approx(4 / 3 * np.pi * np.prod(RADII), rel=2e-3)
    assert np.allclose(thin.reshape(*IN_PLANE, -1, 5).mean(-1), thick, atol=1e-2)
    assert slices([HEAD]).shape[2] * THICKNESS == geometry().fine_count


def test_discs_are_where_they_are_said_to_be():
    """Each place holds one disc whose mean over lines is its thickness."""
    found = slices([Body(disc(CENTRES[5], 8.0, 5.0), 1.0)])
    assert found.sum() * THICKNESS == pytest.approx(np.pi * 16 * 5, rel=0.05)
    profiles = (found.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3))
    x, y, z = (np.average(np.arange(len(p)), weights=p) for p in profiles)
    assert (x - 47.5, y - 49.5, (z - 12.5) * 5) == pytest.approx(CENTRES[5], abs=0.3)


@pytest.mark.parametrize("thickness", [5.0, 1.0])
def test_the_transfer_of_slices_is_the_sinc_of_their_thickness(thickness):
    """A closed form that no operator had a hand in."""
    image = slices([HEAD, Body(above, 0.3 * VALUE)], round(130 / thickness), thickness)
    found = through_plane(image, thickness)
    for frequency in (0.03, 0.06, 0.1, 0.15):
        assert found.at(frequency) == pytest.approx(np.sinc(frequency * thickness), abs=0.01)
    assert through_plane(image * 3 + 5, thickness).falls_to(0.5) == pytest.approx(found.falls_to(0.5))
    if thickness == 5:
        assert found.falls_to(0.5) == pytest.approx(0.6034 / 5, abs=1e-3)


def test_white_noise_is_white_and_a_mean_is_not():
    """The noise of slices has power 1 in every band; a mean of neighbours loses the upper bands, across alone."""
    rng = np.random.default_rng(0)
    white = rng.normal(0, 7, (60, 60, 90)).astype(np.float32)
    bright = white + 500
    found = noise_figures([white], bright, (1.0, 1.0, 1.0), 7.0)
    assert found["std"] == pytest.approx(1, abs=0.01) and found["detail"] == pytest.approx(1, abs=0.05)
    assert found["within"] == pytest.approx([1] * 4, abs=0.05)
    assert found["across"] == pytest.approx([1 / THICKNESS] * 4, abs=0.05)  # one millimetre each, not five
    smooth = (white + np.roll(white, 1, 2)) / 2
    across = noise_figures([smooth], bright, (1.0, 1.0, 1.0), 7.0)["across"]
    assert across[0] == pytest.approx(0.2, abs=0.02) and across[3] < 0.06
    coarse = noise_figures([white[..., :20]], bright[..., :20], (1.0, 1.0, 5.0), 7.0)
    assert coarse["across"][:2] == pytest.approx([1, 1], abs=0.1) and coarse["across"][3] is None
    assert density(white, 2, 2.0).mean() == pytest.approx(98, rel=0.03)


def test_detectability_is_that_of_the_matched_filter():
    """In white noise d' is |signal| / sigma, known in closed form; without a signal it is about 0."""
    rng = np.random.default_rng(0)
    signal = np.tile(rng.standard_normal(50), (36, 1))
    noise = 2 * rng.standard_normal((2, 12, 36, 50))
    found = detectability(noise[0] + signal, noise[1], signal)
    assert found.value == pytest.approx(np.linalg.norm(signal[0]) / 2, abs=0.25)
    assert found.low < found.value < found.high
    assert abs(detectability(noise[0], noise[1], signal).value) < 0.3


def test_the_observer_looks_at_the_places(tmp_path):
    """Regions are of one size on every grid, and do not know the mean of the image."""
    image = slices([Body(disc(centre, 8.0, 5.0), 1.0) for centre in CENTRES])
    found = regions(image, (1.0, 1.0, THICKNESS))
    assert found.shape == (len(CENTRES), 17 * 17 * 5) and np.abs(found.mean(axis=1)).max() < 1e-9
    assert (np.linalg.norm(found, axis=1) > 1).all()


def test_a_run_on_the_bench(tmp_path):
    """Slices and cubic on the edge: known results are not made again; cubic is worse than the slices."""
    where = tmp_path, tmp_path / "p.md"
    members = [Contender(SLICES, SLICES), Contender("cubic", "cubic")]
    made = evaluate_bench(*where, ["edge"], members, report=str)
    assert len(made) == 4 and evaluate_bench(*where, ["edge"], members, report=str) == []
    half = {r["label"]: r["figures"]["half"] for r in made}
    assert half["cubic"] < half[SLICES] == pytest.approx(0.6034 / 5, abs=1e-3)
    page = (tmp_path / "p.md").read_text()
    assert "### Phantom: resolution across the slices" in page and "| edge of 50% | cubic | 0.085 |" in page


def test_what_takes_long_is_given_edges_alone():
    """A sample takes minutes for each of dozens of draws."""
    slow = next(c for c in bench_contenders() if c.place)
    assert {case.test for case in bench_cases() if runs_on(slow, case)} == {"edge"}
    assert Case("disc", 0.015, 8.0, 5.0).kind == "discs of 8 x 5 mm, 1.5%"


def test_the_commands_say_what_they_made(tmp_path, capsys):
    """The door of the bench runs without data; the others want theirs."""
    assert door.bench(out=tmp_path, page=tmp_path / "p.md", only=("edge of 10%", SLICES)) == 0
    assert "1 new results" in capsys.readouterr().out
    for command in (door.lesions, door.downstream):
        with pytest.raises(InputError, match=r"manifest\.csv"):
            command(data=tmp_path, out=tmp_path, page=tmp_path / "p.md")
