"""Gaussian paths against published numbers, against products, and against the equations that they solve."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxprior.diffusion.path import (
    Cosine,
    CosineProduct,
    Ddpm,
    Diffusion,
    Edm,
    Path,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
    levels,
)
from voxprior.diffusion.schedule import log_uniform
from voxprior.errors import InputError

PATHS: dict[str, Path] = {
    "ve": VarianceExploding(0.01, 378.0),
    "vp": VariancePreserving(),
    "sub-vp": SubVariancePreserving(),
    "cosine": Cosine(),
    "ddpm": Ddpm(),
    "ddpm 100": Ddpm(100),
    "cosine product": CosineProduct(),
    "edm": Edm(),
}
DIFFUSIONS: dict[str, Diffusion] = {
    "ve": VarianceExploding(0.01, 348.0),
    "vp": VariancePreserving(),
    "sub-vp": SubVariancePreserving(),
    "edm": Edm(),
}


def _published(value: float, digits: str) -> bool:
    """Whether ``value`` reads ``digits`` at as many digits as are given."""
    return float(f"{value:.{len(digits.replace('.', '').lstrip('0'))}g}") == float(digits)


@pytest.mark.parametrize(
    ("found", "digits"),
    [
        (Ddpm().sigma(0), "0.0100005"),
        (Ddpm().sigma(499), "3.424137"),
        (Ddpm().sigma(999), "157.40728"),
        (1 / Ddpm().a(999), "157.41046"),
        (Ddpm().a(19) ** 2, "0.994231"),
        (Ddpm().a(20) ** 2, "0.993735"),
        (Ddpm().a(500) ** 2, "0.0777967"),
        (VariancePreserving().a(0.1), "0.946722"),
        (VariancePreserving().b(0.1), "0.322053"),
        (VariancePreserving().sigma(0.1), "0.340177"),
        (VariancePreserving().a(0.5), "0.281183"),
        (VariancePreserving().b(0.5), "0.959654"),
        (VariancePreserving().sigma(0.5), "3.412918"),
        (VariancePreserving().a(1), "0.00657159"),
        (VariancePreserving().b(1), "0.99997841"),
        (VariancePreserving().sigma(1), "152.16697"),
        (CosineProduct().a(10) ** 2, "0.99905048"),
        (CosineProduct().a(50) ** 2, "0.89944272"),
        (CosineProduct().a(100) ** 2, "0.43303552"),
        (CosineProduct().a(150) ** 2, "0.05963673"),
        (CosineProduct().a(200) ** 2, "0.00123561"),
        (CosineProduct().sigma(10), "0.01688573"),
        (CosineProduct().sigma(50), "0.18313891"),
        (CosineProduct().sigma(100), "0.62672467"),
        (CosineProduct().sigma(150), "2.17496135"),
        (CosineProduct().sigma(200), "15.57226867"),
    ],
)
def test_known_answers(found: float, digits: str) -> None:
    """Guards every published table to all of its digits."""
    assert _published(found, digits)


def test_smallest_factor_of_the_table() -> None:
    """Guards abar[980] = 5.90375e-5, where rounding of a long product would show."""
    assert f"{Ddpm().a(980) ** 2:.5e}" == "5.90375e-05"


@pytest.mark.parametrize(("path", "times"), [(Ddpm(), range(1000)), (Ddpm(100), range(100))])
def test_table_is_the_product_of_its_steps(path: Ddpm, times: range) -> None:
    """Guards the DDPM table, also one that is rebuilt for another number of steps, against the plain product."""
    beta = np.linspace(0.1 / path.steps, 20 / path.steps, path.steps)
    kept = np.cumprod(1 - beta)
    np.testing.assert_allclose([path.a(t) ** 2 for t in times], kept, rtol=1e-12)
    np.testing.assert_allclose([path.b(t) ** 2 for t in times], 1 - kept, rtol=1e-12, atol=1e-14)


def test_cosine_product_is_the_product_of_its_steps() -> None:
    """Guards the process with terminal variance .3: alpha is the squared cosine, abar its product."""
    path = CosineProduct()
    kept = np.cumprod(np.cos(math.pi * np.arange(1, 301) / 2000) ** 2)
    np.testing.assert_allclose([path.a(t) ** 2 for t in range(1, 301)], kept, rtol=1e-12)
    np.testing.assert_allclose([path.b(t) ** 2 for t in range(1, 301)], 0.3 * (1 - kept), rtol=1e-9)


def test_table_of_few_steps_still_ends_in_noise() -> None:
    """Guards HFS-SDE's defect: a table of 1000 steps walked with 100 visited only small noise."""
    assert Ddpm(100).sigma(99) > 150
    assert levels(VarianceExploding(0.01, 348.0), 300, 348.0, 0.01)[:-1] == pytest.approx(
        [0.01 * 34800 ** (j / 299) for j in range(299, -1, -1)], rel=1e-12
    )


