"""The comparison of samplers: its blocks, its figures, the parts of a sampler, and what the page says."""

import numpy as np
import pytest
import torch

from voxprior.diffusion.noise import SeededNoise
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.samplers import protocols, run
from voxprior.evaluate.samplers.ablation import Assembled, Settings
from voxprior.evaluate.samplers.contenders import (
    PARTS,
    SAMPLES,
    ours,
    runs_on,
    sampler_contenders,
    sampler_method,
    tpdm,
)
from voxprior.evaluate.samplers.measure import jitter, score
from voxprior.evaluate.samplers.protocols import sampler_cases
from voxprior.evaluate.samplers.run import evaluate_samplers
from voxprior.evaluate.sr.degrade import Problem, Truth, block, thicken
from voxprior.evaluate.sr.tables import GROUPS
from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.weights import Weights
from voxprior.volume import SliceGeometry

SIDE = 20


@pytest.fixture
def small(monkeypatch):
    """Blocks that fit into the heads of the small data folder."""
    monkeypatch.setattr(run, "EDGE", SIDE)


@pytest.fixture
def problem():
    """Slices of four voxels along A-P of a smooth volume, in an array that runs left and down."""
    i, j, k = np.meshgrid(*(np.arange(n) for n in (16, 16, 12)), indexing="ij")
    truth = (100 + 40 * np.sin(i / 3) * np.cos(j / 4) + 30 * np.sin(k / 2)).astype(np.float32)
    g = SliceGeometry(1, 4, 4.0, 4.0, 16, 1.0)
    operator = Separable.from_slices(g, (16, 4, 12))
    affine = np.diag([-1, 1, -1, 1.0])
    y = operator.apply(torch.from_numpy(truth)[None])
    whole = np.ones(truth.shape, dtype=bool)
    return Problem(Measurement(operator, y, 0.0, affine), truth, whole, 150.0, affine, None)


def test_blocks_lie_in_the_middle_of_one_subject_a_group(data):
    """A block at the end of a head would be mostly air."""
    cases = sampler_cases(data)
    assert [case.subject for case in cases] == ["a", "b"]
    assert {case.crop for case in cases} == {protocols.CENTRE}
    mask = np.zeros((30, 50, 30), dtype=bool)
    mask[5:25, 4:44, 8:22] = True
    assert block(mask, 3, 10) == [slice(10, 20), slice(19, 29), slice(10, 20)]
    truth = Truth.read(data, cases[0])
    assert thicken(truth, cases[0], SIDE).truth.shape == (SIDE, SIDE, SIDE)


def test_jitter_is_one_for_the_truth_and_more_for_flicker(problem):
    """Slices that a run restored alone differ along one axis, and there the figure must rise."""
    planes = {"axial": 2, "coronal": 1, "sagittal": 0}
    assert jitter(problem.truth, problem.truth, planes) == dict.fromkeys(planes, 1.0)
    flicker = problem.truth + 20 * (np.arange(12) % 2)
    found = jitter(flicker, problem.truth, planes)
    assert found["axial"] > 1.5 and found["coronal"] == pytest.approx(1) and found["sagittal"] == pytest.approx(1)


def test_planes_go_by_the_patient_not_by_the_array(problem):
    """Noise between axial slices is no error within them, but within the two other planes it is."""
    image = problem.truth + 15 * np.random.default_rng(0).standard_normal(12).astype(np.float32)
    found = score(image, problem)
    assert found["ssim_planes"]["axial"] > max(found["ssim_planes"][p] for p in ("coronal", "sagittal")) + 0.05
    assert set(found["jitter"]) == {"axial", "coronal", "sagittal"}


@pytest.fixture(scope="module")
def assembled():
    """Over a tiny network that was never trained: it denoises by its own noise level alone."""
    torch.manual_seed(0)
    prior = SlicePrior(SlicePriorConfig(slab=2, halo=1, channels=(8, 8), blocks=(1, 1)))
    return Assembled(Weights(prior, {}, "tiny", "0"))


