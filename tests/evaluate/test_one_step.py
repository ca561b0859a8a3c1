"""One step against many, and refinement in plane: what is measured, and what the page says of it."""

import copy

import numpy as np
import pytest
import torch

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.enhance import measure as enhancement
from voxprior.evaluate.enhance.protocols import enhance_cases
from voxprior.evaluate.enhance.run import evaluate_enhance
from voxprior.evaluate.enhance.tables import render as render_enhance
from voxprior.evaluate.one_step.contenders import MEAN, STUDENT, TILED, OneStepOptions, one_step_contenders, runs_on
from voxprior.evaluate.one_step.protocols import one_step_cases
from voxprior.evaluate.one_step.run import evaluate_one_step
from voxprior.evaluate.one_step.tables import render

PLAIN = [Contender("nearest", "nearest"), Contender("cubic", "cubic")]


def _one_step(data, tmp_path, **chosen):
    chosen = {"contenders": PLAIN, **chosen}
    return evaluate_one_step(
        data, tmp_path / "out", tmp_path / "results.md", edge=24, report=lambda line: None, **chosen
    )


def test_every_subject_is_thickened_by_both_factors(data):
    """The centre of each test subject at x4 and x8, once."""
    cases = one_step_cases(data)
    assert sorted((c.subject, c.factor) for c in cases) == [("a", 4), ("a", 8), ("b", 4), ("b", 8)]
    assert len({c.name for c in cases}) == 4


def test_figures_are_without_and_with_the_projection(data, tmp_path):
    """Cubic misses the slices and its projection does not; what is projected is never worse; a second run is free."""
    made = _one_step(data, tmp_path, only=("x4", "cubic"))
    assert len(made) == 2
    for record in made:
        f = record["figures"]
        assert f["residual"] > 1e-3 and f["residual_projected"] < 1e-5
        assert f["psnr_projected"] > f["psnr"]
        assert 0 < f["high_frequency_ratio"] < 1
        assert f["parameters"] == 0 and f["seconds"] > 0
    assert _one_step(data, tmp_path, only=("x4", "cubic")) == []
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "## One step" in page and "cubic" in page


def test_a_thousand_steps_run_on_one_case_alone(data):
    """The long run is on one subject; all others everywhere."""
    long = next(c for c in one_step_contenders() if "1000" in c.label)
    assert not any(runs_on(long, case) for case in one_step_cases(data))
    others = [c for c in one_step_contenders() if c.label != long.label]
    assert len(others) > 10 and all(runs_on(c, case) for c in others for case in one_step_cases(data))


def test_the_curve_and_the_seams_reach_the_page(data, tmp_path):
    """Rows of the student are told as dB over the mean mode, with their sharpness; the largest seam is shown."""
    base = _one_step(data, tmp_path, only=("a", "x4", "cubic"))[0]
    found = []
    for label, psnr, energy in ((MEAN, 25.0, 0.3), (STUDENT, 24.5, 0.8), (TILED, 24.4, 0.8)):
        record = copy.deepcopy(base) | {"label": label}
        record["figures"] |= {"psnr_projected": psnr, "high_frequency_ratio_projected": energy}
        if label != MEAN:
            record["figures"]["seam_index"] = [1.01, 1.03, 0.99] if label == TILED else [1.0, 1.03, 1.0]
        found.append(record)
    curve = {"label": "ours", "step": 100, "seconds": 10.0, "psnr": 24.0, "high_frequency_ratio": 0.5}
    page = render(found, "", [curve])
    assert "| x4 box, block | one-step student | -0.50 | 0.80 |" in page
    assert "| x4 box, block | 1 | 1.030 | 1.030 | 1.010 | 1.000 |" in page
    assert "| ours | 100 | 10 | 24.00 | 0.50 |" in page


def test_blends_are_between_regressor_and_student(monkeypatch):
    """Half the student and half the regressor is the mean of both; averages are of so many samples."""
    from volume_priors import live, smooth, stack
    from voxprior.diffusion.noise import SeededNoise
    from voxprior.evaluate.one_step.contenders import OneStep
    from voxprior.priors.weights import Weights

    method = OneStep()
    prior = live()
    card = {"student": {"start": "degraded", "level": 1.0}}
    method.shelf = lambda name, device: Weights(prior, card, name, "0" * 64)
    scan = stack(smooth(16, 24, 18), 1, 4.0)
    scan = type(scan)(scan.operator, scan.y.float(), None, scan.affine)

    def image(**settings):
        return method(scan, OneStepOptions(**settings), SeededNoise(1)).mean

    half = image(share=0.5)
    torch.testing.assert_close(half, (image(network="regressor") + image()) / 2)
    assert float((image(average=2) - image()).abs().max()) > 1e-5


@pytest.mark.parametrize("degradation", ["box", "kspace", "1.5t"])
def test_coarse_blocks_are_what_their_operator_measures(data, degradation):
    """Box and k-space: y = A x exactly; 1.5 T: it is not, and there is no noise level to tell."""
    case = next(c for c in enhance_cases(data) if c.degradation == degradation and c.subject == "a")
    problem = enhancement.coarse(data, case, 24)
    again = problem.measurement.operator.apply(torch.from_numpy(problem.truth)[None])
    left = float((again - problem.measurement.y).norm() / problem.measurement.y.norm())
    if degradation == "1.5t":
        assert left > 0.02 and problem.measurement.sigma is None
    else:
        assert left < 1e-6
    halved = [2 * n == m for n, m in zip(problem.measurement.y.shape[1:], problem.truth.shape, strict=True)]
    assert halved.count(True) == 2


def test_refinement_is_measured_against_bicubic(data, tmp_path):
    """Baselines on every case, the projection only where there is an operator, and gains over bicubic in the table."""
    chosen = [c for c in enhancement.contenders() if c.method != "voxprior"]
    made = evaluate_enhance(
        data, tmp_path / "out", tmp_path / "results.md", chosen=chosen, edge=24, report=lambda line: None
    )
    labels = [(r["case"]["degradation"], r["label"]) for r in made]
    assert ("1.5t", "bicubic, projected") not in labels and ("box", "bicubic, projected") in labels
    for r in made:
        assert np.isfinite(r["figures"]["psnr"]) and (r["figures"]["residual"] is None) == ("1.5t" in r["kind"])
    page = render_enhance(made)
    assert "simulated" in page and "over bicubic" in page
