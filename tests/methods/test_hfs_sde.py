"""HFS-SDE, VE-SDE and VP-SDE against literal references, and what a user may rely on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from voxprior import registry
from voxprior.diffusion.denoiser import Cotangent, pullback
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.sample import State, sample
from voxprior.diffusion.schedule import Step
from voxprior.diffusion.subspace import Confined, HighFrequency, highpass
from voxprior.errors import InputError
from voxprior.guidance.proximal import unguided
from voxprior.methods.hfs_sde import (
    Followed,
    Prior,
    Sde,
    exploding_rows,
    hfs_sde,
    phase_encoding,
    preserving_rows,
    sense_of_centre,
    ve_sde,
    vp_sde,
)
from voxprior.operators.base import Measurement, Stack
from voxprior.operators.fourier import Fourier, fft
from voxprior.priors.gaussian import StationaryGaussian, power_law

Complex = NDArray[np.complex128]
Score = Callable[[Complex, float, float], Complex]
SHAPE, COILS, ACS, LOW = (10, 12), 3, 6, 4
METHODS = {"hfs-sde": hfs_sde, "ve-sde": ve_sde, "vp-sde": vp_sde}


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _complex(*shape: int, seed: int = 0) -> Complex:
    return _rng(seed).standard_normal((*shape, 2)).view(np.complex128)[..., 0]


def _mask(turned: bool = False) -> NDArray[np.bool_]:
    shape = SHAPE[::-1] if turned else SHAPE
    line = np.zeros(shape[1], dtype=bool)
    line[::4] = line[(shape[1] - ACS) // 2 : (shape[1] + ACS) // 2] = True
    mask = np.tile(line, (shape[0], 1))
    return mask.T.copy() if turned else mask


def _maps(shape: tuple[int, int] = SHAPE) -> Complex:
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    places = ((1, 0), (-1, 1), (0, -1))
    maps = np.stack([np.exp(-((y - a) ** 2) - (x - b) ** 2 + 1j * (a * y + b * x)) for a, b in places])
    normalised: Complex = maps / np.sqrt((np.abs(maps) ** 2).sum(0))
    return normalised


class Literal:
    """The spectrum of the truth's law, and everything of METHODS 3.3 and 3.4 in numpy, with dense matrices."""

    def __init__(self, mask: NDArray[np.bool_] | None = None) -> None:
        self.c = power_law(SHAPE, 0.3, 2.5).numpy()
        self.mask, self.maps = _mask() if mask is None else mask, _maps()

    def fft(self, x: Complex) -> Complex:
        return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, (-2, -1)), norm="ortho"), (-2, -1))

    def ifft(self, k: Complex) -> Complex:
        return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(k, (-2, -1)), norm="ortho"), (-2, -1))

    def forward(self, x: Complex, mask: NDArray[np.bool_]) -> Complex:
        return np.stack([mask * self.fft(s * x) for s in self.maps])

    def backward(self, k: Complex, mask: NDArray[np.bool_]) -> Complex:
        result: Complex = sum((s.conj() * self.ifft(mask * part) for s, part in zip(self.maps, k, strict=True)), 0j)
        return result

    def low(self, x: Complex) -> Complex:
        keep = np.zeros(SHAPE, dtype=bool)
        keep[:, (SHAPE[1] - LOW) // 2 : (SHAPE[1] + LOW) // 2] = True
        return self.ifft(keep * self.fft(x))

    def denoise(self, x: Complex, sigma: float) -> Complex:
        return self.ifft(np.fft.fftshift(self.c / (self.c + sigma**2)) * self.fft(x))

    def sense_of_acs(self, k: Complex, noise: float) -> Complex:
        acs = np.zeros(SHAPE, dtype=bool)
        acs[:, (SHAPE[1] - ACS) // 2 : (SHAPE[1] + ACS) // 2] = True
        eye = np.eye(math.prod(SHAPE)).reshape(-1, *SHAPE)
        a = np.stack([self.forward(e, acs).ravel() for e in eye], axis=1)
        lam = (max(noise, 1e-3) / 0.3) ** 2
        right = a.conj().T @ (acs * k).ravel()
        return np.linalg.solve(a.conj().T @ a + lam * np.eye(len(eye)), right).reshape(SHAPE)

    def white(self, step: int) -> Complex:
        parts = SeededNoise(7)(0, step, (*SHAPE, 2)).numpy().astype(np.float64)
        return parts[..., 0] + 1j * parts[..., 1]

    def data_gradient(self, x: Complex, k: Complex, g: Complex, w: float, noise: float) -> Complex:
        d = self.backward(self.forward(x, self.mask) - k, self.mask)
        length = np.linalg.norm(d)
        fade = min(1.0, length / (noise * np.sqrt((np.abs(self.maps) ** 2).sum(0).max()) ** 2))
        return d / length * np.linalg.norm(g) * w * fade

    def preserving(self, k: Complex, n: int, snr: float | None, weights: tuple[float, ...], sense: Complex) -> Complex:
        """HFS-SDE with a ``sense`` image of the centre; VP-SDE where it is nothing but NaN."""
        whole = bool(np.isnan(sense).all())

        def high(x: Complex) -> Complex:
            return x if whole else x - self.low(x)

        x = high(self.white(-1)) + (0 if whole else self.low(sense))
        betas = np.linspace(0.1 / n, 20 / n, n)
        x_mean = x
        for i, t in enumerate(np.linspace(1, 1e-3, n)):
            beta = 0.1 + t * 19.9
            m = math.exp(-(t**2) * 19.9 / 4 - t * 0.1 / 2)
            std = math.sqrt(1 - m**2)

            def score(x: Complex, m: float = m, std: float = std) -> Complex:
                clean = self.denoise(high(x) / m + (x - high(x)), std / m)
                return high(m * clean - x) / std**2

            if snr is not None:
                z, g = high(self.white(2 * i)), score(x)
                alpha = 1 - betas[math.floor(t * (n - 1) + 1e-9)]
                e = 2 * max(alpha, 0) * (snr * np.linalg.norm(z) / np.linalg.norm(g)) ** 2
                x_mean = x + e * (g - self.data_gradient(x, k, g, weights[1], std))
                x = x_mean + math.sqrt(2 * e) * z
            g, half = score(x), 1.0 if snr is not None else 0.5
            d = self.data_gradient(x, k, g, weights[0], std)
            x_mean = x - (-beta / 2 * high(x) - half * beta * (g - d)) / n
            x = x_mean if snr is None else x_mean + math.sqrt(beta / n) * high(self.white(2 * i + 1))
        return x_mean

    def exploding(self, k: Complex, n: int, snr: float | None, weights: tuple[float, float]) -> Complex:
        x = 348 * self.white(-1)
        sigmas = np.exp(np.linspace(math.log(0.01), math.log(348), n))
        x_mean = x
        for i, t in enumerate(np.linspace(1, 1e-5, n)):
            sigma = 0.01 * 34800**t
            if snr is not None:
                z, g = self.white(2 * i), (self.denoise(x, sigma) - x) / sigma**2
                e = 2 * (snr * np.linalg.norm(z) / np.linalg.norm(g)) ** 2
                x_mean = x + e * (g - self.data_gradient(x, k, g, weights[1], sigma))
                x = x_mean + math.sqrt(2 * e) * z
            j = n - 1 - i
            g2 = sigmas[j] ** 2 - (sigmas[j - 1] ** 2 if j else 0)
            g, half = (self.denoise(x, sigma) - x) / sigma**2, 1.0 if snr is not None else 0.5
            x_mean = x + half * g2 * (g - self.data_gradient(x, k, g, weights[0], sigma))
            x = x_mean if snr is None else x_mean + math.sqrt(g2) * self.white(2 * i + 1)
        return x_mean


def _gaussian() -> StationaryGaussian:
    return StationaryGaussian(torch.zeros((), dtype=torch.float64), power_law(SHAPE, 0.3, 2.5))


def _analytic(method: Sde, denoise: Any = None, acs: int | None = None) -> Sde:
    """The method with a denoiser that is known exactly, in place of weights."""
    prior = Prior(_gaussian() if denoise is None else denoise, None, acs)
    return Sde(method.name, method.Options, method.snr, method.rows, method.build, lambda name, device: prior)


def _measurement(unit: float = 1.0, noise: float = 0.01, mask: NDArray[np.bool_] | None = None) -> Measurement:
    literal = Literal(mask)
    truth = literal.ifft(np.sqrt(np.fft.fftshift(literal.c)) * literal.fft(_complex(*SHAPE, seed=1)))
    k = literal.forward(truth, literal.mask) + noise * literal.mask * _complex(COILS, *SHAPE, seed=2)
    operator = Fourier(torch.from_numpy(literal.mask), torch.from_numpy(literal.maps))
    return Measurement(operator, torch.from_numpy(unit * k)[None], unit * noise)


@pytest.mark.parametrize("solver", ["sde", "ode"])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_method_is_the_literal_reference(name: str, solver: str) -> None:
    """Guards every number and sign of the published samplers, in 20 steps, by a few lines that share no code."""
    literal, measurement = Literal(), _measurement()
    method = _analytic(METHODS[name])
    own = {"acs": LOW} if name == "hfs-sde" else {}
    knobs = {"mse": 1.7, "corrector_mse": 0.6, "steps": 20, "solver": solver, **own}
    result = method(measurement, method.Options(**knobs), SeededNoise(7))
    scale = result.notes["scale"]
    k = measurement.y[0].numpy() / scale
    snr = {"hfs-sde": 0.32, "ve-sde": 0.1, "vp-sde": 0.43}[name] if solver == "sde" else None
    weights = (1.7, 0.6)
    if name == "ve-sde":
        expected = literal.exploding(k, 20, snr, weights)
    else:
        nothing = np.full(SHAPE, np.nan, dtype=np.complex128)
        sense = literal.sense_of_acs(k, 0.01 / scale) if name == "hfs-sde" else nothing
        expected = literal.preserving(k, 20, snr, weights, sense)
    found = result.mean.numpy() / scale
    assert np.abs(found - expected).max() < 1e-9 * np.abs(expected).max()
    assert result.notes["snr"] == snr
    assert result.calls == (40 if solver == "sde" else 20)


@pytest.mark.parametrize(
    ("name", "steps", "snr", "mse", "corrector_mse"),
    [
        ("hfs-sde", 1000, 0.16, 2.5, 0.1),
        ("hfs-sde", 100, 0.32, 2.5, 0.1),
        ("ve-sde", 1000, 0.1, 5.0, 5.0),
        ("ve-sde", 300, 0.1, 5.0, 5.0),
        ("vp-sde", 1000, 0.27, 2.5, 2.5),
        ("vp-sde", 100, 0.43, 2.5, 2.5),
    ],
)
def test_defaults_are_the_published_ones(name: str, steps: int, snr: float, mse: float, corrector_mse: float) -> None:
    """Guards the table of published knobs, full and accelerated, and 1000 steps unless said otherwise."""
    method = registry.resolve(name, "recon")
    assert method is METHODS[name] and method.name == name and method.citation
    options = method.Options()
    assert (options.mse, options.corrector_mse, options.steps, options.snr) == (mse, corrector_mse, 1000, None)
    assert method.snr[steps < 1000] == snr
    assert name != "hfs-sde" or options.acs == 16
    assert options.weights == ("head-hfs" if name == "hfs-sde" else "head-kspace")


@pytest.mark.parametrize("name", sorted(METHODS))
def test_options_cannot_be_mistyped(name: str) -> None:
    """A knob that does nothing, or a value that makes no sense, must not pass in silence."""
    options = METHODS[name].Options
    assert options.model_config.get("frozen") and options.model_config.get("extra") == "forbid"
    bad: list[dict[str, Any]] = [
        {"predictor": "reverse_diffusion"}, {"snr": 0}, {"mse": -1}, {"steps": 5}, {"solver": "rk45"}
    ]
    for values in bad:
        with pytest.raises(ValidationError):
            options(**values)


def _run(name: str, measurement: Measurement, seed: int = 0, **options: Any) -> Any:
    method = _analytic(METHODS[name])
    own = {"acs": LOW} if name == "hfs-sde" else {}
    return method(measurement, method.Options(**{"steps": 20, **own, **options}), SeededNoise(seed))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_samples_repeat_and_do_not_depend_on_their_number(name: str) -> None:
    """Sample 1 of one is sample 1 of two, another seed another sample; std and mean are those of the samples."""
    measurement = _measurement()
    one, two, other = (_run(name, measurement, seed, samples=k) for seed, k in ((0, 1), (0, 2), (1, 1)))
    assert torch.equal(one.samples[0], two.samples[0]) and torch.equal(one.mean, one.samples[0])
    assert not torch.equal(one.mean, other.mean) and not torch.equal(two.samples[0], two.samples[1])
    assert one.std is None and two.calls == 80
    half = (two.samples[0] - two.samples[1]).abs() / 2  # ddof 1, root mean square of real and imaginary part
    torch.testing.assert_close(two.std, half)
    torch.testing.assert_close(two.mean, two.samples.mean(0))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_progress_counts_every_call(name: str) -> None:
    """A bar that stops short tells users the wrong time."""
    seen: list[tuple[int, int]] = []
    method = _analytic(METHODS[name])
    own = {"acs": LOW} if name == "hfs-sde" else {}
    options = method.Options(steps=20, samples=2, **own)
    method(_measurement(), options, SeededNoise(0), lambda done, total: seen.append((done, total)))
    assert seen == [(i, 80) for i in range(1, 81)]


@pytest.mark.parametrize("name", sorted(METHODS))
def test_single_coil_and_single_precision(name: str) -> None:
    """Guards data without maps, and that complex64 stays complex64."""
    literal = Literal()
    y = torch.from_numpy(literal.mask * literal.fft(_complex(*SHAPE))).to(torch.complex64)[None]
    prior = StationaryGaussian(torch.zeros(()), power_law(SHAPE, 0.3, 2.5).float())
    method = _analytic(METHODS[name], prior)
    own = {"acs": LOW} if name == "hfs-sde" else {}
    measurement = Measurement(Fourier(torch.from_numpy(literal.mask)), y, None)
    result = method(measurement, method.Options(steps=20, **own), SeededNoise(0))
    assert result.mean.shape == SHAPE and result.mean.dtype == torch.complex64
    assert bool(torch.isfinite(torch.view_as_real(result.mean)).all())


@pytest.mark.parametrize("name", sorted(METHODS))
def test_reconstructs_better_than_zero_filling(name: str) -> None:
    """A lost scale, a flip or a wrong sign would make any method worse than none."""
    measurement, literal = _measurement(), Literal()
    truth = literal.ifft(np.sqrt(np.fft.fftshift(literal.c)) * literal.fft(_complex(*SHAPE, seed=1)))

    def error(x: Tensor) -> float:
        return float(np.linalg.norm(x.numpy() - truth) / np.linalg.norm(truth))

    zero_filled = measurement.operator.adjoint(measurement.y)[0]
    result = _run(name, measurement, steps=100, samples=4)
    assert error(result.mean) < error(zero_filled)
    residual = measurement.operator.apply(result.mean[None]) - measurement.y
    assert float(residual.norm() / measurement.y.norm()) < 0.15


class Upright:
    """A nonlinear denoiser that tells rows from columns."""

    sigma_range = (0.0, math.inf)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        tilt = torch.linspace(0.5, 1.5, x.shape[1], dtype=torch.float64)[:, None]
        return tilt * _gaussian_of(x, sigma)

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        return pullback(self, x, sigma, cotangent)


def _gaussian_of(x: Tensor, sigma: float) -> Tensor:
    return x / (1 + sigma**2)


class Sideways:
    """White noise of the upright run, turned with the image."""

    def __call__(self, sample: int, step: int, shape: tuple[int, ...]) -> Tensor:
        return SeededNoise(0)(sample, step, (shape[1], shape[0], *shape[2:])).transpose(0, 1).contiguous()


def test_data_measured_the_other_way_give_the_turned_image() -> None:
    """Guards phase encoding along y: the low-pass turns with it, and the prior sees images as in its training."""
    measurement = _measurement()
    operator: Any = measurement.operator
    turned = Measurement(
        Fourier(operator.mask.T.contiguous(), operator.maps.mT.contiguous()), measurement.y.mT.contiguous(), 0.01
    )
    method = _analytic(hfs_sde, Upright())
    options = method.Options(steps=20, acs=LOW)
    upright = method(measurement, options, SeededNoise(0)).mean
    sideways = method(turned, options, Sideways()).mean
    torch.testing.assert_close(sideways.T, upright, rtol=1e-9, atol=1e-9)


def test_phase_encoding_is_where_the_pattern_varies() -> None:
    """Guards the axis of the low-pass, for lines either way, none, and patterns in the plane."""
    lines = torch.from_numpy(_mask())
    assert (phase_encoding(lines), phase_encoding(lines.T), phase_encoding(torch.ones(4, 5).bool())) == (1, 0, 1)
    spots = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) > 0.5
    assert phase_encoding(spots) is None


def test_patterns_in_the_plane_keep_the_central_square() -> None:
    """Guards 2-D patterns: low frequencies are the square that was measured, and the start knows nothing else."""
    spots = _rng(3).random(SHAPE) < 0.4
    spots[2:8, 3:9] = True
    measurement = _measurement(mask=spots)
    operator: Any = measurement.operator
    result = _run("hfs-sde", measurement)
    assert bool(torch.isfinite(torch.view_as_real(result.mean)).all())
    centre = torch.zeros(SHAPE, dtype=torch.bool)
    centre[2:8, 3:9] = True
    alone, single = Fourier(centre), Fourier(operator.mask)
    y = measurement.y[:, 0]
    expected = alone.adjoint(y) / (1 + (1e-2 / 0.3) ** 2)
    torch.testing.assert_close(sense_of_centre(single, y, 1e-2, None), expected, rtol=1e-9, atol=1e-12)


def test_a_centre_that_was_not_measured_is_refused() -> None:
    """Guards low frequencies that nothing would ever determine; the message says what would work."""
    with pytest.raises(InputError, match="the 8 central lines"):
        _run("hfs-sde", _measurement(), acs=8)
    with pytest.raises(InputError, match="--acs 6"):
        _run("hfs-sde", _measurement(), acs=8)
    without = np.tile(np.arange(12) % 4 == 0, (10, 1))
    with pytest.raises(InputError, match="no central lines"):
        _run("hfs-sde", _measurement(mask=without))


def test_weights_of_another_space_are_refused_or_warned_of() -> None:
    """Guards a prior that never saw low frequencies from sampling them, and one trained for another centre."""
    for method in (ve_sde, vp_sde):
        with pytest.raises(InputError, match="high frequencies alone"):
            _analytic(method, acs=16)(_measurement(), method.Options(steps=20), SeededNoise(0))
    options = hfs_sde.Options(steps=20, acs=LOW)
    other = _analytic(hfs_sde, acs=16)(_measurement(), options, SeededNoise(0))
    same = _analytic(hfs_sde, acs=LOW)(_measurement(), options, SeededNoise(0))
    assert any("trained" in w for w in other.warnings) and not any("trained" in w for w in same.warnings)


def test_few_steps_are_warned_of() -> None:
    """Guards users of less than a tenth of the published steps."""
    assert any("at least 100" in w for w in _run("vp-sde", _measurement()).warnings)
    assert not _run("vp-sde", _measurement(), steps=100).warnings


@pytest.mark.parametrize("name", sorted(METHODS))
def test_other_measurements_are_refused_in_one_line(name: str) -> None:
    """Volumes, several sets of maps, several slices and other operators are told what to do instead."""
    mask = torch.from_numpy(_mask())
    two_sets = Fourier(mask, torch.ones(2, COILS, *SHAPE, dtype=torch.complex64))
    y = torch.ones(1, COILS, *SHAPE, dtype=torch.complex64)
    volume = Fourier(torch.ones(3, *SHAPE, dtype=torch.bool))
    for operator, data in (
        (two_sets, y),
        (volume, torch.ones(1, 3, *SHAPE, dtype=torch.complex64)),
        (Fourier(mask), torch.ones(2, *SHAPE, dtype=torch.complex64)),
        (Stack([Fourier(mask)], [SHAPE]), torch.ones(1, 120, dtype=torch.complex64)),
    ):
        with pytest.raises(InputError) as caught:
            _run(name, Measurement(operator, data, None))
        assert "\n" not in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "error"),
    [(preserving_rows(1000, 0.16), 0.01), (preserving_rows(1000, None), 0.02), (exploding_rows(4000, 0.1), 0.01)],
)
def test_predictor_gives_samples_their_variance(rows: tuple[Step, ...], error: float) -> None:
    """Guards the rows: on a Gaussian of any std in .1 to 1 the predictor alone ends at its variance."""
    c = np.array([0.01, 0.03, 0.1, 0.3, 1.0])
    start = rows[0].sigma ** 2 + (rows[0].sigma < 300)
    variance = np.full_like(c, start)
    for s in rows:
        if s.stage == "predict":
            variance = (s.keep + s.pull * c / (c + s.sigma**2)) ** 2 * variance + s.kick**2
    assert np.abs(variance / c - 1).max() < error