@pytest.mark.parametrize("parts", [{"planes": 3}, {"prior": "told", "planes": 3, "warm": 5.0}, {"guidance": "dual"}])
def test_assembled_samplers_explain_the_slices(problem, assembled, parts):
    """Whatever is exchanged, the proximal point of data without noise is on the data; arrays need not be RAS."""
    result = assembled(problem.measurement, Settings(steps=3, samples=1, **parts), SeededNoise(0))
    assert result.samples.shape == (1, *problem.truth.shape) and result.calls == 3
    y = problem.measurement.y
    left = problem.measurement.operator.apply(result.samples) - y
    assert float(left.norm() / y.norm()) < (1e-3 if parts.get("guidance") else 1e-5)


@pytest.mark.parametrize("guidance", ["dps", "pi-gdm"])
def test_gradients_bring_a_run_nearer_to_the_slices(problem, assembled, guidance):
    """DPS and Pi-GDM see the data; without a weight DPS does not."""
    far = Settings(steps=4, guidance="dps", weight=1e-9)
    near = Settings(steps=4, guidance=guidance, weight=1.0)
    y = problem.measurement.y
    left = []
    for options in (far, near):
        result = assembled(problem.measurement, options, SeededNoise(0))
        left.append(float((problem.measurement.operator.apply(result.samples) - y).norm() / y.norm()))
    assert left[1] < left[0]


def test_samples_differ_and_the_first_does_not_depend_on_their_number(problem, assembled):
    """Sample k has noise of its own, also where it is correlated."""
    options = {"steps": 3, "planes": 1, "correlation": 0.5}
    one = assembled(problem.measurement, Settings(**options), SeededNoise(0)).samples
    two = assembled(problem.measurement, Settings(samples=2, **options), SeededNoise(0)).samples
    assert torch.allclose(one[0], two[0], atol=1e-3) and not torch.allclose(two[0], two[1], atol=1.0)


def test_the_run_goes_on_where_it_was_stopped_and_writes_the_page(data, small, drawn, tmp_path):
    """One sample beside one sample, the mean beside the mean."""
    chosen = [Contender("cubic", "cubic"), Contender("d", "drawn", {"samples": 4, "spread": 60.0})]
    label = next(iter(PARTS))
    chosen.append(Contender(label, "drawn", {"samples": 2, "spread": 30.0}))

    def method(name):
        return drawn if name == "drawn" else sampler_method(name)

    def go():
        where = tmp_path / "out", tmp_path / "page.md"
        return evaluate_samplers(data, *where, ["a "], (), chosen, method, lambda line: None)

    made = {r["label"]: r["figures"] for r in go()}
    assert go() == []
    assert made["cubic"]["one"] is None and made["cubic"]["samples"] == 0
    assert made["d"]["psnr"] > made["d"]["one"]["psnr"] + 3
    text = (tmp_path / "page.md").read_text()
    assert f"| d | {made['d']['one']['psnr']:.2f} |" in text
    assert f"| d, mean of 4 | {made['d']['psnr']:.2f} |" in text
    assert f"| {label} | {made[label]['one']['psnr']:.2f} | {made[label]['psnr']:.2f} |" in text
    assert str(tmp_path) not in text


def test_every_part_is_a_sampler_and_tpdm_runs_on_the_first_block(data):
    """Labels are those of the tables; what takes minutes runs once."""
    members = {c.label: c for c in sampler_contenders((200, 2000))}
    for label in PARTS:
        assert Settings(**members[label].options).samples == SAMPLES
    assert {n for n in (10, 20, 30) if ours(n) in members} == {10, 20, 30}
    assert members[tpdm(200)].options["samples"] == SAMPLES and members[tpdm(2000)].options["samples"] == 1
    first, second = sampler_cases(data)
    assert first.group == GROUPS[0] and runs_on(members[tpdm(200)], first)
    assert not runs_on(members[tpdm(200)], second)
    assert isinstance(sampler_method("assembled"), Assembled)
