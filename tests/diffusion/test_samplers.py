"""Every sampler against its own recursion, the continuous limit, and the schedule's variances: all without chance."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.path import SubVariancePreserving, VarianceExploding, VariancePreserving, levels
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import PREVIOUS, Guided, State, sample, start
from voxprior.diffusion.schedule import (
    SOLVERS,
    Solver,
    Step,
    alternating,
    ddim,
    euler_maruyama,
    karras,
    log_uniform,
    perturb_and_solve,
    renoise,
    schedule,
)
from voxprior.guidance.proximal import proximal, unguided
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.gaussian import GaussianMixture, Posterior, StationaryGaussian, power_law

Matrix = NDArray[np.float64]
Affine = tuple[Matrix, Matrix]
N = 6
ALL: dict[str, Solver] = {
    **SOLVERS,
    "ddim 0.5": ddim(0.5),
    "renoise 0.3": renoise(0.3),
    "maruyama vp": euler_maruyama(VariancePreserving()),
    "maruyama ve": euler_maruyama(VarianceExploding(0.01, 378.0)),
    "perturb and solve": perturb_and_solve(4, 0.02),
}
NOISE_STD, DATA_STD = 0.3, 1.1


def _priors() -> list[StationaryGaussian]:
    mean = torch.linspace(-1, 1, N, dtype=torch.float64)
    return [StationaryGaussian(mean, power_law((N,), 1.0, p)) for p in (1.0, 2.0)]


def _measurement() -> tuple[Measurement, Matrix]:
    a = np.kron(np.eye(2), np.full((1, 3), 1 / 3))
    y = torch.tensor([[0.4, -0.9]], dtype=torch.float64)
    return Measurement(Separable({0: a}, (N,)), y, NOISE_STD), a


def _covariance(prior: StationaryGaussian) -> Matrix:
    basis = np.fft.fft(np.eye(N)) / math.sqrt(N)
    return np.real(basis.conj().T @ np.diag(prior.spectrum.numpy()) @ basis)


def _dense(step_plane: int, sigma: float) -> Affine:
    """D_y = G x + h of the proximal guidance, by dense algebra from its equations."""
    prior, (measurement, a) = _priors()[step_plane], _measurement()
    c, m = _covariance(prior), prior.mean.numpy()
    gain = c @ np.linalg.inv(c + sigma**2 * np.eye(N))
    lam = NOISE_STD**2 / (sigma**2 / (1 + sigma**2 / DATA_STD**2))
    back = np.linalg.inv(a.T @ a + lam * np.eye(N))
    return back @ (lam * gain), back @ (a.T @ measurement.y[0].numpy() + lam * (m - gain @ m))


def _literal(
    name: str, before: Affine | None, levels: tuple[float, float, float], d: Affine, e: Affine
) -> tuple[Matrix, Matrix, float]:
    """One grid step of the textbook formula on u = (x, D_previous): (T, offset, kick), where D(x) = G x + h.

    ``levels``: sigma before, sigma, sigma after; ``e``: the denoiser at sigma after, for Heun.
    """
    s_old, s, t = levels
    g, h = d
    eye, zero = np.eye(N), np.zeros((N, N))
    ratio, kick = t / s, 0.0
    if name == "heun" and t > 0:
        k1, c1 = (eye - g) / s, -h / s
        k2, c2 = (eye - e[0]) / t, -e[1] / t
        xe, ce = eye + (t - s) * k1, (t - s) * c1
        top = eye + (t - s) / 2 * (k1 + k2 @ xe)
        off = (t - s) / 2 * (c1 + k2 @ ce + c2)
        return np.block([[top, zero], [e[0] @ xe, zero]]), np.concatenate([off, e[0] @ ce + e[1]]), 0.0
    if name == "dpm++2m" and before is not None and t > 0:
        step, old = math.log(s / t), math.log(s_old / s)
        a, b = 1 + step / (2 * old), step / (2 * old)
        f = -math.expm1(-step)
        return (
            np.block([[ratio * eye + f * a * g, -f * b * eye], [g, zero]]),
            np.concatenate([f * a * h, h]),
            0.0,
        )
    if name.startswith("maruyama") and t > 0:
        return _maruyama(name, s, t, d)
    if name in ("reverse-sde", "maruyama vp", "maruyama ve"):
        q = 1 - t**2 / s**2
        top, off = eye + q * (g - eye), q * h
        kick = math.sqrt(s**2 - t**2) if t > 0 else 0.0
    elif name.startswith("renoise"):
        zeta = 0.3 if name.endswith("0.3") else 1.0
        top = g + t * math.sqrt(1 - zeta) * (eye - g) / s
        off, kick = h - t * math.sqrt(1 - zeta) * h / s, math.sqrt(zeta) * t
    else:
        eta = {"ancestral": 1.0, "ddim 0.5": 0.5}.get(name, 0.0)
        up = math.sqrt(eta**2 * t**2 * (1 - t**2 / s**2))
        down = math.sqrt(t**2 - up**2)
        top, off, kick = g + down / s * (eye - g), h - down / s * h, up
    return np.block([[top, zero], [g, zero]]), np.concatenate([off, h]), kick


def _maruyama(name: str, s: float, t: float, d: Affine) -> tuple[Matrix, Matrix, float]:
    """``x_t <- x_t - (f x_t - g^2 score) dt + g sqrt(dt) z`` in the path's coordinates, from its published numbers."""
    g, h = d
    eye, zero = np.eye(N), np.zeros((N, N))
    if name == "maruyama vp":
        now, then = ((math.sqrt(0.01 + 39.8 * math.log(1 + v**2)) - 0.1) / 19.9 for v in (s, t))
        a, a_then = (math.exp(-(u**2) * 19.9 / 4 - u * 0.05) for u in (now, then))
        f, g2, b2 = -(0.1 + 19.9 * now) / 2, 0.1 + 19.9 * now, 1 - a**2
    else:
        now, then = (math.log(v / 0.01) / math.log(37800) for v in (s, t))
        a = a_then = 1.0
        f, g2, b2 = 0.0, 2 * math.log(37800) * s**2, s**2
    dt = now - then
    top = a * eye - dt * (f * a * eye - g2 * (a * g - a * eye) / b2)
    off = dt * g2 * a * h / b2
    return np.block([[top / a_then, zero], [g, zero]]), np.concatenate([off / a_then, h]), math.sqrt(g2 * dt) / a_then


