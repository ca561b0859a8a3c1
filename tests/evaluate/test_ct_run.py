"""The X-ray run: figures against hand-made ones, settings chosen on training data, and what the page says."""

import json

import numpy as np
import pytest
import torch

from evaluate.ct_data import Drawn
from evaluate.ct_data import make as ct_folder
from voxprior.errors import InputError
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.ct import contenders, protocols, run, tuning
from voxprior.evaluate.ct.acquire import Problem, acquire
from voxprior.evaluate.ct.contenders import Grid, baseline, ct_contenders, runs_on
from voxprior.evaluate.ct.measure import score
from voxprior.evaluate.ct.protocols import NOISY, SETTINGS, ct_cases
from voxprior.evaluate.ct.run import evaluate_ct
from voxprior.evaluate.ct.tables import render
from voxprior.evaluate.ct.tuning import best, tune
from voxprior.evaluate.store import Store
from voxprior.io.sinogram import MU_WATER, to_mu
from voxprior.registry import METHODS, resolve


@pytest.fixture
def data(tmp_path):
    return ct_folder(tmp_path / "data")


@pytest.fixture
def drawn():
    return Drawn()


@pytest.fixture
def evaluate(data, tmp_path, drawn):
    """evaluate_ct on the small data, quiet."""

    def go(chosen, only):
        def method(name):
            return drawn if name == "drawn" else resolve(name, "ct")

        return evaluate_ct(data, tmp_path / "out", tmp_path / "page.md", only, chosen, method, lambda line: None)

    return go


def _problem(data, words):
    return acquire(data, next(c for c in ct_cases(data) if words in c.name))


def _mu(hu):
    return torch.from_numpy(to_mu(hu, MU_WATER)).float()


def test_a_shift_of_100_hu_is_an_error_of_100_hu(data):
    """Figures of a known error, and none of the data beside it."""
    problem: Problem = _problem(data, "a 18 views")
    found = score(_mu(problem.truth.data + np.float32(100)), problem)
    assert found["hu_error"] == pytest.approx(100, abs=0.01)
    assert found["hu_bias"] == pytest.approx(100, abs=0.01)
    expected = 20 * np.log10(found["range"] / 100)
    assert found["psnr"] == pytest.approx(expected, abs=1e-3)
    assert all(value == pytest.approx(expected, abs=1e-3) for value in found["psnr_planes"].values())
    assert set(found["ssim_planes"]) == {"axial", "coronal", "sagittal"}


def test_the_truth_explains_noisy_views_to_within_their_noise(data):
    """A misfit of 1 is what the truth has; without noise the truth explains everything."""
    noisy, clean = _problem(data, "b 36 views, 1e5"), _problem(data, "b 18 views")
    assert score(_mu(noisy.truth.data), noisy)["misfit"] == pytest.approx(1, abs=0.03)
    found = score(_mu(clean.truth.data), clean)
    assert found["residual"] < 1e-5 and found["misfit"] is None


def test_a_second_run_does_nothing_and_a_stopped_one_goes_on(evaluate, drawn, tmp_path):
    """What took an hour must not be made twice."""
    chosen = [Contender("d", "drawn", {"samples": 2})]
    made = evaluate(chosen, ["18 views"])
    assert [r["name"] for r in made] == ["a 18 views", "b 18 views"]
    assert evaluate(chosen, ["18 views"]) == []
    (tmp_path / "out" / "ct.jsonl").write_text(json.dumps(made[0]) + "\n")
    assert [r["name"] for r in evaluate(chosen, ["18 views"])] == ["b 18 views"]
    assert len({id(m.operator) for m in drawn.measurements}) == 3


def test_samples_are_judged_one_by_one_and_as_a_mean(evaluate):
    """The mean of K must not stand in the row of a sample."""
    (record,) = evaluate([Contender("d", "drawn", {"samples": 4, "spread": 300.0})], ["a 18 views"])
    f = record["figures"]
    assert f["psnr"] > f["psnr_one_sample"] + 2 and f["hu_error"] < f["hu_error_one_sample"]
    assert f["samples"] == 4 and 0 < f["calibration"]["coverage"]["0.9"] <= 1


def test_words_that_match_nothing_are_an_error(evaluate):
    """A misspelt --only would otherwise end at once and look finished."""
    with pytest.raises(InputError, match="matches no case"):
        evaluate([Contender("fbp", "fbp")], ["17 views"])


