"""Diffusion of the high frequencies: low ones stand still to rounding, high ones have the law that they should."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, pullback
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.sample import PREVIOUS, Estimate, State, sample, start
from voxprior.diffusion.schedule import SOLVERS, Solver, Step, dpm_2m, log_uniform, schedule
from voxprior.diffusion.subspace import Confined, HighFrequency, highpass
from voxprior.errors import InputError
from voxprior.guidance.proximal import unguided
from voxprior.priors.gaussian import StationaryGaussian, power_law

SHAPE = (9, 12)


def _images(n: int, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> Tensor:
    return torch.view_as_complex(torch.from_numpy(np.random.default_rng(seed).standard_normal((n, *shape, 2))))


def _dense_low(shape: tuple[int, int], acs: int, axis: int | None) -> NDArray[np.complex128]:
    """P as a matrix, from the definition: centred transform matrices and the central lines."""

    def transform(n: int) -> NDArray[np.complex128]:
        k = np.arange(n) - n // 2
        return np.exp(-2j * np.pi * np.outer(k, k) / n) / math.sqrt(n)

    f = np.kron(transform(shape[0]), transform(shape[1]))
    lines = [[(n - acs) // 2 <= i < (n + acs) // 2 for i in range(n)] for n in shape]
    picked = [lines[a] if axis in (None, a) else [True] * n for a, n in enumerate(shape)]
    return f.conj().T @ np.diag(np.kron(*picked).astype(float)) @ f


@pytest.mark.parametrize("acs", [2, 4])
@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("shape", [(6, 8), (8, 6)])
def test_projectors_are_those_of_the_definition(shape: tuple[int, int], axis: int | None, acs: int) -> None:
    """Guards the place of the centre, the order of the frequencies and the axis of the lines, by a dense matrix."""
    x, process = _images(2, shape), HighFrequency(highpass(shape, acs, axis))
    expected = (_dense_low(shape, acs, axis) @ x.flatten(1).numpy().T).T.reshape(2, *shape)
    np.testing.assert_allclose(process.low(x).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(process.high(x).numpy(), x.numpy() - expected, atol=1e-12)


@given(
    rows=st.integers(2, 9),
    columns=st.integers(2, 9),
    acs=st.integers(1, 8),
    axis=st.sampled_from([0, 1, None]),
    seed=st.integers(0, 99),
)
def test_high_and_low_are_orthogonal_projectors(rows: int, columns: int, acs: int, axis: int | None, seed: int) -> None:
    """Guards H H = H, P + H = 1, H P = 0 and H' = H for sizes that are odd, even and tiny."""
    sizes = (rows, columns) if axis is None else ((rows, columns)[axis],)
    if not all(acs < n for n in sizes):
        with pytest.raises(InputError, match="low-pass"):
            highpass((rows, columns), acs, axis)
        return
    keep = highpass((rows, columns), acs, axis)
    assert int((~keep).sum()) == (acs**2 if axis is None else acs * (rows, columns)[1 - axis])
    process, (a, b) = HighFrequency(keep), _images(2, (rows, columns), seed)[:, None]
    torch.testing.assert_close(process.high(process.high(a)), process.high(a), rtol=0, atol=1e-12)
    torch.testing.assert_close(process.high(a) + process.low(a), a, rtol=0, atol=1e-12)
    torch.testing.assert_close(process.high(process.low(a)), torch.zeros_like(a), rtol=0, atol=1e-12)
    left, right = (process.high(a).conj() * b).sum(), (a.conj() * process.high(b)).sum()
    torch.testing.assert_close(left, right, rtol=0, atol=1e-11)


def test_known_lines() -> None:
    """Guards the published centre: of 320 lines with 16, lines 152 to 167."""
    keep = highpass((3, 320), 16, 1)
    assert torch.nonzero(~keep[0]).flatten().tolist() == list(range(152, 168))


def _process() -> HighFrequency:
    return HighFrequency(highpass(SHAPE, 4, 1))


@pytest.mark.parametrize("sigma", [0.01, 1.0, 152.0])
def test_forward_process_leaves_low_frequencies_alone(sigma: float) -> None:
    """Every x_t, in either frame, has the low frequencies of the truth to rounding, and noise in all others."""
    truth, process = _images(3), _process()
    x = start(truth, [Step(0, sigma)], process, SeededNoise(1)).x
    state, b = process.preserving(x, sigma)
    for moved in (x, state):
        torch.testing.assert_close(process.low(moved), process.low(truth), rtol=0, atol=1e-14 * (10 + sigma))
    a = 1 / math.sqrt(1 + sigma**2)
    assert b == pytest.approx(math.sqrt(1 - a**2), rel=1e-12)
    expected = a * process.high(truth) + b * process.noise(SeededNoise(1), truth, Step(-1, sigma))
    torch.testing.assert_close(process.high(state), expected, rtol=0, atol=1e-12)


