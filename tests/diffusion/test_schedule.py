"""Grids, solvers and planes as rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from voxprior.diffusion.path import CosineProduct, VariancePreserving
from voxprior.diffusion.schedule import (
    SOLVERS,
    Step,
    alternating,
    ddim,
    dpm_2m,
    drawn,
    euler,
    euler_maruyama,
    every,
    heun,
    karras,
    log_uniform,
    perturb_and_solve,
    renoise,
    reverse_sde,
    schedule,
)
from voxprior.errors import InputError


def test_karras_grid_is_the_published_formula() -> None:
    """Guards the grid of Karras et al. 2022, eq. 5, its exact ends and the closing 0."""
    grid = karras(20, 5.0, 0.002)
    i = np.arange(20) / 19
    np.testing.assert_allclose(grid[:-1], (5 ** (1 / 7) + i * (0.002 ** (1 / 7) - 5 ** (1 / 7))) ** 7, rtol=1e-12)
    assert (grid[0], grid[-2], grid[-1]) == (5.0, 0.002, 0.0)


@pytest.mark.parametrize(("n", "top", "ratio", "digits"), [(2000, 378.0, 1.00528659, 8), (1000, 348.0, 1.01052, 5)])
def test_log_uniform_grid_has_the_published_ratios(n: int, top: float, ratio: float, digits: int) -> None:
    """Guards the variance-exploding tables of TPDM and HFS-SDE (known answers)."""
    grid = log_uniform(n, top, 0.01)
    for a, b in pairwise(grid[:-1]):
        assert round(a / b, digits) == ratio


def test_one_and_two_steps() -> None:
    """Guards the shortest runs: one level has no room for sigma_min, two have nothing between the ends."""
    for grid in (karras, log_uniform):
        assert grid(1, 3.0, 0.1) == (3.0, 0.0)
        assert grid(2, 3.0, 0.1) == (3.0, 0.1, 0.0)


@pytest.mark.parametrize(
    ("t", "clean", "state", "variance"),
    [(50, 0.05823723, 0.94168575, 0.00174443), (120, 0.02272320, 0.97125004, 0.01041517)],
)
def test_ancestral_step_is_the_posterior_of_the_cosine_product(
    t: int, clean: float, state: float, variance: float
) -> None:
    """Guards published numbers: ``x_(t-1) = clean x0 + state x_t + noise`` with x_t = a x, where a README was wrong."""
    path = CosineProduct()
    (row,) = ddim(1.0)(None, path.sigma(t), path.sigma(t - 1))
    here, after = path.a(t), path.a(t - 1)
    found = (after * row.pull, after / here * row.keep, (after * row.kick) ** 2)
    np.testing.assert_allclose(found, (clean, state, variance), atol=6e-9, rtol=0)


def test_defaults_of_a_step_are_the_one_step_student() -> None:
    """Guards that a bare row answers D_y itself."""
    s = Step(0, 80.0)
    assert (s.keep, s.pull, s.kick, s.past, s.plane, s.stage, s.snr) == (0, 1, 0, 0, 0, "predict", None)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_a_run_ends_on_the_clean_estimate(name: str) -> None:
    """Guards the last row: neither old state nor noise in the answer, and rows numbered as they are done."""
    steps = schedule(karras(6, 3.0, 0.01), SOLVERS[name])
    assert (steps[-1].keep, steps[-1].pull, steps[-1].kick, steps[-1].past) == (0, 1, 0, 0)
    assert [s.index for s in steps] == list(range(len(steps)))


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_a_row_leaves_a_constant_alone(name: str) -> None:
    """Guards consistency: where x = D = D_previous there is nothing to do but add noise."""
    for s in schedule(karras(9, 3.0, 0.01), SOLVERS[name]):
        assert abs(s.keep + s.pull + s.past - 1) < 1e-12


def test_calls_of_a_run() -> None:
    """Guards the cost: one call a level, Heun two except for the last."""
    grid = karras(10, 3.0, 0.01)
    assert len(schedule(grid, dpm_2m)) == 10
    assert len(schedule(grid, heun)) == 19
    assert len(schedule(grid, euler, snr=0.16)) == 20


@pytest.mark.parametrize("n", [1, 2, 5, 6])
@pytest.mark.parametrize("planes", [1, 2, 3])
def test_planes_take_turns_and_the_last_is_plane_0(n: int, planes: int) -> None:
    """Guards TPDM's K = 2 defect: a run may not end on the plane without data."""
    steps = schedule(karras(n, 3.0, 0.01), euler, alternating(planes))
    assert steps[-1].plane == 0
    assert all((a.plane - b.plane) % planes == 1 % planes for a, b in pairwise(steps))


