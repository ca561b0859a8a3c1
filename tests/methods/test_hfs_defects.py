"""The defects of the published code of HFS-SDE, HF-01 to HF-18, each with a test that would see it come back.

HF-06 and HF-13 are seen by tests/guidance/test_gradient.py and tests/diffusion/test_subspace.py as well, HF-02 and
HF-17 by tests/training, which look at the training loop.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from voxprior.diffusion.denoiser import Cotangent, pullback
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.path import VariancePreserving
from voxprior.diffusion.process import Process
from voxprior.diffusion.sample import State, sample
from voxprior.diffusion.schedule import Step
from voxprior.diffusion.subspace import Confined, HighFrequency, highpass
from voxprior.guidance.gradient import balanced
from voxprior.guidance.proximal import unguided
from voxprior.io.kspace.index import index_folder
from voxprior.methods.hfs_sde import (
    Followed,
    Prior,
    Sde,
    exploding_rows,
    hfs_sde,
    preserving_rows,
    pretrained,
    sense_of_centre,
    ve_sde,
    vp_sde,
)
from voxprior.metrics.nmse import nmse
from voxprior.operators.base import Measurement
from voxprior.operators.coil_simulation import simulate_maps
from voxprior.operators.fourier import Fourier, fft, ifft
from voxprior.operators.masks import make_mask
from voxprior.priors.complex import ComplexDenoiser
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig, precondition
from voxprior.priors.gaussian import StationaryGaussian, power_law
from voxprior.priors.weights import export

SHAPE, COILS = (12, 16), 4
METHODS = {"hfs-sde": hfs_sde, "ve-sde": ve_sde, "vp-sde": vp_sde}
SMALL = SlicePriorConfig(slab=2, halo=0, channels=(8, 8), blocks=(1, 1), image_std=0.3)


def _white(*shape: int, seed: int = 0) -> Tensor:
    return torch.view_as_complex(torch.from_numpy(np.random.default_rng(seed).standard_normal((*shape, 2))))


def _gaussian(shape: tuple[int, int] = SHAPE) -> StationaryGaussian:
    return StationaryGaussian(torch.zeros((), dtype=torch.float64), power_law(shape, 0.3, 2.5))


def _operator(shape: tuple[int, int] = SHAPE) -> Fourier:
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, ::4] = mask[:, shape[1] // 2 - 4 : shape[1] // 2 + 4] = True
    maps = torch.from_numpy(simulate_maps(shape, COILS, np.random.default_rng(0))).to(torch.complex128)
    return Fourier(mask, maps)


def _measurement(unit: float = 1.0, dtype: torch.dtype = torch.complex128) -> Measurement:
    operator, noise = _operator(), 0.01
    y = operator.apply(_gaussian().draw(_white(1, *SHAPE))) + noise * operator.mask * _white(1, COILS, *SHAPE, seed=1)
    return Measurement(operator, (unit * y).to(dtype), unit * noise)


def _run(name: str, measurement: Measurement, denoise: Any = None, **options: Any) -> Any:
    prior, method = Prior(_gaussian() if denoise is None else denoise), METHODS[name]
    own = {"acs": 4} if name == "hfs-sde" else {}
    analytic = Sde(name, method.Options, method.snr, method.rows, method.build, lambda weights, device: prior)
    return analytic(measurement, method.Options(**{"steps": 20, **own, **options}), SeededNoise(0))


def _process(rows: tuple[Step, ...]) -> Followed:
    scales = (*(1 / math.hypot(1, s.sigma) for s in rows[1:]), 1.0)
    return Followed(HighFrequency(highpass(SHAPE, 4, 1)), scales)


class Wild:
    """A denoiser whose word on low frequencies, never trained, is far off."""

    sigma_range = (0.0, math.inf)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return 5 + 0.5 * x

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        return pullback(self, x, sigma, cotangent)


@pytest.mark.parametrize("snr", [0.16, None])
def test_hf_01_low_frequencies_are_not_moved_by_the_prior(snr: float | None) -> None:
    """HF-01: predictor steps added the untrained low frequencies of the network; no row of either kind may."""
    rows = preserving_rows(40, snr)
    process, x = _process(rows), _white(1, *SHAPE)
    guided = unguided([Confined(Wild(), process.high)])
    for state in sample(guided, State(x), rows, process, SeededNoise(0)):
        torch.testing.assert_close(process.high.low(state.x), process.high.low(x), rtol=0, atol=1e-11)


def test_hf_02_sampling_uses_the_published_weights(tmp_path: Path) -> None:
    """HF-02: the average of the weights was restored and never used; what a file holds, the average, is what runs."""
    prior = SlicePrior(SMALL)
    torch.nn.init.normal_(next(prior.parameters()), generator=torch.Generator().manual_seed(0))
    settings = {"training": {"settings": {"examples": {"acs_lines": 4}}}}
    rest = {"licence": "none", "data": {}, "figures": {}}
    export(prior, tmp_path / "own.safetensors", {**settings, **rest})
    found = pretrained(str(tmp_path / "own.safetensors"), "cpu")
    assert isinstance(found.denoise, ComplexDenoiser) and found.acs == 4 and found.weights is not None
    assert found.weights["name"] == "own"
    for name, value in found.denoise.prior.state_dict().items():
        assert torch.equal(value, prior.state_dict()[name].half().float())


@pytest.mark.parametrize("sigma", [0.005, 0.5, 19.0, 348.0])
def test_hf_03_score_is_scaled_by_the_noise(sigma: float) -> None:
    """HF-03: the score was divided by an entry of a descending table; of a silent network it is -x/(sigma^2 + s^2)."""
    prior = SlicePrior(SMALL).eval()
    for p in prior.parameters():
        torch.nn.init.zeros_(p)
    denoise = ComplexDenoiser(prior.requires_grad_(False), 1.0)
    x = _white(1, 16, 16).to(torch.complex64) * sigma
    score = (denoise(x, sigma) - x) / sigma**2
    torch.testing.assert_close(score, -x / (sigma**2 + 0.3**2), rtol=1e-3, atol=1e-6 / sigma)


@pytest.mark.parametrize("rows", [preserving_rows(100, 0.32), exploding_rows(100, 0.1)])
def test_hf_04_network_can_tell_noise_levels_apart(rows: tuple[Step, ...]) -> None:
    """HF-04: labels of neighbouring steps were the same to the network; they are ln sigma / 4, 1e-2 apart at least."""
    low, high = SMALL.sigma_min, SMALL.sigma_max
    sigmas = torch.tensor(sorted({s.sigma for s in rows if low <= s.sigma <= high}))
    labels = precondition(sigmas, torch.full_like(sigmas, 0.3), (low, high)).label
    torch.testing.assert_close(labels, torch.log(sigmas) / 4)
    assert float(labels.diff().min()) > 1e-2
    assert float(labels[-1] - labels[0]) > 1.8


@pytest.mark.parametrize("n", [100, 300, 1000])
def test_hf_05_every_number_of_steps_walks_the_whole_way(n: int) -> None:
    """HF-05: tables of 1000 were indexed by fewer steps, so that most of the noise was never taken away."""
    exploding = [s for s in exploding_rows(n, 0.1) if s.stage == "predict"]
    assert len(exploding) == n and exploding[0].sigma == pytest.approx(348)
    assert exploding[-1].sigma == pytest.approx(0.01, rel=1e-3)
    assert sum(s.pull * s.sigma**2 for s in exploding) == pytest.approx(348**2, rel=1e-3)
    assert max(a.sigma / b.sigma for a, b in pairwise(exploding)) < 34800 ** (1.01 / (n - 1))
    rows = [s for s in preserving_rows(n, 0.16) if s.stage == "predict"]
    after = [1 / math.hypot(1, s.sigma) for s in rows[1:]]
    integral = sum((s.kick * a) ** 2 for s, a in zip(rows, after, strict=False))
    assert integral == pytest.approx(10.05, rel=0.01)
    assert rows[0].sigma == pytest.approx(152.167, rel=1e-5) and rows[-1].sigma == pytest.approx(0.01049, rel=1e-3)
    # The Langevin factor: alpha_j runs from 1 - 20/n to 1 - .1/n, whatever n.
    alphas = [s.snr**2 / 0.16**2 for s in preserving_rows(n, 0.16) if s.snr is not None]
    assert alphas[0] == pytest.approx(1 - 20 / n) and alphas[-1] == pytest.approx(1 - 0.1 / n, abs=20 / n**2)


def test_hf_06_an_image_that_explains_the_data_is_left_alone() -> None:
    """HF-06: the pull of the data never vanished, and was NaN at A x = y; there it is zero, and the prior's remains."""
    operator, x = _operator(), _gaussian().draw(_white(1, *SHAPE))
    guided = balanced([_gaussian()], Measurement(operator, operator.apply(x)), 2.5)
    estimate, _ = guided(x, Step(0, 0.1), {})
    assert torch.equal(estimate.denoised, estimate.prior)
    near, _ = guided(x + 1e-9 * _white(1, *SHAPE, seed=3), Step(0, 0.1), {})
    assert float((near.denoised - near.prior).norm()) < 1e-5 * float((near.prior - x).norm())