def test_noise_is_white_in_its_space_and_nowhere_else() -> None:
    """Guards the variance of the noise: 1 a real component for every high frequency, 0 for the others."""
    process, like = _process(), torch.zeros(600, *SHAPE, dtype=torch.complex128)
    z = process.noise(SeededNoise(3), like, Step(0, 1.0))
    power = torch.fft.fftshift(torch.fft.fft2(z, norm="ortho"), dim=(1, 2)).abs().square().mean(0) / 2
    assert float(power[~process.keep].max()) < 1e-25
    # chi-squared with 1200 degrees of freedom, 72 of them: five standard deviations
    assert float((power[process.keep] - 1).abs().max()) < 5 / math.sqrt(600)


def test_noise_of_a_sample_does_not_depend_on_the_batch() -> None:
    """Guards ``first``: samples 1 and 2 made alone have the noise that they have among others."""
    like, step = torch.zeros(3, *SHAPE, dtype=torch.complex64), Step(4, 1.0)
    alone = HighFrequency(highpass(SHAPE, 4, 1), first=1)
    assert torch.equal(_process().noise(SeededNoise(0), like, step)[1:], alone.noise(SeededNoise(0), like[1:], step))


class Wild:
    """A nonlinear denoiser with an opinion on every frequency, a wrong one on the low ones."""

    sigma_range = (0.0, math.inf)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return torch.complex(torch.tanh(x.real + 2 * x.imag), 7 + x.real / (1 + sigma))

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        return pullback(self, x, sigma, cotangent)


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_unguided_sampling_leaves_low_frequencies_alone(name: str) -> None:
    """HF-01: whatever the network says of low frequencies, every state of every solver has the truth's, to rounding."""
    truth, process, rng = _images(2), _process(), SeededNoise(0)
    snr = None if name == "dpm++2m" else 0.16
    steps = schedule(log_uniform(20, 152.0, 0.01), SOLVERS[name], snr=snr)
    guided = unguided([Confined(Wild(), process)])
    for state in sample(guided, start(process.low(truth), steps, process, rng), steps, process, rng):
        torch.testing.assert_close(process.low(state.x), process.low(truth), rtol=0, atol=1e-11)
    torch.testing.assert_close(process.low(state.memory[PREVIOUS]), process.low(truth), rtol=0, atol=1e-11)
    assert float(process.high(state.x - truth).abs().max()) > 0.1


def test_low_frequencies_are_those_of_the_clean_estimate() -> None:
    """Guards the contract: guidance may move low frequencies, at once; a solver's proposal moves high ones alone."""

    def guided(x: Tensor, step: Step, memory: Mapping[str, Tensor]) -> tuple[Estimate, Mapping[str, Tensor]]:
        return Estimate(0.5 * x, 0.25 * x + 1), {}

    x, process = _images(2), _process()
    (state,) = sample(guided, State(x), [Step(0, 1.0, 0.3, 0.7, 0.2)], process, SeededNoise(0))
    z = process.noise(SeededNoise(0), x, Step(0, 1.0))
    torch.testing.assert_close(process.low(state.x), process.low(0.25 * x + 1), rtol=0, atol=1e-12)
    expected = process.high(0.3 * x + 0.7 * (0.25 * x + 1)) + 0.2 * z
    torch.testing.assert_close(process.high(state.x), expected, rtol=0, atol=1e-12)


def test_confined_denoiser_differentiates() -> None:
    """Guards J' v of the confined denoiser, for DPS, against finite differences of Re <v, D>."""
    denoise, (x, v) = Confined(Wild(), _process()), _images(2)[:, None]
    _, gradient = denoise.pullback(x, 0.5, lambda d: v)
    for direction in _images(4, seed=9)[:, None]:
        h = 1e-6 * direction
        change = ((denoise(x + h, 0.5) - denoise(x - h, 0.5)) * v.conj()).real.sum() / 2e-6
        torch.testing.assert_close(change, (gradient.conj() * direction).real.sum(), rtol=1e-6, atol=1e-6)
    d, _ = denoise.pullback(x, 0.5, lambda d: d)
    torch.testing.assert_close(d, denoise(x, 0.5), rtol=0, atol=1e-12)
    assert denoise.sigma_range == (0.0, math.inf)


def test_device_and_type_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """HF-13: every projection went to the CPU and back, and doubled the precision."""
    monkeypatch.setattr(Tensor, "cpu", None)
    for device in ("cpu", "meta"):
        process = HighFrequency(highpass(SHAPE, 4, 1).to(device))
        for dtype in (torch.complex64, torch.complex128):
            x = torch.zeros(1, *SHAPE, dtype=dtype, device=device)
            for found in (process.high(x), process.low(x), process.confine(x, x, x, Step(0, 1.0))):
                assert found.device == x.device and found.dtype == dtype


def _gaussian() -> StationaryGaussian:
    return StationaryGaussian(torch.full((), 0.4, dtype=torch.float64), power_law(SHAPE, 0.7, 2.0))


