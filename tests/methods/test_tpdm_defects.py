"""Each defect of the published program of TPDM that could come back, by its number in the list of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import voxprior
from voxprior.diffusion.denoiser import Cotangent, Denoiser
from voxprior.diffusion.noise import SeededNoise
from voxprior.diffusion.process import White
from voxprior.diffusion.sample import sample, start
from voxprior.diffusion.schedule import Step
from voxprior.errors import InputError
from voxprior.guidance.proximal import unguided
from voxprior.methods.result import Result
from voxprior.methods.tpdm import Settings, Tpdm, pose, published, rows, tpdm, turns
from voxprior.metrics.planes import plane_ssim
from voxprior.operators.base import Measurement, Operator, Stack
from voxprior.operators.fourier import Fourier
from voxprior.operators.masks import parse_mask
from voxprior.operators.norm import axis_of_slices, largest_singular_value
from voxprior.operators.projection_matrix import ProjectionGeometry
from voxprior.operators.separable import Separable
from voxprior.operators.tomography import Tomography
from voxprior.priors.gaussian import StationaryGaussian, power_law
from voxprior.priors.planes import Slabs, slicewise
from voxprior.training.config import read_config
from voxprior.volume import SliceGeometry

STD = 0.3


class Counting:
    """Slices of a stationary Gaussian, through the same cutting as a network's; counts what it is asked."""

    sigma_range = (0.0, math.inf)

    def __init__(self, shape: tuple[int, ...], normal: int, batch: int = 64) -> None:
        rows = 0 if normal else 1
        flat = tuple(shape[a] for a in (rows, 3 - rows - normal))
        prior = StationaryGaussian(torch.full((), 0.4, dtype=torch.float64), power_law(flat, STD))
        self.normal, self.calls, self.pullbacks = normal, 0, 0
        self.slices = slicewise(
            lambda slabs, sigma, start, k: prior(slabs[:, 0], sigma)[:, None], Slabs(normal, rows), (0, math.inf), batch
        )

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        self.calls += 1
        return self.slices(x, sigma)

    def pullback(self, x: Tensor, sigma: float, cotangent: Cotangent) -> tuple[Tensor, Tensor]:
        self.pullbacks += 1
        return self.slices.pullback(x, sigma, cotangent)


def _thick(shape: tuple[int, ...] = (6, 7, 12), factor: float = 3.0, profile: str = "box") -> Separable:
    count = int(shape[2] / factor)
    g = SliceGeometry(2, count, factor, factor, shape[2], 1.0, profile)
    return Separable.from_slices(g, (*shape[:2], count))


def _truth(shape: tuple[int, ...]) -> Tensor:
    z = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return StationaryGaussian(torch.full((), 0.4, dtype=torch.float64), power_law(shape, STD)).draw(z)