def test_published_sampler_gives_high_frequencies_their_variance() -> None:
    """Guards predictor and corrector together: samples of an analytic prior, whitened by it, have unit variance."""
    shape, count = (16, 24), 8
    prior = StationaryGaussian(torch.zeros((), dtype=torch.float64), power_law(shape, 0.3, 2.5))
    high, rows = HighFrequency(highpass(shape, LOW, 1)), preserving_rows(1000, 0.16)
    process = Followed(high, (*(1 / math.hypot(1, s.sigma) for s in rows[1:]), 1.0))
    z = process.noise(SeededNoise(0), torch.zeros(count, *shape, dtype=torch.complex128), Step(-1, 1.0))
    *_, state = sample(
        unguided([Confined(prior, high)]), State(math.hypot(1, rows[0].sigma) * z), rows, process, SeededNoise(0)
    )
    power = (torch.fft.fft2(state.x, norm="ortho").abs().square() / prior.spectrum)[:, torch.fft.ifftshift(high.keep)]
    # 2 degrees of freedom each; the Langevin rows, of length .05 sigma^2, add 2.6 % at most.
    assert abs(float(power.mean()) / 2 - 1) < 0.026 + 4 / math.sqrt(power.numel())


SPREAD = {
    # std of samples about their mean over the image's std: at measured frequencies (exact .099), at the others (.708)
    "hfs-sde": (0.28, 0.70),
    "ve-sde": (0.12, 0.70),
    "vp-sde": (0.50, 0.73),
}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_stated_bias_of_whole_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """States what 100 steps make of a posterior that is known; docs/methods/hfs-sde.md has the same figures."""
    monkeypatch.setattr("voxprior.methods.hfs_sde._scale", lambda measurement: 1.0)  # the prior's std is absolute
    shape, std, noise, count = (24, 24), 0.3, 0.03, 4
    prior = StationaryGaussian(torch.zeros((), dtype=torch.float64), power_law(shape, std, 2.0))
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, ::3] = mask[:, 9:15] = True
    operator = Fourier(mask)
    truth = prior.draw(torch.from_numpy(_complex(1, *shape)))
    y = operator.apply(truth + noise * torch.from_numpy(_complex(1, *shape, seed=1)))
    width = 1 / (1 / torch.fft.fftshift(prior.spectrum) + mask / noise**2)  # the posterior is diagonal in k-space
    result = _analytic(METHODS[name], prior)(
        Measurement(operator, y, noise),
        METHODS[name].Options(steps=100, samples=count, **({"acs": LOW} if name == "hfs-sde" else {})),
        SeededNoise(0),
    )
    power = fft(result.samples - result.mean, (1, 2)).abs().square().sum(0) / 2 / (count - 1)
    seen, unseen = (float(power[m].mean().sqrt()) / std for m in (mask, ~mask))
    exact = [float(width[m].mean().sqrt()) / std for m in (mask, ~mask)]
    assert exact == pytest.approx([0.099, 0.708], abs=1e-3)
    assert (seen, unseen) == pytest.approx(SPREAD[name], rel=0.08)


def test_rows_end_where_the_published_run_ends() -> None:
    """Guards the last row: the mean of the last predictor, in the coordinates of x_t, is the answer."""
    last = preserving_rows(100, 0.16)[-1]
    assert last.kick == 0 and last.sigma == pytest.approx(0.01049, abs=1e-5)
    assert preserving_rows(100, None)[-1].pull == pytest.approx(last.pull / 2)