def _solved(s: float, t: float, plane: int) -> tuple[Matrix, Matrix, float]:
    """Euler steps of the ODE down to the clean image, then noise of std t."""
    eye = np.eye(N)
    down = karras(4, s, 0.02) if s > 0.04 else (s, 0.0)
    x, cx, last = eye, np.zeros(N), (eye, np.zeros(N))
    for here, there in pairwise(down):
        g, h = _dense(plane, here)
        last = g @ x, g @ cx + h
        x, cx = x + (there - here) * (x - last[0]) / here, cx + (there - here) * (cx - last[1]) / here
    zero = np.zeros((N, N))
    return np.block([[x, zero], [last[0], zero]]), np.concatenate([cx, last[1]]), t


def _recursion(name: str, grid: tuple[float, ...], planes: int) -> tuple[Matrix, Matrix]:
    """Mean and covariance of (x, D_previous) after the run, from x ~ N(0, sigma_0^2)."""
    mean, cov = np.zeros(2 * N), np.zeros((2 * N, 2 * N))
    cov[:N, :N] = grid[0] ** 2 * np.eye(N)
    n, before = len(grid) - 1, None
    for i, (s, t) in enumerate(pairwise(grid)):
        plane = (n - 1 - i) % planes
        d, e = _dense(plane, s), _dense(plane, t) if t > 0 else _dense(plane, s)
        if name == "perturb and solve":
            top, off, kick = _solved(s, t, plane)
        else:
            top, off, kick = _literal(name, before, (grid[i - 1], s, t), d, e)
        mean, cov = top @ mean + off, top @ cov @ top.T
        cov[:N, :N] += kick**2 * np.eye(N)
        before = d
    return mean, cov