def _measure(operator: Operator, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Measurement:
    return Measurement(operator, operator.apply(_truth(shape).to(dtype)), None, np.eye(4))


def _run(measurement: Measurement, prior: Callable[..., Denoiser] = Counting, **options: object) -> Result:
    settings = Settings.model_validate({"steps": 5, **options})
    return Tpdm(prior)(measurement, settings, SeededNoise(2))


def _variances(drop: bool) -> list[float]:
    """Variance of x over its right value, level by level from 9 to .6, of the published run on white images."""
    prior = StationaryGaussian(torch.zeros(()), torch.full((16, 16, 16), STD**2))
    chosen = rows(2000, 2, 0.16, 0)[-2600:-1600]
    steps = [Step(i, s.sigma, s.keep, s.pull, 0 if drop else s.kick, snr=s.snr) for i, s in enumerate(chosen)]
    rng = SeededNoise(1)
    state = start(prior.draw(rng(0, 9999, (1, 16, 16, 16))), steps, White(), rng)
    states = sample(unguided([prior]), state, steps[:-1], White(), rng)
    found = [float(now.x.var()) / (STD**2 + s.sigma**2) for now, s in zip(states, steps[1:], strict=True)]
    return found[1::2]


def test_01_the_predictor_keeps_its_noise() -> None:
    """The program threw the predictor's noise away; x must have variance sigma^2 + that of images at every level."""
    kept, dropped = _variances(drop=False), _variances(drop=True)
    assert abs(np.mean(kept) - 1) < 0.04 and max(abs(v - 1) for v in kept) < 0.15
    assert np.mean(dropped) < 0.95


@pytest.mark.parametrize("sigma", [378.0, 10.0, 1.0, 0.1, 0.01])
def test_02_the_guidance_points_along_the_data(sigma: float) -> None:
    """The program compared a clean estimate with data noised to sigma; the step follows A'(A D - y) at all levels."""
    shape = (6, 7, 12)
    measurement = _measure(_thick(), shape)
    white = StationaryGaussian(torch.full((), 0.4, dtype=torch.float64), torch.full(shape, STD**2).double())
    problem = pose(measurement, Settings())
    x = problem.like + 0.5 + sigma * SeededNoise(0)(0, 0, shape).double()
    estimate, _ = problem.guided([white, white], None)(x, Step(0, sigma), {})
    data = problem.measurement
    climb = data.operator.adjoint(data.operator.apply(estimate.prior) - data.y)
    assert estimate.shift is not None
    for one, other in zip(estimate.shift[0], climb[0], strict=True):  # slice by slice of the primary plane
        assert float((one * other).sum() / (one.norm() * other.norm())) > 0.999


@pytest.mark.parametrize(
    ("primary", "auxiliary"), [("sagittal", "axial"), ("coronal", "sagittal"), ("axial", "coronal")]
)
def test_03_planes_are_those_that_were_named(primary: str, auxiliary: str) -> None:
    """The program gave its auxiliary network slices in the wrong order; a plane is found by the affine, not by axis."""
    asked = []

    def prior(shape: tuple[int, ...], normal: int) -> Denoiser:
        asked.append(normal)
        return Counting(shape, normal)

    shape = (6, 7, 12)
    turned = np.eye(4)[[1, 2, 0, 3]] * np.array([[-1.0], [2.0], [1.0], [1.0]])  # array axes: S, R, A
    measurement = Measurement(_thick(), _measure(_thick(), shape).y, None, turned)
    result = _run(measurement, prior, steps=2, primary=primary, auxiliary=auxiliary)
    world = {"sagittal": 0, "coronal": 1, "axial": 2}
    assert [int(np.argmax(abs(turned[:3, a]))) for a in asked] == [world[primary], world[auxiliary]]
    assert (result.notes["primary"], result.notes["auxiliary"]) == (primary, auxiliary)


def test_04_nothing_depends_on_the_batch() -> None:
    """The program took one norm over a micro-batch; neither slices at once nor samples at once may matter."""
    measurement = _measure(_thick(), (6, 7, 12))
    one = _run(measurement, lambda shape, normal: Counting(shape, normal, 1))
    many = _run(measurement, lambda shape, normal: Counting(shape, normal, 64), samples=2)
    assert many.samples is not None
    torch.testing.assert_close(one.mean, many.samples[0], rtol=1e-10, atol=1e-10)


def test_04_each_slice_moves_as_if_alone() -> None:
    """A norm over six slices made each of their steps 1/sqrt(6) as long; a slice's step is that which it has alone."""
    shape, at = (6, 7, 12), slice(2, 3)
    whole = _measure(_thick(), shape)
    part = Measurement(_thick((1, 7, 12)), whole.y[:, at], None, np.eye(4))
    x, shifts = _truth(shape), []
    for measurement, image in ((whole, x), (part, x[:, at])):
        problem = replace(pose(measurement, Settings()), measurement=measurement)  # on one scale
        space = tuple(image.shape[1:])
        estimate, _ = problem.guided([Counting(space, 0), Counting(space, 2)], None)(image, Step(0, 0.5), {})
        assert estimate.shift is not None
        shifts.append(estimate.shift)
    torch.testing.assert_close(shifts[0][:, at], shifts[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("unit", [1e-3, 1000.0])
def test_05_intensities_and_units_of_the_data_do_not_matter(unit: float) -> None:
    """Published weights held for one intensity scale and one operator; data, or the operator, times c are the same."""
    shape = (6, 7, 12)
    measurement = _measure(_thick(), shape)
    plain = _run(measurement)
    scaled = _run(Measurement(measurement.operator, unit * measurement.y, None, np.eye(4)))
    torch.testing.assert_close(scaled.mean, unit * plain.mean, rtol=1e-8, atol=1e-8 * unit)
    g = _thick().slices
    assert g is not None
    other = Separable({2: unit * g.matrix()}, shape, (g,))
    same = _run(Measurement(other, unit * measurement.y, None, np.eye(4)))
    torch.testing.assert_close(same.mean, plain.mean, rtol=1e-6, atol=1e-6)


def test_05_the_weight_of_a_kind_of_data_is_the_published_one() -> None:
    """Six slices shared a norm, transforms were not normalised: the numbers of the paper, for a slice and norm 1."""
    six = math.sqrt(6)
    for factor, weight in ((2, 1.0), (3, 2.0), (4, 3.0), (5, 4.0)):
        assert published(_measure(_thick((4, 4, 20), factor), (4, 4, 20))).weight == pytest.approx(weight / six)
    mask = torch.zeros(48, 5, 5, dtype=torch.bool)
    mask[:1] = True
    fourier = Fourier(mask.movedim(0, 2), axes=(1, 2))
    known = published(Measurement(fourier, torch.zeros(1, 5, 5, 48, dtype=torch.complex64)))
    assert known.weight == pytest.approx(2.56 / six) and known.slices == 0


@pytest.mark.parametrize("sigma", [0.05, 1.0])
def test_05_tomography_has_the_strength_of_the_published_projector(sigma: float) -> None:
    """Its weight was set for sums of pixels along rays: the same step must come out of rays in millimetres."""
    steps = []
    for pixel in (1.0, 2.5):
        geometry = ProjectionGeometry((16, 16), (pixel, pixel), tuple(np.arange(36) * 5.0), 24, pixel)
        measurement = _measure(Tomography(geometry, (5, 16, 16)), (5, 16, 16))
        problem = pose(measurement, Settings())
        guided = problem.guided([Counting((5, 16, 16), 0), Counting((5, 16, 16), 1)], None)
        estimate, _ = guided(problem.like + 0.2, Step(0, sigma), {})
        assert estimate.shift is not None
        steps.append(estimate.shift)
        assert problem.known.k == 2.7 and next(iter(problem.planes.values())) == 0
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-4, atol=1e-6)
    result = _run(measurement, steps=3)
    assert result.notes["k"] == 2.7 and bool(torch.isfinite(result.mean).all())


def test_05_views_are_taken_in_units_of_water() -> None:
    """The scale of CT was that of one data set: with all attenuations, and water's, times c the volume is c times."""
    geometry = ProjectionGeometry((8, 8), (1.0, 1.0), tuple(np.arange(12) * 15.0), 12, 1.0)
    operator = Tomography(geometry, (5, 8, 8))
    measurement = _measure(operator, (5, 8, 8))
    plain = _run(measurement, mu_water=0.5)
    assert pose(measurement, Settings(mu_water=0.5)).scale == 0.5
    assert pose(measurement, Settings()).scale == 0.0193
    other = Measurement(operator, 3 * measurement.y, None, np.eye(4))
    torch.testing.assert_close(_run(other, mu_water=1.5).mean, 3 * plain.mean, rtol=1e-8, atol=1e-8)
    lighter = operator.weighted(torch.full((12, 12), 7.0, dtype=torch.float64))  # rays of one weight are as without
    same = _run(Measurement(lighter, 7 * measurement.y, None, np.eye(4)), mu_water=0.5)
    torch.testing.assert_close(same.mean, plain.mean, rtol=1e-6, atol=1e-6)


def test_05_each_kind_of_data_has_weights_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of heads know nothing of attenuation: views ask for those of CT unless others are named."""
    asked: list[str] = []

    def refuse(name: str) -> None:
        asked.append(name)
        raise InputError("none here")

    monkeypatch.setattr("voxprior.methods.tpdm.load", refuse)
    geometry = ProjectionGeometry((8, 8), (1.0, 1.0), (0.0, 60.0, 120.0), 12, 1.0)
    views = _measure(Tomography(geometry, (5, 8, 8)), (5, 8, 8))
    phased = Fourier(torch.ones(5, 8, 8, dtype=torch.bool), axes=(1, 2))
    kspace = Measurement(phased, torch.ones(1, 5, 8, 8, dtype=torch.complex64))
    for measurement, own in ((views, None), (views, "mine"), (kspace, None), (_measure(_thick(), (6, 7, 12)), None)):
        with pytest.raises(InputError, match="none here"):
            Tpdm()(measurement, Settings(steps=2, weights=own), SeededNoise(0))
    assert asked == ["thorax-ct", "mine", "head-kspace", "head-slices"]


@pytest.mark.parametrize("shape", [(7, 5, 23), (37, 50, 61)])
def test_06_any_size_and_any_factor(shape: tuple[int, int, int]) -> None:
    """The program knew volumes of 256 and factors 2 to 5, and left the last slices black."""
    operator = _thick(shape, 3.5, "gaussian")
    result = _run(_measure(operator, shape))
    assert result.mean.shape == shape and bool(torch.isfinite(result.mean).all())
    assert float(result.mean[..., -3:].std()) > 0.2 * float(result.mean.std())


@pytest.mark.parametrize("k", [2, 3, 7, 1.2, 2.0, 2.7, 40.0])
def test_07_the_last_step_is_one_with_data(k: float) -> None:
    """With K = 2 the program ended on the plane without data; whole and fractional K have their published laws."""
    assert len(rows(2000, k, 0.16, 3)) == 4000  # calls of a published run
    planes = [s.plane for s in rows(400, k, 0.16, 3)][::2]
    assert planes[-1] == 0
    if isinstance(k, int):
        assert planes[:-1] == [1 if i % k == k - 1 else 0 for i in range(399)]
    else:
        assert abs(np.mean(planes[:-1]) - 1 / k) < 4 * math.sqrt((1 / k) * (1 - 1 / k) / 399)


def test_07_the_draw_is_seeded_and_k_makes_sense() -> None:
    """The draw came from the global generator, and K below 1 never looked at the data."""
    assert [turns(2.7, 1)(i, 50) for i in range(50)] == [turns(2.7, 1)(i, 50) for i in range(50)]
    measurement = _measure(_thick(), (6, 7, 12))
    torch.testing.assert_close(_run(measurement, k=1.5).mean, _run(measurement, k=1.5).mean, rtol=0, atol=0)
    for k in (1, 1.0, 0.5, -2):
        with pytest.raises(ValueError, match="greater than 1"):
            Settings(k=k)


THICK = _measure(_thick(), (6, 7, 12))


@pytest.mark.parametrize(
    "options",
    [
        {"k": 3},
        {"k": 2.7},
        {"dps_weight": 0.0},
        {"dps_weight": 3.0},
        {"snr": 0.3},
        {"primary": "coronal"},
        {"primary": "axial", "auxiliary": "coronal"},
        {"snapshots": 4},
        {"samples": 3},
        {"memory": 64},
        {"device": "cpu"},
    ],
)
def test_08_every_option_works(options: dict[str, Any]) -> None:
    """Options that crashed or did nothing: each runs, and all that may change the image do."""
    plain, result = _run(THICK), _run(THICK, **options)
    assert bool(torch.isfinite(result.mean).all())
    same = torch.equal(result.mean, plain.mean)
    assert same == (set(options) <= {"snapshots", "memory", "device"})
    assert (result.std is not None) == ("samples" in options)


def test_08_what_does_not_work_is_refused() -> None:
    """Equal planes, one slice alone, and data of a kind without a published weight."""
    measurement = _measure(_thick(), (6, 7, 12))
    with pytest.raises(InputError, match="two different planes"):
        _run(measurement, primary="axial")
    single = Fourier(torch.ones(6, 6, dtype=torch.bool))
    with pytest.raises(InputError, match="a stack of slices"):
        _run(Measurement(single, torch.zeros(1, 6, 6, dtype=torch.complex64)))
    stack = Stack([_thick(), _thick()], [(6, 7, 4), (6, 7, 4)])
    twice = Measurement(stack, torch.cat([measurement.y.flatten(1)] * 2, dim=1), None, np.eye(4))
    with pytest.raises(InputError, match="weight"):
        _run(twice)
    assert bool(torch.isfinite(_run(twice, dps_weight=1.0).mean).all())


def test_09_a_step_brings_the_data_nearer() -> None:
    """A sign was wrong in a sampler: the step must lower the misfit, and vanish where there is none."""
    shape = (6, 7, 12)
    measurement = _measure(_thick(), shape)
    problem = pose(measurement, Settings())
    prior = StationaryGaussian(torch.full((), 0.4, dtype=torch.float64), torch.full(shape, STD**2).double())
    guided = problem.guided([prior, prior], 0.01)
    x = _truth(shape) / problem.scale + 0.3

    def misfit(x: Tensor) -> float:
        return float((problem.measurement.operator.apply(prior(x, 0.1)) - problem.measurement.y).norm())

    estimate, _ = guided(x, Step(0, 0.1), {})
    assert estimate.shift is not None and misfit(x - estimate.shift) < misfit(x)
    fits = replace(problem.measurement, y=problem.measurement.operator.apply(prior(x, 0.1)))
    estimate, _ = replace(problem, measurement=fits).guided([prior, prior], 1.0)(x, Step(0, 0.1), {})
    assert estimate.shift is not None and float(estimate.shift.abs().max()) == 0


def _operators() -> dict[str, Operator]:
    geometry = ProjectionGeometry((8, 8), (1.0, 1.0), tuple(np.arange(10) * 12.0), 12, 1.0)
    return {
        "thick slices": _thick((5, 8, 8), 2.0),
        "k-space": Fourier(torch.rand(5, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.4, axes=(1, 2)),
        "views over 120 degrees": Tomography(geometry, (5, 8, 8)),
        "one view": Tomography(ProjectionGeometry((8, 8), (1.0, 1.0), (30.0,), 12, 1.0), (5, 8, 8)),
    }


@pytest.mark.parametrize("name", sorted(_operators()))
def test_10_11_adjoints_are_adjoints(name: str) -> None:
    """One was missing its repetition, the other's scale was off by 27: <A x, y> = <x, A'y> for all that TPDM takes."""
    operator = _operators()[name]
    dtype = torch.complex128 if name == "k-space" else torch.float64
    source = torch.Generator().manual_seed(0)
    x = torch.randn(1, 5, 8, 8, generator=source, dtype=dtype)
    ax = operator.apply(x)
    y = torch.randn(ax.shape, generator=source, dtype=dtype)
    left, right = (ax.conj() * y).sum(), (x.conj() * operator.adjoint(y)).sum()
    assert abs(complex(left - right)) < 1e-11 * float(ax.norm() * y.norm())


def test_11_limited_angle_is_not_the_full_circle() -> None:
    """Limited-angle CT was the same as CT: fewer directions see less of the image."""
    ranks = []
    for span in (180.0, 60.0):
        geometry = ProjectionGeometry((8, 8), (1.0, 1.0), tuple(np.arange(12) * span / 12), 12, 1.0)
        a = Tomography(geometry).apply(torch.eye(64, dtype=torch.float64).reshape(64, 8, 8)).flatten(1)
        ranks.append(int((torch.linalg.svdvals(a) > 0.5).sum()))
    assert ranks[1] < ranks[0]


def test_12_no_inverse_crime() -> None:
    """Data came from the solver's own operator without noise, scaled by the truth: here another profile, and noise."""
    shape = (8, 8, 24)
    y = _thick(shape, 4.0, "gaussian").apply(_truth(shape))
    y = y + 0.02 * SeededNoise(9)(0, 0, tuple(y.shape[1:])).double()
    assumed = _thick(shape, 4.0)
    result = _run(Measurement(assumed, y, None, np.eye(4)), steps=120)
    nearest = y.repeat_interleave(4, dim=3)
    error, naive = (float((v - _truth(shape)[0]).square().mean().sqrt()) for v in (result.mean, nearest[0]))
    assert error < 1.2 * naive
    assert float((assumed.apply(result.mean[None]) - y).norm() / y.norm()) < 0.1


def test_13_planes_have_figures_of_their_own() -> None:
    """One PSNR of the volume was printed for three planes, and the range was left to a library's default."""
    truth = _truth((24, 24, 24))[0].numpy()
    spoiled = truth + 0.2 * np.random.default_rng(0).standard_normal((1, 1, 24))  # stripes across one axis
    found = plane_ssim(spoiled, truth, 1.0, {"sagittal": 0, "coronal": 1, "axial": 2})
    assert found["axial"] > found["sagittal"] and found["axial"] > found["coronal"]
    assert plane_ssim(truth, truth, 1.0, {"axial": 2}) == {"axial": pytest.approx(1.0)}


def test_14_missing_weights_are_an_error() -> None:
    """Weights were loaded with missing keys, and missing slices were zeros: neither passes here in silence."""
    measurement = _measure(_thick(), (6, 7, 12))
    with pytest.raises(InputError, match="no-such"):
        tpdm(measurement, Settings(steps=2, weights="no-such-weights"), SeededNoise(0))
    phased = Fourier(torch.ones(5, 8, 8, dtype=torch.bool), axes=(1, 2))
    data = torch.ones(1, 5, 8, 8, dtype=torch.complex64)
    for _ in range(2):  # weights that are kept for a batch are asked again
        with pytest.raises(InputError, match="real"):
            tpdm(Measurement(phased, data), Settings(steps=2, weights="head-slices"), SeededNoise(0))


def test_15_unknown_masks_are_refused() -> None:
    """An unknown kind of mask was built into an error that nobody raised."""
    with pytest.raises(InputError):
        parse_mask("gausian:8:24", (32, 32), 0)


def test_16_the_prior_can_be_trained_here() -> None:
    """The program had no training: the committed configuration makes examples without a measurement, as TPDM asks."""
    config = read_config(Path(voxprior.__file__).parent / "configs" / "head-slices.yaml")
    assert config.examples.kinds[2] >= 0.1


def test_17_the_network_is_differentiated_on_steps_with_data_alone() -> None:
    """Back-propagation is two thirds of the cost: not where there is nothing to compare, and never in one piece."""
    made: list[Counting] = []

    def prior(shape: tuple[int, ...], normal: int) -> Denoiser:
        made.append(Counting(shape, normal))
        return made[-1]

    result = _run(_measure(_thick(), (6, 7, 12)), prior, steps=8, k=2)
    primary, auxiliary = made
    planes = [s.plane for s in rows(8, 2, 0.16, 0)]
    assert primary.pullbacks == planes.count(0) and primary.calls == 0
    assert auxiliary.pullbacks == 0 and auxiliary.calls == planes.count(1)
    assert result.calls == len(planes)


@pytest.mark.parametrize("name", sorted(_operators()))
def test_norm_and_slices_of_an_operator(name: str) -> None:
    """Guards the two facts that make weights independent of the operator: its norm, and which data are of a slice."""
    operator = _operators()[name]
    dtype = torch.complex128 if name == "k-space" else torch.float64
    like = torch.zeros(1, 5, 8, 8, dtype=dtype)
    dense = operator.apply(torch.eye(320, dtype=dtype).reshape(320, 5, 8, 8)).flatten(1)
    exact = float(torch.linalg.matrix_norm(dense, 2))
    assert 0.97 * exact < largest_singular_value(operator, like) < exact * (1 + 1e-9)
    assert axis_of_slices(operator, like, 0) == 1
    assert axis_of_slices(operator, like, 2) is None or name == "none"


def test_snapshots_are_of_the_first_sample_in_input_units() -> None:
    """Guards the pictures of a run: every so many calls, three middle slices, the last of them of the answer's size."""
    measurement = _measure(_thick(), (6, 7, 12))
    result = _run(measurement, snapshots=5, samples=2)
    assert list(result.snapshots) == [5, 10]
    assert [tuple(s.shape) for s in result.snapshots[10]] == [(7, 12), (6, 12), (6, 7)]
    assert result.samples is not None
    assert float((result.snapshots[10][2] - result.samples[0][:, :, 6]).abs().max()) < 2 * float(result.mean.std())


def test_an_image_where_nothing_was_measured() -> None:
    """Guards unconditional generation: no data, no pullback, the prior's own scale."""

    class Blind:
        def apply(self, x: Tensor) -> Tensor:
            return x.new_zeros(x.shape[0], 0)

        def adjoint(self, y: Tensor) -> Tensor:
            return y.new_zeros(y.shape[0], 6, 7, 12)

        def prox(self, d: Tensor, y: Tensor, lam: float, warm: Tensor | None = None) -> Tensor:
            return d

    result = _run(Measurement(Blind(), torch.zeros(1, 0, dtype=torch.float64), None, np.eye(4)), steps=60)
    assert abs(float(result.mean.mean()) - 0.4) < 0.15 and 0.1 < float(result.mean.std()) < 0.6


def test_images_with_a_phase_stay_complex() -> None:
    """Guards measured k-space, which the program took for that of real images: the phase is restored, not dropped."""
    shape = (4, 12, 12)
    prior = StationaryGaussian(torch.zeros((), dtype=torch.complex128), power_law(shape, STD))
    source = torch.Generator().manual_seed(3)
    truth = prior.draw(torch.randn(1, *shape, generator=source, dtype=torch.complex128))
    operator = Fourier(torch.rand(shape, generator=source) < 0.5, axes=(1, 2))
    measurement = Measurement(operator, operator.apply(truth), None, np.eye(4))

    def like(x: Tensor) -> float:
        return float((x.conj() * truth[0]).sum().real / (x.norm() * truth[0].norm()))

    result = _run(measurement, lambda shape, normal: prior, steps=60, dps_weight=0.3)
    assert result.mean.dtype == torch.complex128
    assert like(result.mean) > 0.7 > like(operator.adjoint(measurement.y)[0])