def test_all_rows_of_a_grid_step_share_a_plane() -> None:
    """Guards Heun and Langevin: the second call of a step must not see another prior."""
    steps = schedule(karras(7, 3.0, 0.01), heun, alternating(2), snr=0.1)
    triples = [steps[i : i + 3] for i in range(0, 18, 3)]
    assert all(len({s.plane for s in t}) == 1 and t[0].stage == "correct" for t in triples)
    assert [t[0].plane for t in triples] + [steps[-1].plane] == [0, 1, 0, 1, 0, 1, 0]


def test_every_kth_step_asks_the_other_plane() -> None:
    """Guards TPDM's integer K: steps K-1, 2K-1 and so on, but never the last one."""
    planes = [s.plane for s in schedule(karras(9, 3.0, 0.01), euler, every(3), snr=0.1)]
    assert planes == [p for p in (0, 0, 1, 0, 0, 1, 0, 0, 0) for _ in range(2)]
    assert [s.plane for s in schedule(karras(4, 3.0, 0.01), euler, every(2))] == [0, 1, 0, 0]


def test_rows_of_one_perturbation() -> None:
    """Guards DAPS's shape: calls a level, noise only after the last of them, one call where little noise is left."""
    rows = perturb_and_solve(3, 0.01)(None, 2.0, 1.5)
    assert [r.sigma for r in rows] == [2.0, rows[1].sigma, 0.01] and [r.kick for r in rows] == [0, 0, 1.5]
    assert (rows[-1].keep, rows[-1].pull) == (0, 1)
    assert perturb_and_solve(3, 0.01)(None, 0.02, 0.01) == renoise(1.0)(None, 0.02, 0.01)


def test_last_row_in_the_coordinates_of_a_path_is_clean() -> None:
    """Guards the end of Euler-Maruyama, where the time of sigma = 0 is of no use."""
    (row,) = euler_maruyama(VariancePreserving())(1.0, 0.5, 0.0)
    assert (row.keep, row.pull, row.kick) == (0, 1, 0)


def test_drawn_planes_follow_their_shares_and_the_seed() -> None:
    """Guards TPDM's unseeded draw: same seed same planes, shares as asked, a data step at the end."""
    grid = log_uniform(2001, 3.0, 0.01)
    first = [s.plane for s in schedule(grid, euler, drawn((0.63, 0.37), 5))]
    assert first == [s.plane for s in schedule(grid, euler, drawn((0.63, 0.37), 5))]
    assert first != [s.plane for s in schedule(grid, euler, drawn((0.63, 0.37), 6))]
    assert first[-1] == 0
    assert abs(np.mean(first) - 0.37) < 4 * math.sqrt(0.37 * 0.63 / 2000)
    assert {s.plane for s in schedule(grid[-20:], euler, drawn((0.0, 1.0), 5))[:-1]} == {1}


BAD: dict[str, Callable[[], object]] = {
    "no steps": lambda: karras(0, 3.0, 0.1),
    "rising": lambda: log_uniform(5, 0.1, 3.0),
    "nan": lambda: karras(5, math.nan, 0.1),
    "zero end": lambda: karras(5, 3.0, 0.0),
    "open grid": lambda: schedule((3.0, 1.0)),
    "flat grid": lambda: schedule((3.0, 3.0, 0.0)),
    "eta": lambda: ddim(1.5),
    "zeta": lambda: renoise(-0.1),
    "inner steps": lambda: perturb_and_solve(0, 0.1),
    "inner end": lambda: perturb_and_solve(3, 0.0),
    "period": lambda: every(1),
    "shares": lambda: drawn((0.7, 0.7), 0),
    "two-step memory across a Langevin row": lambda: schedule(karras(5, 3.0, 0.1), dpm_2m, snr=0.1),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_numbers_are_refused_in_one_line(case: str) -> None:
    """Guards that a run that cannot be right does not start."""
    with pytest.raises(InputError) as error:
        BAD[case]()
    assert "\n" not in str(error.value)


def test_kick_keeps_its_digits_where_levels_are_close() -> None:
    """Guards against the cancellation in sigma^2 - sigma'^2, which float32 tables of 2000 levels suffer from."""
    sigma, after = 1.0, 1.0 - 2.0**-50
    (row,) = reverse_sde(None, sigma, after)
    assert row.kick == pytest.approx(math.sqrt(2.0**-49), rel=1e-12)