@pytest.mark.parametrize("name", sorted(METHODS))
def test_hf_06_units_do_not_change_the_result(name: str) -> None:
    """HF-06, HF-09: weights held for one intensity only; data times c give the image times c."""
    one = _run(name, _measurement()).mean
    for unit in (1e-6, 3e4):
        torch.testing.assert_close(_run(name, _measurement(unit)).mean / unit, one, rtol=1e-6, atol=1e-8)


def test_hf_07_start_is_what_the_centre_determines() -> None:
    """HF-07: the low frequencies of the coil-combined centre are not the image's, and spill; those of its SENSE are."""
    shape = (24, 32)
    operator, process = _operator(shape), HighFrequency(highpass(shape, 6, 1))
    truth = _gaussian(shape).draw(_white(1, *shape))
    k, wanted = operator.apply(truth), process.low(truth)
    published = Fourier(~process.keep, operator.maps).adjoint(k)
    start = process.low(sense_of_centre(operator, k, 1e-3, 1))

    def error(found: Tensor) -> float:
        return float((found - wanted).norm() / wanted.norm())

    assert error(published) > 0.05
    assert error(start) < 1e-3
    assert float(process.high(published).norm() / published.norm()) > 0.03
    assert float(process.high(start).norm() / start.norm()) < 1e-12