class OneHot:
    """Noise that is 1 in a single element of a single row for each sample: a run reads off its own linear map."""

    def __init__(self, rows: list[int], n: int) -> None:
        self.rows, self.n = rows, n

    def __call__(self, sample: int, step: int, shape: tuple[int, ...]) -> Tensor:
        z = torch.zeros(self.n, dtype=torch.float64)
        if step in self.rows and sample // self.n == self.rows.index(step):
            z[sample % self.n] = 1
        return z.reshape(shape)


def _moments(guided: Guided, steps: tuple[Step, ...]) -> tuple[Matrix, Matrix]:
    """Mean and covariance of (x, D_previous) after the code's own run, exactly, through one-hot noise."""
    rows = [-1, *(s.index for s in steps if s.kick)]
    rng, count = OneHot(rows, N), len(rows) * N + 1
    state = start(torch.zeros(count, N, dtype=torch.float64), steps, White(), rng)
    *_, state = sample(guided, state, steps, White(), rng)
    u = torch.cat([state.x, state.memory[PREVIOUS]], dim=1).numpy()
    mean, spread = u[-1], u[:-1] - u[-1]
    return mean, spread.T @ spread


@pytest.mark.parametrize("planes", [1, 2])
@pytest.mark.parametrize("name", sorted(ALL))
def test_mean_and_covariance_follow_the_textbook(name: str, planes: int) -> None:
    """Guards every coefficient of every solver, the order of the rows, the planes and the guidance."""
    grid = karras(7, 5.0, 0.05)
    guided = proximal(_priors(), _measurement()[0], DATA_STD)
    mean, cov = _moments(guided, schedule(grid, ALL[name], alternating(planes)))
    expected_mean, expected_cov = _recursion(name, grid, planes)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-10)
    np.testing.assert_allclose(cov, expected_cov, atol=1e-10)


def _slope(error: Callable[[int], float], counts: tuple[int, ...]) -> float:
    return -float(np.polyfit(np.log(counts), np.log([error(n) for n in counts]), 1)[0])


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("dpm++2m", 2)])
def test_order_of_the_ode_solvers(name: str, order: int) -> None:
    """Guards the order of convergence to the closed form of the probability-flow ODE on a Gaussian."""
    prior, top, bottom = _priors()[1], 5.0, 0.2
    x = torch.linspace(-9, 7, N, dtype=torch.float64)[None]
    gain = torch.sqrt((prior.spectrum + bottom**2) / (prior.spectrum + top**2))
    expected = prior.mean + prior.filter(x - prior.mean, gain)

    def error(n: int) -> float:
        states = list(
            sample(unguided([prior]), State(x), schedule(log_uniform(n, top, bottom), ALL[name]), White(), _silent)
        )
        return float((states[-2].x - expected).abs().max())

    assert _slope(error, (32, 64, 128, 256)) == pytest.approx(order, abs=0.12)


