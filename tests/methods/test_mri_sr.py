"""MRI-Super-Resolution against slow references, written out of the equations in numpy and float64."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.path import CosineProduct
from voxprior.errors import InputError
from voxprior.methods.mri_sr import Conditional, MriSr, Settings, mri_sr, rows
from voxprior.methods.result import Result
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.volume import VolumePrior, VolumePriorConfig
from voxprior.priors.weights import export
from voxprior.volume import SliceGeometry

Array = NDArray[np.float64]
N, V = 12, 0.3
AXES = (SliceGeometry(0, 6, 2.0, 2.0, N, 1.0), SliceGeometry(1, 6, 2.0, 2.0, N, 1.0))


def _gain(sigma: float) -> Array:
    """Eigenvalues of C (C + sigma^2)^-1 for a volume of a falling spectrum, in the order of the FFT."""
    f = np.fft.fftfreq(N)
    square = f[:, None, None] ** 2 + f[None, :, None] ** 2 + f[None, None] ** 2
    power = (square + 0.05**2) ** -1.5
    power *= 0.15**2 / power.mean()
    return np.asarray(power / (power + sigma**2))


def _denoised(x: Array, sigma: float, m: Array) -> Array:
    """E[x0 | x, y] of a Gaussian image about the measurement carried to the fine grid."""
    return np.asarray(m + np.fft.ifftn(np.fft.fftn(x - m) * _gain(sigma)).real)


def _carried(y: Array) -> Array:
    return y.repeat(2, 0).repeat(2, 1)


class Told:
    """The same conditional denoiser for the code under test, and what it was asked."""

    sigma_range = (0.0, math.inf)

    def __init__(self, y: Tensor, constant: float | None = None) -> None:
        self.m, self.constant = _carried(y[0].numpy()), constant
        self.asked: list[tuple[float, Tensor]] = []

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        self.asked.append((sigma, x.clone()))
        if self.constant is not None:
            return torch.full_like(x, self.constant)
        return torch.from_numpy(_denoised(x[0].numpy(), sigma, self.m))[None]

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        raise AssertionError("the method asks for no gradient")

    def condition(self, measurement: Measurement, options: Settings) -> Conditional:
        return Conditional(self, torch.zeros(1, N, N, N, dtype=torch.float64), lambda x: x)


def _measurement() -> Measurement:
    truth = 0.5 + 0.2 * np.random.default_rng(3).standard_normal((1, N, N, N))
    operator = Separable.from_axes(AXES, (6, 6, N))
    return Measurement(operator, operator.apply(torch.from_numpy(truth)), None, np.eye(4))


def _run(told: Told, **options: object) -> Result:
    return MriSr(told.condition)(_measurement(), Settings.model_validate(options), SeededNoise(5))


def _alpha(table: int) -> Array:
    """alpha_t at place t, 1 at place 0."""
    return np.asarray(np.cos(np.pi * np.arange(table + 1) / (2 * table)) ** 2)


def _last(abar: Array) -> int:
    """The last step whose noise is below sigma = 80 in units of the clean image."""
    with np.errstate(divide="ignore", over="ignore"):
        sigma = np.sqrt(V * (1 - abar) / abar)
    return int(np.flatnonzero(sigma < 80)[-1])


@pytest.mark.parametrize("table", [30, 1000])
def test_the_walk_is_the_published_one_with_the_right_posterior(table: int) -> None:
    """x_t itself is walked here, step by step, with the posterior of 4.4: 20 steps, and the 228 of T = 1000."""
    alpha = _alpha(table)
    abar = np.cumprod(alpha)
    last, rng = _last(abar), SeededNoise(5)
    m = _carried(_measurement().y[0].numpy())
    x = math.sqrt(V * (1 - abar[last])) * rng(0, -1, (N, N, N)).double().numpy()
    for t in range(last, 0, -1):
        x0 = _denoised(x / math.sqrt(abar[t]), math.sqrt(V * (1 - abar[t]) / abar[t]), m)
        before, total = abar[t - 1], 1 - abar[t]
        mean = (math.sqrt(before) * (1 - alpha[t]) * x0 + math.sqrt(alpha[t]) * (1 - before) * x) / total
        variance = V * (1 - alpha[t]) * (1 - before) / total
        x = mean + math.sqrt(variance) * rng(0, last - t, (N, N, N)).double().numpy()
    assert last == {30: 20, 1000: 228}[table]
    told = Told(_measurement().y)
    found = _run(told, table=table)
    np.testing.assert_allclose(found.mean.numpy(), x, atol=1e-6 * np.ptp(x), rtol=0)
    assert found.calls == last == len(told.asked)


def test_01_every_step_is_the_posterior_of_its_process() -> None:
    """MS-01: mean and variance of x_(t-1) given x_t and x0, by conditioning a joint Gaussian, v included, to 1e-12."""
    t = np.arange(1, 229)
    logs = np.concatenate([[0.0], np.cumsum(np.log1p(-(np.sin(np.pi * t / 2000) ** 2)))])
    for row, here in zip(rows(1000, None), t[::-1], strict=True):
        alpha, kept, before = math.exp(logs[here] - logs[here - 1]), math.exp(logs[here]), math.exp(logs[here - 1])
        spread = -V * math.expm1(logs[here - 1])
        step = V * math.sin(math.pi * here / 2000) ** 2
        gain = math.sqrt(alpha) * spread / (alpha * spread + step)
        clean = math.sqrt(before) * (1 - gain * math.sqrt(alpha))
        variance = spread * (1 - gain * math.sqrt(alpha))
        found = math.sqrt(before) * row.pull, math.sqrt(before / kept) * row.keep, before * row.kick**2
        np.testing.assert_allclose(found, (clean, gain, variance), atol=1e-12, rtol=0)


def test_02_no_step_is_dead() -> None:
    """MS-02: of T = 1000 steps those are walked that carry the image, from sigma = 79 to .00086, and all at T steps."""
    sigmas = [row.sigma for row in rows(1000, None)]
    assert sigmas == sorted(sigmas, reverse=True) and len(sigmas) == 228
    path = CosineProduct(V, 1000)
    assert sigmas[0] == path.sigma(228) < 80 < path.sigma(229) and sigmas[-1] == path.sigma(1)
    few = [row.sigma for row in rows(1000, 20)]
    assert len(few) == 20 and (few[0], few[-1]) == (sigmas[0], sigmas[-1])


def test_03_samples_have_the_spread_of_the_posterior() -> None:
    """MS-03: it samples, and does not regress: the variance of a Gaussian comes out, propagated exactly, to a tenth."""
    for std in (0.05, 0.3):
        variance = rows(1000, None)[0].sigma ** 2
        for row in rows(1000, None):
            gain = std**2 / (std**2 + row.sigma**2)
            variance = (row.keep + row.pull * gain) ** 2 * variance + row.kick**2
        assert abs(variance / std**2 - 1) < 0.1
    told = Told(_measurement().y)
    result = _run(told, table=30, samples=3)
    assert result.samples is not None and result.std is not None and float(result.std.min()) > 0


def test_12_and_14_the_state_has_the_noise_that_the_network_is_told() -> None:
    """MS-12, MS-14: from the first state on, what is told is the noise there is; it was one for five, and churned."""
    told = Told(_measurement().y, constant=0.4)
    _run(told, table=1000, steps=40)
    for sigma, x in told.asked:
        assert abs(float((x - 0.4).std()) / sigma - 1) < 0.08


def test_17_nothing_is_clamped_or_rounded() -> None:
    """MS-17: an estimate beyond any range of intensities comes out as it is."""
    found = _run(Told(_measurement().y, constant=-37.123456789012), table=30)
    np.testing.assert_allclose(found.mean.numpy(), -37.123456789012, rtol=1e-12)


def test_the_measurement_is_explained_only_when_asked_for() -> None:
    """The projection is ours and off; a weak field has no operator to be explained by."""
    measurement = _measurement()
    operator, y = measurement.operator, measurement.y

    def misfit(**options: object) -> float:
        mean = _run(Told(y), table=30, **options).mean[None]
        return float((operator.apply(mean) - y).norm() / y.norm())

    assert misfit(project="exact") < 1e-9 < 1e-4 < misfit()
    assert misfit(project="exact", degradation="1.5t") == misfit()


def _weights(prior: SlicePrior | VolumePrior, folder: Path) -> str:
    torch.manual_seed(0)
    for p in prior.parameters():
        torch.nn.init.normal_(p, std=0.05)
    export(prior, folder / "a.safetensors", dict.fromkeys(("licence", "data", "training", "figures"), ""))
    return str(folder / "a.safetensors")


def test_11_and_15_three_networks_restore_every_axis_of_any_size(tmp_path: Path) -> None:
    """MS-07, MS-11, MS-15: depth too, odd sizes, one noise field, and nothing depends on how many slabs a call has."""
    weights = _weights(SlicePrior(SlicePriorConfig(channels=(8, 8), blocks=(1, 1), axes=2)), tmp_path)
    axes = tuple(SliceGeometry(a, n, 1.7, 1.7, fine, 1.0) for a, n, fine in ((0, 5, 9), (1, 4, 7), (2, 3, 6)))
    y = torch.rand(1, 5, 4, 3) * 300
    measurement = Measurement(Separable.from_axes(axes, (5, 4, 3)), y, None, np.eye(4))
    result = mri_sr(measurement, Settings(steps=3, weights=weights), SeededNoise(0))
    assert result.mean.shape == (9, 7, 6) and result.calls == 9 and result.weights is not None
    other = Measurement(measurement.operator, 1000 * y, None, np.eye(4))
    scaled = mri_sr(other, Settings(steps=3, weights=weights), SeededNoise(0))
    assert torch.allclose(scaled.mean, 1000 * result.mean, rtol=1e-3, atol=1e-2 * float(scaled.mean.abs().max()))
    assert not torch.equal(mri_sr(measurement, Settings(steps=3, weights=weights), SeededNoise(1)).mean, result.mean)


def test_the_volume_network_is_one_call_a_step(tmp_path: Path) -> None:
    """``network: volume`` asks the 3-D prior, here of the published process itself."""
    config = VolumePriorConfig(channels=(8, 8), blocks=(1, 1), up=(1,), strides=((1, 2, 2),), process="cosine-product")
    weights = _weights(VolumePrior(config), tmp_path)
    y = torch.rand(1, 6, 6, 12)
    measurement = Measurement(Separable.from_axes(AXES, (6, 6, 12)), y, None, np.eye(4))
    result = mri_sr(measurement, Settings(steps=3, network="volume", weights=weights), SeededNoise(0))
    assert result.mean.shape == (12, 12, 12) and result.calls == 3 and bool(result.mean.isfinite().all())


def test_other_measurements_are_refused() -> None:
    """No known axes, or no place in the patient."""
    y = torch.rand(1, 6, 6, 12)
    for measurement in (
        Measurement(Separable({0: AXES[0].matrix()}, (12, 6, 12)), y, None, np.eye(4)),
        Measurement(Separable.from_axes(AXES, (6, 6, 12)), y),
    ):
        with pytest.raises(InputError, match="along known axes"):
            mri_sr(measurement, Settings(), SeededNoise(0))