def test_useful_part_of_the_cosine_product() -> None:
    """Guards the statement that four fifths of its steps carry no signal: a grid has to be laid in sigma."""
    path = CosineProduct()
    assert sum(path.sigma(t) < 20 for t in range(1, 1000)) == 204
    assert path.t(80.0) == pytest.approx(228, abs=1)
    grid = levels(path, 20, 80.0, 0.001)
    assert grid[0] == 80 and grid[-2] == 0.001 and all(a > b for a, b in pairwise(grid))


@pytest.mark.parametrize("name", sorted(PATHS))
@given(part=st.floats(0.0, 1.0))
def test_time_is_the_inverse_of_sigma(name: str, part: float) -> None:
    """Guards labels of networks: t(sigma(t)) = t, fractions of a step included, and sigma = b/a."""
    path = PATHS[name]
    last = {"edm": 80.0, "ddpm": 999.0, "ddpm 100": 99.0, "cosine product": 300.0, "cosine": 0.999}.get(name, 1.0)
    first = {"cosine product": 1.0}.get(name, 0.0)
    t = first + (last - first) * max(part, 1e-6)
    sigma = path.sigma(t)
    assert path.t(sigma) == pytest.approx(t, rel=1e-10, abs=1e-12 * last)
    assert path.sigma(path.t(sigma)) == pytest.approx(sigma, rel=1e-12)
    assert path.b(t) / path.a(t) == pytest.approx(sigma, rel=1e-12)


@pytest.mark.parametrize("name", ["ddpm", "ddpm 100", "cosine product"])
def test_beyond_a_table_its_ends_answer(name: str) -> None:
    """Guards a label that a network has never seen: it is clamped, above and below."""
    path = PATHS[name]
    assert path.t(1e-9) == path.t(path.sigma(-5.0)) and path.sigma(1e9) == path.sigma(path.t(1e300))


@pytest.mark.parametrize("name", ["vp", "cosine", "ddpm"])
def test_variance_preserving_paths_keep_the_variance(name: str) -> None:
    """Guards a^2 + b^2 = 1, on which v-prediction rests."""
    path = PATHS[name]
    for t in np.linspace(0, 999 if name == "ddpm" else 0.999, 37):
        assert path.a(float(t)) ** 2 + path.b(float(t)) ** 2 == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("name", sorted(DIFFUSIONS))
def test_paths_solve_their_equation(name: str, t: float) -> None:
    """Guards drift and diffusion: mean and variance of x_t obey m' = f m and v' = 2 f v + g^2."""
    path, h = DIFFUSIONS[name], 1e-5
    slope_a = (path.a(t + h) - path.a(t - h)) / (2 * h)
    slope_v = (path.b(t + h) ** 2 - path.b(t - h) ** 2) / (2 * h)
    assert slope_a == pytest.approx(path.drift(t) * path.a(t), rel=1e-7, abs=1e-9)
    assert slope_v == pytest.approx(2 * path.drift(t) * path.b(t) ** 2 + path.diffusion(t), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", sorted(PATHS))
def test_grids_fall_from_end_to_end(name: str) -> None:
    """Guards the ends, which are exact, and the order of the levels between them."""
    for n in (1, 2, 3, 17):
        grid = levels(PATHS[name], n, 9.0, 0.05)
        assert len(grid) == n + 1 and grid[0] == 9 and grid[-1] == 0
        assert n == 1 or grid[-2] == 0.05
        assert all(a > b for a, b in pairwise(grid))


def test_grid_of_the_exploding_path_has_one_ratio() -> None:
    """Guards agreement with the grid by ratio, to rounding."""
    path = VarianceExploding(0.01, 378.0)
    assert levels(path, 2000, 378.0, 0.01) == pytest.approx(log_uniform(2000, 378.0, 0.01), rel=1e-12)


@pytest.mark.parametrize(
    "build",
    [
        lambda: VarianceExploding(0.0, 1.0),
        lambda: VarianceExploding(2.0, 1.0),
        lambda: VariancePreserving(1.0, 0.5),
        lambda: Ddpm(20),
        lambda: Ddpm(0),
        lambda: CosineProduct(0.0),
        lambda: CosineProduct(0.3, 2),
        lambda: levels(Edm(), 0, 1.0, 0.1),
        lambda: levels(Edm(), 5, 0.1, 1.0),
        lambda: levels(Edm(), 5, math.inf, 1.0),
    ],
)
def test_nonsense_is_refused(build: object) -> None:
    """Guards against tables whose beta passes 1, and noise that does not fall."""
    assert callable(build)
    with pytest.raises(InputError):
        build()