def test_the_page_lists_each_case_and_gains_over_tv(evaluate, tmp_path):
    """The page is the records and nothing else, without a path."""
    quick = Contender("tv", "tv", {"iterations": 2})
    made = evaluate([Contender("fbp", "fbp"), quick, Contender("d", "drawn")], ["a 18 views"])
    f = {r["label"]: r["figures"] for r in made}
    text = (tmp_path / "page.md").read_text()
    assert "### 18 views: a (part a), 24 x 26 x 24" in text
    assert f"| fbp | {f['fbp']['psnr']:.2f} | {f['fbp']['psnr_foreground']:.2f} |" in text
    assert f"| 18 views | a (part a) | {f['fbp']['psnr'] - f['tv']['psnr']:+.2f}" in text
    assert "| of these one sample |" in text
    assert str(tmp_path) not in text + json.dumps(made)


def _tuned(kind, label, psnr, subject="t"):
    return {"name": f"{subject} {kind}", "kind": kind, "label": label, "figures": {"psnr": psnr}}


def test_the_best_value_is_that_of_the_mean_over_volumes():
    """One volume that likes a value must not decide."""
    records = [
        _tuned("18 views", "tv, 0.1", 30.0),
        _tuned("18 views", "tv, 0.1", 20.0, "u"),
        _tuned("18 views", "tv, 0.4", 26.0),
        _tuned("18 views", "tv, 0.4", 26.5, "u"),
        _tuned("36 views", "tv, 0.1", 31.0),
        _tuned("36 views", "cgls, 16", None),
    ]
    assert best(records) == {"18 views": {"tv": 0.4}, "36 views": {"tv": 0.1}}


def test_tuning_is_kept_and_reaches_the_baseline_of_its_views(data, tmp_path, monkeypatch):
    """Measured once; the chosen value is what the baseline runs with, on these views alone."""
    monkeypatch.setattr(tuning, "GRIDS", (Grid("fbp", "filter", ("ram-lak", "hann")),))
    monkeypatch.setattr(protocols, "SETTINGS", SETTINGS[:2])
    store, lines = Store(tmp_path / "tuning.jsonl"), []
    chosen = tune(data, store, lines.append)
    assert len(lines) == 2 * 2 and set(chosen) == {c.setting for c in ct_cases(data) if c.subject != "phantom"}
    assert tune(data, store, lines.append) == chosen and len(lines) == 4
    setting = next(iter(chosen))
    member = baseline(contenders.GRIDS[0], setting, chosen)
    assert member.options == {"filter": chosen[setting]["fbp"]}
    assert {c.setting for c in ct_cases(data) if runs_on(member, c)} == {setting}
    assert "### Settings of the baselines" in render(_records(), tuning=store.records())


def _records():
    planes = dict.fromkeys(("axial", "coronal", "sagittal"), 0.9)
    figures = {"psnr": 30.0, "psnr_foreground": 28.0, "hu_error": 20.0, "ssim": None, "residual": 1e-3, "misfit": None}
    figures |= {"psnr_planes": planes, "ssim_planes": planes, "seconds": 1.0, "shape": [2, 2, 2]}
    machine = {"processor": "p", "threads": 1, "torch": "2"}
    named = {"name": "a 18 views", "kind": "18 views", "label": "tv", "case": {"subject": "a", "part": "chest"}}
    return [{**named, "figures": figures, "machine": machine}]


def test_a_method_that_is_not_there_is_left_out(monkeypatch):
    """The table of methods decides; TPDM and the mean of four run on the smaller block alone."""
    names = {c.method for c in ct_contenders({})}
    assert names <= set(METHODS["ct"]) and {"fbp", "cgls", "tv"} <= names
    everything = {**METHODS, "ct": dict.fromkeys(("fbp", "cgls", "tv", "tpdm", "voxprior"), "m:o")}
    monkeypatch.setattr(contenders, "METHODS", everything)
    monkeypatch.setattr(contenders, "weight_names", tuple)
    assert {c.method for c in ct_contenders({})} == {"fbp", "cgls", "tv"}
    members = {c.label: c for c in ct_contenders({}, "w")}
    assert {c.place for c in members.values() if c.method == "tpdm"} == {"block"}
    assert members[contenders.MEAN].place == members[contenders.SAMPLE].place == ""
    assert members[contenders.FOUR].options == {"mode": "sample", "samples": 4, "weights": "w"}


def test_settings_are_chosen_before_the_cases_are_run(data, tmp_path, monkeypatch):
    """Without contenders the command tunes, and the baseline has what was found."""
    monkeypatch.setattr(run, "tune", lambda folder, store, report: {"18 views": {"fbp": "cosine"}})
    made = evaluate_ct(data, tmp_path / "o", tmp_path / "p.md", ["a 18 views", "fbp"], report=lambda line: None)
    assert [r["settings"]["filter"] for r in made] == ["cosine"]
    assert NOISY.photons == 1e5
