"""Proximal guidance against the exact posterior of analytic Gaussians, at any (x, sigma) and without chance."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import PREVIOUS, State, as_denoiser, sample, start
from voxprior.diffusion.schedule import SOLVERS, Step, alternating, euler, karras, renoise, schedule
from voxprior.errors import InputError
from voxprior.guidance.proximal import DUAL, admm, consensus, noise_std, posterior_variance, proximal, unguided
from voxprior.operators.base import Measurement, Operator, conjugate_gradients
from voxprior.operators.separable import Separable
from voxprior.priors.gaussian import Posterior, StationaryGaussian, power_law

SHAPE = (3, 4, 6)
STD = 1.3
SIGMAS = (0.01, 0.1, 0.5, 2.0, 30.0)


class Dense:
    """Any matrix on the flattened image, proximal point from the normal equations or, iteratively, from scratch."""

    def __init__(self, a: NDArray[np.float64], iterate: bool = False) -> None:
        self.a, self.iterate = torch.from_numpy(a), iterate
        self.warm: list[Tensor | None] = []

    def apply(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.a.T

    def adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.a).reshape(-1, *SHAPE)

    def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
        self.warm.append(warm)
        if self.iterate:
            return conjugate_gradients(self, y, d, lam, warm, tolerance=1e-13).x
        gram = self.a @ self.a.T + lam * torch.eye(len(self.a), dtype=self.a.dtype)
        return d + self.adjoint(torch.linalg.solve(gram, (y - self.apply(d)).T).T)


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _operators() -> dict[str, Operator]:
    thick = np.kron(np.eye(2), np.full((1, 3), 1 / 3))
    dense = _rng().standard_normal((9, math.prod(SHAPE)))
    return {
        "slices": Separable({2: thick}, SHAPE),
        "slices and rows": Separable({2: thick, 0: _rng(1).standard_normal((2, 3))}, SHAPE),
        "dense": Dense(dense),
        "dense, conjugate gradients": Dense(dense, iterate=True),
    }


def _prior(exponent: float, scale: float = 1.0) -> StationaryGaussian:
    mean = torch.from_numpy(_rng(2).standard_normal(SHAPE))
    return StationaryGaussian(scale * mean, power_law(SHAPE, scale * STD, exponent))


def _images(n: int, seed: int = 3) -> Tensor:
    return torch.from_numpy(_rng(seed).standard_normal((n, *SHAPE)))


def _measure(operator: Operator, sigma: float | None) -> Measurement:
    return Measurement(operator, operator.apply(2 * _images(1, seed=5)), sigma)


@pytest.mark.parametrize("sigma_y", [0.02, 0.3, 4.0])
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("name", sorted(_operators()))
def test_exact_where_the_posterior_is_equally_wide(name: str, sigma: float, sigma_y: float) -> None:
    """Guards lam = sigma_y^2 / r^2: with a white prior D_y is E[x0 | x, y], whatever the operator and the noise."""
    prior, measurement = _prior(0.0), _measure(_operators()[name], sigma_y)
    x = prior.mean + math.hypot(STD, sigma) * _images(2)
    guided = as_denoiser(proximal([prior], measurement, STD))
    torch.testing.assert_close(guided(x, sigma), Posterior(prior, measurement)(x, sigma), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sigma_y", [None, 0.0])
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("name", sorted(_operators()))
def test_data_without_noise_are_matched_exactly(name: str, sigma: float, sigma_y: float | None) -> None:
    """Guards the projection: A D_y = y on every row, and what the data do not see is the prior's."""
    operator, prior = _operators()[name], _prior(2.0)
    measurement, x = _measure(operator, sigma_y), prior.mean + sigma * _images(2)
    d, d_y = prior(x, sigma), as_denoiser(proximal([prior], measurement, STD))(x, sigma)
    torch.testing.assert_close(operator.apply(d_y), measurement.y.expand(2, *measurement.y.shape[1:]))
    seen = operator.prox(torch.zeros_like(d), operator.apply(d_y - d), 0.0)
    torch.testing.assert_close(d_y - d, seen, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_variance_of_the_noise_alone_would_be_wrong(sigma: float) -> None:
    """Guards r^2: with sigma^2 in its place the data are overrated as soon as sigma passes the image's own std."""
    r2 = posterior_variance(sigma, STD)
    assert r2 == pytest.approx(1 / (1 / sigma**2 + 1 / STD**2), rel=1e-12)
    operator, prior = _operators()["slices"], _prior(0.0)
    measurement, x = _measure(operator, 1.0), prior.mean + math.hypot(STD, sigma) * _images(2)
    exact = Posterior(prior, measurement)(x, sigma)
    naive = operator.prox(prior(x, sigma), measurement.y.expand(2, -1, -1, -1), 1 / sigma**2)
    if sigma > STD:
        assert float((naive - exact).abs().max()) > 0.1 * STD


def _bias(exponent: float, sigma: float) -> float:
    """Root mean square of D_y less the exact one, in parts of the image's std, over typical x."""
    prior, operator = _prior(exponent), _operators()["slices"]
    truth = prior.draw(_images(40, seed=7))
    total = 0.0
    for k in range(len(truth)):
        one = truth[k : k + 1]
        y = operator.apply(one)
        measurement = Measurement(operator, y + 0.2 * torch.from_numpy(_rng(100 + k).standard_normal(y.shape)), 0.2)
        x = one + sigma * torch.from_numpy(_rng(200 + k).standard_normal(one.shape))
        d_y = as_denoiser(proximal([prior], measurement, STD))(x, sigma)
        total += float(((d_y - Posterior(prior, measurement)(x, sigma)) ** 2).mean())
    return math.sqrt(total / len(truth)) / STD


@pytest.mark.parametrize(
    ("sigma", "low", "high"), [(0.1, 0, 0.001), (0.5, 0.01, 0.02), (2.0, 0.04, 0.08), (30.0, 0.07, 0.12)]
)
def test_bias_on_a_coloured_prior(sigma: float, low: float, high: float) -> None:
    """States the bias: a posterior that is not r^2 times the identity makes D_y approximate, most at large sigma."""
    assert low < _bias(2.0, sigma) < high


def test_every_sample_has_its_own_answer() -> None:
    """Guards against quantities shared over the batch: each D_y is the one that x gets alone."""
    measurement, x = _measure(_operators()["dense"], 0.3), _images(4)
    guided = as_denoiser(proximal([_prior(2.0)], measurement, STD))
    for k in range(4):
        torch.testing.assert_close(guided(x, 0.7)[k], guided(x[k : k + 1], 0.7)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("unit", [1e-3, 256.0])
def test_guidance_scales_with_the_intensities(unit: float) -> None:
    """Guards against strengths in arbitrary units: image, data and both noises times c give D_y times c."""
    operator, x = _operators()["slices"], _images(2)
    one = _measure(operator, 0.3)
    scaled = Measurement(operator, unit * one.y, unit * 0.3)
    for build, scaled_build in (
        (proximal([_prior(2.0)], one, STD), proximal([_prior(2.0, unit)], scaled, unit * STD)),
        (admm([_prior(2.0)], one), admm([_prior(2.0, unit)], scaled)),
    ):
        expected = unit * as_denoiser(build)(x, 0.5)
        torch.testing.assert_close(as_denoiser(scaled_build)(unit * x, unit * 0.5), expected, rtol=1e-9, atol=1e-9)


def test_plane_of_the_row_picks_the_prior() -> None:
    """Guards that data are used on every plane: TPDM guided only half of its steps."""
    priors, measurement, x = [_prior(0.0), _prior(2.0)], _measure(_operators()["slices"], 0.3), _images(1)
    for plane, prior in enumerate(priors):
        assert torch.equal(as_denoiser(unguided(priors), plane)(x, 0.5), prior(x, 0.5))
        alone = as_denoiser(proximal([prior], measurement, STD))(x, 0.5)
        assert torch.equal(as_denoiser(proximal(priors, measurement, STD), plane)(x, 0.5), alone)
        assert torch.equal(
            as_denoiser(admm(priors, measurement), plane)(x, 0.5), as_denoiser(admm([prior], measurement))(x, 0.5)
        )


def test_estimate_keeps_the_prior_beside_the_guided_one() -> None:
    """Guards the Langevin step, whose length comes from the prior alone."""
    prior, x = _prior(2.0), _images(1)
    estimate, memory = proximal([prior], _measure(_operators()["slices"], None), STD)(x, Step(0, 0.5), {})
    assert torch.equal(estimate.prior, prior(x, 0.5)) and estimate.shift is None and not memory


def test_iterative_operators_start_from_the_previous_answer() -> None:
    """Guards the warm start through the memory of the run: none at first, then each row's own D_y."""
    operator = Dense(_rng().standard_normal((9, math.prod(SHAPE))), iterate=True)
    steps, rng = schedule(karras(4, 3.0, 0.1), euler), SeededNoise(0)
    begin = start(torch.zeros(1, *SHAPE, dtype=torch.float64), steps, White(), rng)
    states = list(sample(proximal([_prior(2.0)], _measure(operator, 0.3), STD), begin, steps, White(), rng))
    assert operator.warm[0] is None
    for warm, state in zip(operator.warm[1:], states, strict=False):
        assert warm is state.memory[PREVIOUS]


def _at_rest(name: str, rows: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Plug-and-play at one noise level (the state is D_y), and the exact posterior mean given y alone."""
    prior, measurement = _prior(2.0), _measure(_operators()["slices"], 0.5)
    guided = {"admm": admm([prior], measurement), "proximal": proximal([prior], measurement, STD)}[name]
    steps = tuple(Step(i, sigma) for i in range(rows))
    *_, last = sample(guided, State(prior.mean[None]), steps, White(), SeededNoise(0))
    return last.x, Posterior(prior, measurement)(last.x, math.inf)


@pytest.mark.parametrize("sigma", [0.5, 1.5])
def test_dual_comes_to_rest_at_the_posterior_mean(sigma: float) -> None:
    """Guards the dual's equations, signs and units: at rest prior and data are in balance, for a coloured prior too."""
    found, exact = _at_rest("admm", 400, sigma)
    torch.testing.assert_close(found, exact, rtol=1e-7, atol=1e-7)


def test_without_the_dual_the_rest_is_elsewhere() -> None:
    """Guards that the test above can fail: the same iteration without memory of the disagreement is biased."""
    found, exact = _at_rest("proximal", 400, 0.5)
    assert float((found - exact).abs().max()) > 0.05 * STD


def test_first_row_of_the_dual_is_plain() -> None:
    """Guards the start: without memory D_y is the proximal point with penalty 1/sigma^2."""
    prior, measurement, x = _prior(2.0), _measure(_operators()["slices"], 0.3), _images(1)
    expected = as_denoiser(proximal([prior], measurement, math.inf))(x, 0.8)
    torch.testing.assert_close(as_denoiser(admm([prior], measurement))(x, 0.8), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("solver", ["dpm++2m", "renoise"])
def test_dual_survives_an_interruption(solver: str) -> None:
    """Guards that the dual lives in the state and nowhere else: one guided object serves two runs at a time."""
    guided = admm([_prior(2.0), _prior(1.0)], _measure(_operators()["slices"], 0.3))
    steps, rng = schedule(karras(6, 3.0, 0.1), SOLVERS[solver], alternating(2)), SeededNoise(0)
    begin = start(torch.zeros(2, *SHAPE, dtype=torch.float64), steps, White(), rng)
    whole = list(sample(guided, begin, steps, White(), rng))
    middle = whole[2]
    assert set(middle.memory) == {DUAL, PREVIOUS}
    *_, last = sample(guided, State(middle.x, middle.index, dict(middle.memory)), steps, White(), rng)
    assert torch.equal(last.x, whole[-1].x)


def test_noise_std_of_a_measurement() -> None:
    """Guards the reading of sigma: unknown is 0, a tensor of one number is that number."""
    operator = _operators()["slices"]
    y = _measure(operator, None).y
    given: list[tuple[float | Tensor | None, float]] = [(None, 0.0), (0.5, 0.5), (torch.tensor([0.25]), 0.25)]
    for sigma, expected in given:
        assert noise_std(Measurement(operator, y, sigma)) == expected


@pytest.mark.parametrize("sigma", [torch.ones(2), -1.0, math.nan, math.inf])
def test_noise_that_is_not_one_number_is_refused(sigma: float | Tensor) -> None:
    """Guards against a silent mean over noise levels, and against nonsense."""
    operator = _operators()["slices"]
    measurement = Measurement(operator, _measure(operator, None).y, sigma)
    with pytest.raises(InputError, match="noise std"):
        proximal([_prior(0.0)], measurement, STD)
    with pytest.raises(InputError, match="noise std"):
        admm([_prior(0.0)], measurement)


@pytest.mark.parametrize("std", [0.0, -1.0, math.nan])
def test_image_std_must_be_positive(std: float) -> None:
    """Guards r^2 against a division by zero."""
    with pytest.raises(InputError, match="data std"):
        proximal([_prior(0.0)], _measure(_operators()["slices"], 0.1), std)


def test_noise_free_run_ends_on_the_data() -> None:
    """Guards the certificate of sample mode: whatever the solver, the answer's residual is rounding."""
    operator = _operators()["slices"]
    measurement = _measure(operator, None)
    for solver in (*SOLVERS.values(), renoise(0.3)):
        steps, rng = schedule(karras(5, 3.0, 0.1), solver), SeededNoise(0)
        begin = start(torch.zeros(2, *SHAPE, dtype=torch.float64), steps, White(), rng)
        *_, last = sample(proximal([_prior(2.0)], measurement, STD), begin, steps, White(), rng)
        torch.testing.assert_close(operator.apply(last.x), measurement.y.expand(2, -1, -1, -1))


def test_consensus_rests_where_prior_and_data_agree() -> None:
    """At a constant level it comes to the point where D and the proximal point are one, and the dual stands still.

    For a Gaussian prior that point is a closed form: D(x - u) = x and A'(A x - y) = (sigma_y/sigma)^2 u.
    """
    generator = torch.Generator().manual_seed(0)
    prior = StationaryGaussian(torch.zeros(()), power_law((6, 5, 4), 1.0))
    operator = Separable({0: torch.eye(6, dtype=torch.float64).reshape(3, 2, 6).mean(1).numpy()}, (6, 5, 4))
    y = torch.randn((1, 3, 5, 4), generator=generator, dtype=torch.float64)
    sigma_y, sigma = 0.3, 0.5
    guided = consensus([prior], Measurement(operator, y, sigma_y))
    x: torch.Tensor = torch.zeros((1, 6, 5, 4), dtype=torch.float64)
    memory: Mapping[str, Tensor] = {}
    for i in range(400):
        estimate, memory = guided(x, Step(i, sigma), memory)
        x = estimate.denoised
    u = memory["dual"]
    assert torch.allclose(prior(x - u, sigma), x, atol=1e-6)
    assert torch.allclose(operator.adjoint(operator.apply(x) - y), (sigma_y / sigma) ** 2 * u, atol=1e-6)
