"""Distillation: the right gradient, a teacher that is loaded, networks that step, and a run that resumes to the bit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from volume_priors import live
from voxprior.diffusion.path import Ddpm
from voxprior.errors import InputError
from voxprior.priors.student import StudentConfig, student_of
from voxprior.priors.volume import VolumePrior
from voxprior.priors.weights import export, load_as
from voxprior.training.distill import Distillation, DistillConfig, distill
from voxprior.training.examples import Batch
from voxprior.training.gradients import Weighting, contrast_in_features, distribution_gradient, step_along
from voxprior.training.publish import publish_student
from voxprior.training.volumes import VolumeExampleConfig

WEIGHTINGS: tuple[Weighting, ...] = ("paper", "release", "dmd")


def volume_weights(path: Path, std: float = 0.1) -> Path:
    """A small volume prior in a file, with a card."""
    export(live(std), path, {"licence": "CC0", "data": {}, "training": {}, "figures": {}})
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return volume_weights(tmp_path_factory.mktemp("teacher") / "teacher.safetensors")


def _config(data: Path, output: Path, teacher: Path, **changes: object) -> DistillConfig:
    given = {
        "examples": VolumeExampleConfig(cells=(4, 4), plane=(16, 16), factors=(2, 3), in_plane=0.0, mean=0.0),
        "steps": 4, "batch": 2, "rate": 1e-3, "fake_rate": 1e-3, "validate_every": 0, "save_every": 2, **changes,
    }
    return DistillConfig(data=data, output=output, teacher=str(teacher), **given)  # type: ignore[arg-type]


def _batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    truth, m = (torch.randn(2, 8, 16, 16, generator=generator) for _ in range(2))
    features = torch.zeros(2, 16)
    return Batch(truth, m, torch.tensor([2, 2]), torch.tensor([0.2, 0.3]), features, torch.tensor([1, 1]))


def _gaussian(x: Tensor, sigma: Tensor, mean: float, variance: float) -> Tensor:
    """E[x0 | x] of x0 ~ N(mean, variance)."""
    return mean + variance / (variance + sigma[:, None, None, None] ** 2) * (x - mean)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("mean", [-0.5, 0.3])
def test_the_student_moves_towards_the_data_and_not_away_from_it(weighting: Weighting, mean: float) -> None:
    """OS-01: data N(0, .09), student N(mean, .09): the gradient has the sign of mean (published: the other one)."""
    u = mean + 0.3 * torch.randn(8, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    sigma = torch.linspace(0.05, 2.0, 8)
    noisy = u + sigma[:, None, None, None] * torch.randn(u.shape, generator=torch.Generator().manual_seed(2))
    real, fake = _gaussian(noisy, sigma, 0.0, 0.09), _gaussian(noisy, sigma, mean, 0.09)
    gradient = distribution_gradient(real, fake, u, sigma, weighting)
    assert (gradient.mean(dim=(1, 2, 3)).sign() == math.copysign(1, mean)).all()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_following_the_gradient_ends_at_the_data(weighting: Weighting) -> None:
    """A student N(mean, .09) that follows it has the mean of the data after some steps."""
    mean = torch.tensor(0.8, requires_grad=True)
    generator = torch.Generator().manual_seed(3)
    for _ in range(400):
        u = mean + 0.3 * torch.randn(16, 1, 8, 8, generator=generator)
        sigma = 0.05 + torch.rand(16, generator=generator)
        with torch.no_grad():
            noisy = u + sigma[:, None, None, None] * torch.randn(u.shape, generator=generator)
            real, fake = _gaussian(noisy, sigma, 0.0, 0.09), _gaussian(noisy, sigma, mean.item(), 0.09)
            gradient = distribution_gradient(real, fake, u, sigma, weighting)
        (slope,) = torch.autograd.grad(step_along(u, gradient), mean)
        with torch.no_grad():
            mean -= 0.1 * slope
    assert abs(mean.item()) < 0.05


def test_the_weightings_are_those_of_paper_and_release() -> None:
    """OS-06: e_real - e_fake times sqrt(abar_t), or sqrt(1 - abar_t), at the noise levels of the linear process."""
    path, t = Ddpm(), 500
    abar = path.a(t) ** 2
    assert abar == pytest.approx(0.0777967, abs=1e-7)
    sigma = torch.tensor([path.sigma(t)])
    u, real, fake = (torch.randn(1, 2, 3, 4, dtype=torch.float64) for _ in range(3))
    x = u + float(sigma) * torch.randn(u.shape, dtype=torch.float64)
    predicted = ((x - real) - (x - fake)) / float(sigma)
    for weighting, weight in (("paper", abar), ("release", 1 - abar)):
        found = distribution_gradient(real, fake, u, sigma, weighting)  # type: ignore[arg-type]
        torch.testing.assert_close(found, math.sqrt(weight) * predicted, rtol=1e-5, atol=1e-6)
    distance = (u - real).abs().mean()
    torch.testing.assert_close(distribution_gradient(real, fake, u, sigma, "dmd"), (fake - real) / distance)


def test_the_frozen_teacher_is_what_was_loaded(data_folder: Path, teacher: Path, tmp_path: Path) -> None:
    """OS-02: teacher, student and fake network begin as the weights in the file, and the teacher stays there."""
    run, held = Distillation(_config(data_folder, tmp_path, teacher)), load_as(str(teacher), VolumePrior).prior
    batch = _batch()

    def answer(prior: VolumePrior) -> Tensor:
        return prior(batch.truth, batch.m, batch.phase, batch.spread, batch.spread, batch.vector).mean

    expected = answer(held)
    assert float((expected - batch.m).abs().max()) > 1e-3
    assert torch.equal(answer(run.teacher), expected)
    for network in (run.student, run.fake):
        torch.testing.assert_close(answer(network).detach(), expected, rtol=0, atol=1e-5)
    run.advance(batch)
    assert torch.equal(answer(run.teacher), expected)
    assert not any(p.requires_grad for p in run.teacher.parameters())


def test_both_networks_step(data_folder: Path, teacher: Path, tmp_path: Path) -> None:
    """OS-03: after one iteration student and fake network have other parameters, and no gradient is left to grow."""
    run = Distillation(_config(data_folder, tmp_path, teacher, regression=1.0))
    before = [{k: v.clone() for k, v in n.state_dict().items()} for n in (run.student, run.fake)]
    run.advance(_batch())
    for network, old in zip((run.student, run.fake), before, strict=True):
        assert any(not torch.equal(v, old[k]) for k, v in network.state_dict().items())
    one = [float(p.grad.norm()) for p in run.fake.parameters() if p.grad is not None]
    run.advance(_batch())
    two = [float(p.grad.norm()) for p in run.fake.parameters() if p.grad is not None]
    assert sum(two) < 1.8 * sum(one)


def test_the_contrastive_term_reaches_the_student(data_folder: Path, teacher: Path, tmp_path: Path) -> None:
    """OS-04: d L_con / d theta is not zero, and positives and negatives carry no gradient."""
    run = Distillation(_config(data_folder, tmp_path, teacher, contrastive=1.0))
    batch, generator = _batch(), torch.Generator().manual_seed(0)

    def drawn(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    u = run.config.student.restore(run.student, batch.m, batch.phase, batch.spread, batch.vector, drawn(batch.m)).mean
    sigma = torch.tensor([0.2, 0.3])
    _, contrastive, _ = run._student_terms(u, batch, sigma, drawn)
    contrastive.backward()  # type: ignore[no-untyped-call]
    slopes = [float(p.grad.abs().sum()) for p in run.student.parameters() if p.grad is not None]
    assert sum(slopes) > 0
    assert all(p.grad is None for p in run.teacher.parameters())


def test_the_contrast_is_small_near_the_positive_and_weighs_coarse_levels_most() -> None:
    """The ratio of distances, weights 1/2, 1/4 ... from the coarsest level."""
    anchor = [torch.zeros(1, 2, 4), torch.zeros(1, 2, 2)]
    positive = [torch.full((1, 2, 4), 1.0), torch.full((1, 2, 2), 3.0)]
    negative = [torch.full((1, 2, 4), 2.0), torch.full((1, 2, 2), 4.0)]
    wanted = 0.5 * 3 / 4 + 0.25 * 1 / 2
    assert float(contrast_in_features(anchor, positive, negative)) == pytest.approx(wanted, rel=1e-5)
    assert float(contrast_in_features(positive, positive, negative)) == 0


@pytest.mark.parametrize(
    "changes", [{"fake_steps": 2, "regression": 1.0}, {"weighting": "paper", "levels": "time", "contrastive": 0.1}]
)
def test_a_resumed_distillation_is_the_same_to_the_bit(
    data_folder: Path, teacher: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    """Stopped after one step and taken up, networks, averages and moments equal those of one run."""
    one = distill(_config(data_folder, tmp_path / "one", teacher, **changes))
    config = _config(data_folder, tmp_path / "two", teacher, **changes)
    distill(config, minutes=0)
    two = distill(config)
    first, second = load_file(one), load_file(two)
    assert first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_checkpoint_of_another_teacher_is_refused(data_folder: Path, teacher: Path, tmp_path: Path) -> None:
    """A student does not change its teacher in the middle."""
    config = _config(data_folder, tmp_path, teacher, steps=1)
    distill(config)
    other = volume_weights(tmp_path / "other.safetensors", 0.05)
    with pytest.raises(InputError, match="another teacher"):
        distill(config.model_copy(update={"teacher": str(other)}))


def test_published_weights_say_what_they_start_from(data_folder: Path, teacher: Path, tmp_path: Path) -> None:
    """The card of a student is enough to use it, and a teacher is not taken for one."""
    config = _config(data_folder, tmp_path / "run", teacher, student=StudentConfig(start="noise"))
    distill(config)
    card = publish_student(config, tmp_path / "student.safetensors")
    assert card["student"]["start"] == "noise" and card["figures"]["psnr"]
    assert student_of(load_as(str(tmp_path / "student.safetensors"), VolumePrior)) == StudentConfig(start="noise")
    with pytest.raises(InputError, match="not distilled"):
        student_of(load_as(str(teacher), VolumePrior))


@pytest.mark.parametrize("start", ["degraded", "noise"])
def test_a_student_starts_from_what_its_settings_say(start: str) -> None:
    """From the interpolated measurement with noise of its expected error, or from noise at the top of the range."""
    prior = live()
    m, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    spread = torch.tensor([0.1, 0.2])
    x, sigma = StudentConfig(start=start, level=0.5).begin(prior, m, spread, noise)  # type: ignore[arg-type]
    if start == "noise":
        assert torch.equal(x, prior.config.sigma_max * noise) and (sigma == prior.config.sigma_max).all()
    else:
        torch.testing.assert_close(x, m + 0.5 * spread[:, None, None, None] * noise)
        torch.testing.assert_close(sigma, 0.5 * spread)