def test_hf_08_langevin_step_is_set_by_the_noise_that_is_added() -> None:
    """HF-08: the step was set by noise before its projection, and taken with less."""
    rows = (Step(0, 0.7, stage="correct", snr=0.2), Step(1, 0.5))
    process, x = _process(rows), _white(1, *SHAPE)
    denoise = Confined(_gaussian(), process.high)
    (state,) = sample(unguided([denoise]), State(x), rows[:1], process, SeededNoise(4))
    z = process.noise(SeededNoise(4), x, rows[0])
    torch.testing.assert_close(process.high.high(z), z, rtol=0, atol=1e-12)
    score = (denoise(x, 0.7) - x) / 0.7**2
    e = 2 * (0.2 * z.norm() / score.norm()) ** 2
    torch.testing.assert_close(state.x, x + e * score + (2 * e).sqrt() * z, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_hf_09_nothing_is_known_but_the_measured_samples(name: str) -> None:
    """HF-09: scale and maps came from the fully sampled slice; samples outside the mask must not matter at all."""
    given = _measurement()
    operator: Any = given.operator
    poisoned = given.y + 1e3 * ~operator.mask
    one, two = _run(name, given), _run(name, Measurement(operator, poisoned, given.sigma))
    assert torch.equal(one.mean, two.mean) and one.notes["scale"] == two.notes["scale"]


@pytest.mark.parametrize(
    ("family", "nominal", "acs", "true"),
    [
        ("uniform", 4, 24, 3.27),
        ("uniform", 6, 24, 4.32),
        ("uniform", 8, 24, 5.25),
        ("uniform", 10, 24, 5.926),
        ("uniform", 12, 24, 6.53),
        ("uniform", 16, 24, 7.44),
        ("uniform", 20, 18, 9.41),
        ("cartesian", 10, 24, 10.0),
        ("random-uniform", 10, 24, 10.0),
    ],
)
def test_hf_10_true_acceleration_is_told(family: str, nominal: float, acs: int, true: float) -> None:
    """HF-10: "10-fold" was 5.93-fold; masks, operators and results tell the true number."""
    mask = make_mask(family, (24, 320), nominal, acs)
    operator = Fourier(torch.from_numpy(mask.keep))
    assert mask.nominal == nominal
    assert mask.acceleration == operator.acceleration == pytest.approx(true, abs=5e-3)


def test_hf_10_result_tells_the_true_acceleration() -> None:
    """HF-10: the figure reaches the sidecar."""
    given = _measurement()
    assert _run("hfs-sde", given).notes["acceleration"] == pytest.approx(16 / 10)


def test_hf_11_a_gain_error_is_an_error() -> None:
    """HF-11: NMSE divided either image by its own maximum, so that a wrong gain was free."""
    x = np.abs(_white(8, 9).numpy())
    assert nmse(2 * x, x) == pytest.approx(1)


def test_hf_12_each_slice_is_read_once(tmp_path: Path) -> None:
    """HF-12: the last indices of a volume all gave one slice; an index over files names every slice, once."""
    for name, slices in (("a", 3), ("b", 1), ("c", 5)):
        np.savez(tmp_path / f"{name}.npz", kspace=_white(slices, 2, 6, 8).numpy().astype(np.complex64))
    index = index_folder(tmp_path, tmp_path / "cache")
    found = [(path.stem, k) for path, k in index]
    assert found == [(name, k) for name, slices in (("a", 3), ("b", 1), ("c", 5)) for k in range(slices)]
    assert [index.locate(i) for i in range(len(index))] == list(index)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_hf_13_precision_and_device_stay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF-13: masks of double precision doubled every transform; a run in complex64 holds nothing larger."""
    seen = set()

    class Watched(Wild):
        def __call__(self, x: Tensor, sigma: float) -> Tensor:
            seen.add((x.dtype, x.device.type))
            return 0.5 * x

    result = _run(name, _measurement(dtype=torch.complex64), Watched())
    assert seen == {(torch.complex64, "cpu")} and result.mean.dtype == torch.complex64


def test_hf_14_nothing_global_is_switched() -> None:
    """HF-14: a run switched cuDNN off and seeded the global generator."""
    backend = torch.backends.cudnn
    before = (backend.enabled, backend.deterministic, backend.benchmark, torch.random.get_rng_state())
    _run("hfs-sde", _measurement())
    after = (backend.enabled, backend.deterministic, backend.benchmark, torch.random.get_rng_state())
    assert before[:3] == after[:3] and torch.equal(before[3], after[3])


@pytest.mark.parametrize("solver", ["sde", "ode"])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_hf_15_every_choice_runs(name: str, solver: str) -> None:
    """HF-15: the ODE, and half of the predictors, crashed; what is offered runs, and the rest is no option."""
    result = _run(name, _measurement(), solver=solver, snr=0.2, mse=0.0, corrector_mse=0.0, samples=2, snapshots=5)
    assert [i % 5 for i in result.snapshots] == [0] * len(result.snapshots) and result.snapshots
    assert all(len(kept) == 1 and kept[0].shape == result.mean.shape for kept in result.snapshots.values())
    assert bool(torch.isfinite(torch.view_as_real(result.samples)).all())
    assert set(METHODS[name].Options.model_fields) == {
        *("snr", "mse", "corrector_mse", "steps", "solver", "samples", "weights", "precision", "memory", "device"),
        "snapshots",
        *(["acs"] if name == "hfs-sde" else []),
    }


def test_hf_16_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF-16: making a mask wrote a file of another size to a fixed place."""
    monkeypatch.chdir(tmp_path)
    make_mask("uniform", (24, 320), 10, 24)
    _run("hfs-sde", _measurement())
    assert not list(tmp_path.iterdir())


def test_hf_17_a_run_goes_on_where_it_stopped() -> None:
    """HF-17: nothing could be resumed; a state of any row, taken up again, ends in the same bits."""
    rows, given = preserving_rows(20, 0.32), _measurement()
    process: Process = _process(rows)
    high = HighFrequency(highpass(SHAPE, 4, 1))
    guided = balanced([Confined(_gaussian(), high)], given, 2.5, 0.1, high.preserving)
    whole = list(sample(guided, State(_white(1, *SHAPE)), rows, process, SeededNoise(0)))
    kept = whole[16]
    *_, last = sample(guided, State(kept.x.clone(), kept.index, dict(kept.memory)), rows, process, SeededNoise(0))
    assert torch.equal(last.x, whole[-1].x)


@pytest.mark.parametrize("t", [1e-3, 0.1, 0.5, 1.0])
def test_hf_18_the_exponential_is_exact(t: float) -> None:
    """HF-18: e^c was (1 + c/1e6)^1e6 in single precision; a and b are right to the last digits of doubles."""
    path = VariancePreserving()
    with localcontext() as context:
        context.prec = 50
        c = -(Decimal(t) ** 2) * (Decimal(20) - Decimal("0.1")) / 4 - Decimal(t) * Decimal("0.1") / 2
        a, b = c.exp(), (1 - (2 * c).exp()).sqrt()
    assert path.a(t) == pytest.approx(float(a), rel=1e-14)
    assert path.b(t) == pytest.approx(float(b), rel=1e-13)


def test_hf_18_every_image_of_a_batch_has_its_own_path() -> None:
    """HF-18: the factor was not spread over voxels; forward states of a batch are those of its images alone."""
    process, x = HighFrequency(highpass(SHAPE, 4, 1)), _white(3, *SHAPE)
    states, b = process.preserving(x, 0.8)
    assert b == pytest.approx(0.8 / math.sqrt(1 + 0.8**2))
    for k in range(3):
        low = ifft(fft(x[k : k + 1], (1, 2)) * ~process.keep, (1, 2))
        expected = low + (x[k : k + 1] - low) / math.sqrt(1 + 0.8**2)
        torch.testing.assert_close(states[k : k + 1], expected, rtol=0, atol=1e-12)