class OneHot:
    """Noise that is 1 in a single real number of a single row for each sample: a run reads off its own linear map."""

    def __init__(self, rows: list[int]) -> None:
        self.rows, self.n = rows, 2 * math.prod(SHAPE)

    def __call__(self, sample: int, step: int, shape: tuple[int, ...]) -> Tensor:
        z = torch.zeros(self.n, dtype=torch.float64)
        if step in self.rows and sample // self.n == self.rows.index(step):
            z[sample % self.n] = 1
        return z.reshape(shape)


@pytest.mark.parametrize("name", ["euler", "ancestral", "reverse-sde"])
def test_mean_and_covariance_of_a_run_are_those_of_the_recursion(name: str) -> None:
    """With an analytic prior a run is linear: its exact law is one number a frequency, and none for low ones."""
    prior, process, truth = _gaussian(), _process(), _images(1)
    steps = schedule(log_uniform(4, 3.0, 0.2), SOLVERS[name])
    rows = [-1, *(s.index for s in steps if s.kick)]
    rng, count = OneHot(rows), len(rows) * 2 * math.prod(SHAPE) + 1
    state = start(process.low(truth).expand(count, -1, -1).clone(), steps, process, rng)
    *_, state = sample(unguided([Confined(prior, process)]), state, steps, process, rng)
    c = torch.where(torch.fft.ifftshift(process.keep), prior.spectrum, torch.nan)
    mean, variance = torch.zeros_like(c), torch.full_like(c, steps[0].sigma ** 2)
    for s in steps:
        gain = c / (c + s.sigma**2)
        mean, variance = (s.keep + s.pull * gain) * mean, (s.keep + s.pull * gain) ** 2 * variance + s.kick**2
    spectrum = torch.fft.fft2(state.x, norm="ortho")
    spread = torch.view_as_real(spectrum[:-1] - spectrum[-1]).square().sum(0)  # real and imaginary part
    high = torch.fft.ifftshift(process.keep)
    for part in spread.unbind(-1):
        torch.testing.assert_close(part[high], variance[high], rtol=1e-10, atol=1e-12)
        assert float(part[~high].max()) < 1e-24
    # The prior's mean is a constant image, of low frequency: nothing pulls the high ones away from zero.
    expected = torch.fft.fft2(process.low(truth), norm="ortho")[0]
    torch.testing.assert_close(spectrum[-1], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("solver", "rows", "error"), [(dpm_2m, 60, 0.02), (SOLVERS["ancestral"], 600, 0.02)])
def test_high_frequencies_have_the_covariance_of_the_prior(solver: Solver, rows: int, error: float) -> None:
    """Guards the law of samples: with enough steps the variance of every high frequency is the prior's."""
    c = _gaussian().spectrum[torch.fft.ifftshift(_process().keep)].numpy()
    grid = log_uniform(rows, 152.0, 0.01)
    map_x, map_old = np.ones_like(c), np.zeros_like(c)
    kicks: list[NDArray[np.float64]] = []
    for s in schedule(grid, solver):
        gain = c / (c + s.sigma**2)
        kicks = [(s.keep + s.pull * gain) * k for k in kicks]
        map_x, map_old = (s.keep + s.pull * gain) * map_x + s.past * map_old, gain * map_x
        if s.kick:
            kicks.append(np.full_like(c, s.kick))
    variance = (152.0 * map_x) ** 2 + sum((k**2 for k in kicks), np.zeros_like(c))
    assert np.abs(variance / c - 1).max() < error


def test_samples_are_drawn_from_the_law_of_the_prior() -> None:
    """Guards the seeded path: one Monte Carlo run, whitened by the prior, is chi-squared in its high frequencies."""
    prior, process, count = _gaussian(), _process(), 200
    steps, rng = schedule(log_uniform(60, 152.0, 0.005), dpm_2m), SeededNoise(5)
    state = start(torch.zeros(count, *SHAPE, dtype=torch.complex128), steps, process, rng)
    *_, state = sample(unguided([Confined(prior, process)]), state, steps, process, rng)
    spectrum = torch.fft.fft2(state.x, norm="ortho") / prior.spectrum.sqrt()
    power = spectrum[:, torch.fft.ifftshift(process.keep)].abs().square()
    freedom = 2 * power.numel()
    assert abs(float(power.sum()) - freedom) < 4 * math.sqrt(2 * freedom)


def test_confined_analytic_prior_is_exact() -> None:
    """Guards D on the sub-space: of a stationary prior, E[x0 | P x0, noisy H x0]."""
    prior, process, x = _gaussian(), _process(), _images(2)
    confined = Confined(prior, process)(x, 0.7)
    torch.testing.assert_close(process.high(confined), process.high(prior(x, 0.7)), rtol=0, atol=1e-12)
    torch.testing.assert_close(process.low(confined), process.low(x), rtol=0, atol=1e-12)