def _silent(sample: int, step: int, shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def _variances(steps: tuple[Step, ...], c: float, v: float) -> list[float]:
    """Variance of x after every row for a prior N(0, c)."""
    found = []
    for s in steps:
        v = (s.keep + s.pull * c / (c + s.sigma**2)) ** 2 * v + s.kick**2
        found.append(v)
    return found


@pytest.mark.parametrize("name", ["ancestral", "ddim 0.5", "reverse-sde"])
def test_weak_order_of_the_stochastic_solvers(name: str) -> None:
    """Guards that samples of a Gaussian reach its variance at first order in the number of steps."""
    c, top, bottom = 1.0, 20.0, 0.2

    def error(n: int) -> float:
        found = _variances(schedule(log_uniform(n, top, bottom), ALL[name]), c, c + top**2)
        return abs(found[-2] - c - bottom**2)

    assert _slope(error, (64, 128, 256, 512)) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("path", [VariancePreserving(), SubVariancePreserving(), VarianceExploding(0.01, 378.0)])
def test_weak_order_in_the_coordinates_of_a_path(path: VariancePreserving) -> None:
    """Guards Euler-Maruyama on each published SDE: variance .25 of the image is reached at first order."""
    c, solver = 0.25, euler_maruyama(path)

    def error(n: int) -> float:
        steps = schedule(levels(path, n, 100.0, 0.03), solver)
        return abs(_variances(steps, c, c + 1e4)[-2] - c - 0.03**2)

    assert error(1000) < 0.002 * c
    assert _slope(error, (4000, 8000, 16000)) == pytest.approx(1, abs=0.1)


def test_three_dimensions_with_their_own_planes() -> None:
    """Guards axes and planes: a run on a volume, its denoiser diagonal in the FFT, is exact frequency by frequency."""
    shape, grid = (3, 4, 5), karras(9, 8.0, 0.05)
    priors = [StationaryGaussian(torch.zeros((), dtype=torch.float64), power_law(shape, 1.0, p)) for p in (1.0, 2.0)]
    for name, solver in ALL.items():
        steps = schedule(grid, solver, alternating(2), snr=None)
        v, mixed = torch.full(shape, grid[0] ** 2, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        old = torch.zeros(shape, dtype=torch.float64)  # variance of D_previous; ``mixed``: its covariance with x
        for s in steps:
            g = priors[s.plane].spectrum / (priors[s.plane].spectrum + s.sigma**2)
            k = s.keep + s.pull * g
            new = k**2 * v + 2 * k * s.past * mixed + s.past**2 * old + s.kick**2
            v, mixed, old = new, g * (k * v + s.past * mixed), g**2 * v
        rows = [-1, *(s.index for s in steps if s.kick)]
        n = math.prod(shape)
        rng = OneHot(rows, n)
        state = start(torch.zeros(len(rows) * n, *shape, dtype=torch.float64), steps, White(), rng)
        *_, state = sample(unguided(priors), state, steps, White(), rng)
        power = torch.fft.fftn(state.x, dim=(1, 2, 3), norm="ortho").abs() ** 2
        torch.testing.assert_close(power.sum(0), v, rtol=1e-9, atol=1e-10, msg=name)


@pytest.mark.parametrize("name", ["euler", "ancestral", "ddim 0.5", "renoise", "renoise 0.3"])
def test_noise_level_of_a_point_prior_is_the_schedule(name: str) -> None:
    """Guards that x has std sigma' after every step, exactly, when there is nothing but noise in it."""
    steps = schedule(karras(12, 40.0, 0.01), ALL[name])
    levels = [s.sigma for s in steps[1:]] + [0.0]
    found = np.sqrt(_variances(steps, 0.0, 40.0**2))
    np.testing.assert_allclose(found, levels, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("c", [0.0, 0.05])
def test_reverse_sde_keeps_the_noise_of_its_predictor(c: float) -> None:
    """Guards TPDM's defect: its 2000 steps threw the predictor's noise away, and the variance fell behind."""
    steps = schedule(log_uniform(2000, 378.0, 0.01), SOLVERS["reverse-sde"])
    levels = np.array([s.sigma for s in steps[1:]])
    kept = np.array(_variances(steps, c, c + 378.0**2))[:-1]
    assert np.abs(kept / (c + levels**2) - 1).max() < 0.012
    dropped = _variances(tuple(Step(s.index, s.sigma, s.keep, s.pull) for s in steps), c, c + 378.0**2)[:-1]
    assert dropped[0] / (c + levels[0] ** 2) == pytest.approx(0.99474**2, abs=1e-4)
    assert dropped[1000] < 0.1 * levels[1000] ** 2


def test_renoise_is_narrow_on_a_prior_with_spread() -> None:
    """States a bias: the estimate plus fresh noise never puts the spread of x0 given x back, up to half is lost."""
    steps = schedule(log_uniform(20000, 20.0, 0.005), SOLVERS["renoise"])
    assert _variances(steps, 1.0, 401.0)[-2] == pytest.approx(0.5, abs=0.01)
    steps = schedule(log_uniform(20000, 20.0, 0.005), SOLVERS["ancestral"])
    assert _variances(steps, 1.0, 401.0)[-2] == pytest.approx(1.0, abs=0.01)


def test_solving_before_the_noise_keeps_the_spread() -> None:
    """Guards DAPS against the bias above: with more inner steps the variance of samples comes nearer to the prior's."""
    grid = log_uniform(40, 20.0, 0.005)
    found = [_variances(schedule(grid, perturb_and_solve(k, 0.01)), 1.0, 401.0)[-1] for k in (1, 4, 16, 64)]
    assert found[0] < 0.5 and found[-1] == pytest.approx(1.0, abs=0.03)
    assert found == sorted(found)


@pytest.mark.parametrize("name", ["euler", "heun", "dpm++2m", "ancestral", "reverse-sde"])
def test_samplers_reach_the_posterior(name: str) -> None:
    """Guards the whole chain: with the exact D_y mean and spread of the samples are those of p(x0 | y)."""
    prior, (measurement, a) = _priors()[1], _measurement()
    c, m = _covariance(prior), prior.mean.numpy()
    gain = c @ a.T @ np.linalg.inv(a @ c @ a.T + NOISE_STD**2 * np.eye(2))
    exact_mean, exact_cov = m + gain @ (measurement.y[0].numpy() - a @ m), c - gain @ a @ c
    count = 40 if name in ("heun", "dpm++2m") else 240
    steps = schedule(log_uniform(count, 60.0, 0.004), SOLVERS[name])
    mean, cov = _moments(unguided([Posterior(prior, measurement)]), steps)
    assert np.abs(mean[:N] - exact_mean).max() < 0.02
    assert np.linalg.norm(cov[:N, :N] - exact_cov) < 0.05 * np.linalg.norm(exact_cov)


@pytest.mark.parametrize("name", ["ancestral", "dpm++2m", "heun"])
def test_modes_of_a_mixture_keep_their_shares(name: str) -> None:
    """Guards a prior that is no Gaussian: samples fall into both of its modes as often as they should."""
    modes = [StationaryGaussian(torch.full((), m, dtype=torch.float64), power_law((N,), 0.5, 1.0)) for m in (1.5, -1.5)]
    prior, count, rng = GaussianMixture(tuple(modes), (0.3, 0.7)), 400, SeededNoise(8)
    steps = schedule(log_uniform(60, 40.0, 0.01), ALL[name])
    state = start(torch.zeros(count, N, dtype=torch.float64), steps, White(), rng)
    *_, state = sample(unguided([prior]), state, steps, White(), rng)
    rare = state.x[state.x.mean(1) > 0]
    assert stats.binomtest(len(rare), count, 0.3).pvalue > 1e-4
    assert float((rare - 1.5).square().mean().sqrt()) == pytest.approx(0.5, rel=0.12)


def test_samples_are_drawn_from_the_law_that_was_computed() -> None:
    """Guards the path that one-hot noise does not take: the seeded source, its scale and its independence."""
    grid, count = karras(6, 5.0, 0.05), 500
    guided = proximal(_priors(), _measurement()[0], DATA_STD)
    steps = schedule(grid, ddim(0.5))[:-1]
    rng = SeededNoise(11)
    state = start(torch.zeros(count, N, dtype=torch.float64), steps, White(), rng)
    *_, state = sample(guided, state, steps, White(), rng)
    mean, cov = _moments(guided, steps)
    white = np.linalg.solve(np.linalg.cholesky(cov[:N, :N]), (state.x.numpy() - mean[:N]).T)
    total, centre = float((white**2).sum()), float(count * (white.mean(1) ** 2).sum())
    for value, freedom in ((total, N * count), (centre, N)):
        p = stats.chi2.cdf(value, freedom)
        assert 2 * min(p, 1 - p) > 1e-4
