"""The k-space run: what it measures, what it skips, what it draws, and what it writes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluate.recon_data import Drawn, Plain
from voxprior.errors import InputError
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.recon.acquire import Problem, acquire, undersample
from voxprior.evaluate.recon.contenders import FOUR, MANY, PLACES, recon_contenders, runs_on
from voxprior.evaluate.recon.look import look
from voxprior.evaluate.recon.measure import measure, score
from voxprior.evaluate.recon.protocols import Case, recon_cases
from voxprior.evaluate.recon.run import evaluate_recon
from voxprior.methods.result import Result
from voxprior.operators.masks import Mask


@pytest.fixture
def drawn():
    return Drawn()


@pytest.fixture
def evaluate(recon_data, tmp_path, drawn):
    """evaluate_recon on the small data, quiet."""

    def go(contenders, only):
        return evaluate_recon(
            recon_data,
            tmp_path / "out",
            tmp_path / "results.md",
            only,
            contenders,
            {"drawn": drawn, "plain": Plain()}.__getitem__,
            lambda line: None,
        )

    return go


def _problem(truth, keep=None, noise=0.0):
    """One coil that sees everything alike."""
    keep = np.ones(truth.shape, dtype=bool) if keep is None else keep
    rng = np.random.default_rng(0)
    image = truth * np.exp(0.3j) + noise * (rng.standard_normal(truth.shape) + 1j * rng.standard_normal(truth.shape))
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image), norm="ortho"))[None].astype(np.complex64)
    maps = np.ones((1, *truth.shape), np.complex64)
    inside = truth > 0
    return Problem(kspace * keep, maps, Mask(keep, "test"), None, 0.1, truth.astype(np.float32), inside)


@pytest.fixture
def truth():
    y, x = np.mgrid[-1:1:40j, -1:1:44j]
    return np.where(y**2 + x**2 < 0.6, 1 + 0.4 * np.sin(7 * x) * np.cos(5 * y), 0)


def test_a_second_run_does_nothing_and_a_stopped_one_goes_on(evaluate, drawn, tmp_path):
    """Half an hour of results must not be made twice."""
    contenders = [Contender("drawn", "drawn", {"samples": 2})]
    made = evaluate(contenders, ["real", "uniform R = 8"])
    assert [r["name"] for r in made] == ["real uniform R = 8, ACS 24", "real random-uniform R = 8, ACS 12"]
    assert evaluate(contenders, ["real", "uniform R = 8"]) == []
    (tmp_path / "out" / "recon.jsonl").write_text(json.dumps(made[0]) + "\n")
    assert [r["name"] for r in evaluate(contenders, ["real", "uniform R = 8"])] == [made[1]["name"]]
    assert len(drawn.operators) == 3


def test_words_that_match_nothing_are_an_error(evaluate):
    """A misspelt --only would otherwise end at once and look finished."""
    with pytest.raises(InputError, match="matches no case"):
        evaluate([Contender("plain", "plain")], ["unifrom"])


def test_page_and_records_carry_the_figures_and_no_path(evaluate, tmp_path):
    """The page is the records and nothing else; true acceleration stands in the heading."""
    made = evaluate([Contender("plain", "plain")], ["real uniform R = 8"])
    text = (tmp_path / "results.md").read_text()
    true = made[0]["figures"]["acceleration"]
    assert true == pytest.approx(100 / (24 + 10), abs=0.01)
    assert f"### Real head, 8 coils: uniform lines, R = 8 (true: {true:.1f}), ACS 24" in text
    assert f"| plain | {made[0]['figures']['psnr']:.2f} |" in text
    assert str(tmp_path) not in text + json.dumps(made)


def test_data_without_a_truth_have_a_residual_and_no_psnr(evaluate, tmp_path):
    """A figure of merit without a truth would be invented."""
    (record,) = evaluate([Contender("drawn", "drawn")], ["as measured"])
    assert "psnr" not in record["figures"] and 0 < record["figures"]["residual"] < 1
    assert record["figures"]["std"] > 0
    section = (tmp_path / "results.md").read_text().split("### Undersampled by the scanner")[1]
    assert "| short (true R: 1.6) | drawn |" in section


def test_every_run_gets_an_operator_of_its_own(recon_data, drawn):
    """A factorisation that an earlier method has paid for would make the next look fast."""
    case = replace(recon_cases(recon_data)[0], repeats=3)
    record = measure(case, Contender("d", "drawn"), undersample(acquire(recon_data, case), case), lambda name: drawn)
    assert record["figures"]["runs"] == 3
    assert len({id(operator) for operator in drawn.operators}) == 3


def test_the_truth_itself_is_perfect_and_a_phase_costs_nothing(truth):
    """Magnitudes are compared: the phase convention of maps is nobody's error."""
    problem = _problem(truth)
    image = torch.from_numpy((truth * np.exp(0.3j)).astype(np.complex64))
    found, turned = score(image, problem), score(1j * image, problem)
    assert found["nmse"] < 1e-12 and found["residual"] < 1e-6
    assert turned["nmse"] < 1e-12 and turned["residual"] > 1


def test_a_gain_error_shows_in_every_figure_but_the_source_s_own(truth):
    """HF-11: NMSE(2 x, x) = 1, and 0 after each image has its own maximum."""
    found = score(torch.from_numpy(2 * truth).to(torch.complex64), _problem(truth))
    assert found["nmse"] == pytest.approx(1.0, abs=1e-5)
    assert found["nmse_object"] == pytest.approx(1.0, abs=1e-5)
    assert found["source"]["nmse"] == pytest.approx(0.0, abs=1e-9)


def test_errors_outside_the_object_are_seen_by_the_whole_picture_alone(truth):
    """Both stand in the tables because they answer different questions."""
    image = truth + 0.2 * (truth == 0)
    found = score(torch.from_numpy(image).to(torch.complex64), _problem(truth))
    assert found["psnr"] < 25 and found["psnr_object"] > 100


def test_coverage_of_samples_with_the_right_spread_is_nominal(truth, drawn):
    """Truth and samples are exchangeable here: the interval of K samples covers what it says."""
    problem = _problem(1 + 0.1 * np.indices((64, 64)).sum(0) / 64, noise=0.05)
    case = Case("s", "f", "0", "simulated coils", "slice", "uniform", 1, 0)
    contender = Contender("d", "drawn", {"samples": 6, "spread": 0.05})
    figures = measure(case, contender, problem, lambda name: drawn)["figures"]
    for level, covered in figures["calibration"]["coverage"].items():
        assert covered == pytest.approx(float(level), abs=0.03)
    assert figures["samples"] == 6
    assert figures["psnr"] > figures["psnr_one_sample"] + 1


def test_an_image_that_is_not_finite_is_a_result_without_figures(evaluate, monkeypatch):
    """A published method may diverge: the run goes on, and its line is written."""
    spoilt = lambda self, m, o, r, p=None: Result(torch.full(m.y.shape[2:], torch.nan + 0j))  # noqa: E731
    monkeypatch.setattr(Plain, "__call__", spoilt)
    (record,) = evaluate([Contender("plain", "plain")], ["real uniform R = 8"])
    assert record["figures"]["psnr"] is None and record["figures"]["source"] is None


def test_ours_and_the_published_run_where_they_are_said_to():
    """Ours on everything; what takes minutes where it is asked for."""
    contenders = {c.label: c for c in recon_contenders(weights="w")}
    assert {c.place for c in contenders.values()} <= set(PLACES)
    cases = {
        "sim8": Case("s", "f", "0", "simulated coils", "slice", "uniform", 8, 24),
        "sim4": Case("s", "f", "0", "simulated coils", "slice", "uniform", 4, 24),
        "real4": Case("s", "f", "0", "real head, 8 coils", "coils", "poisson", 4, 24),
        "real8": Case("s", "f", "0", "real head, 8 coils", "coils", "uniform", 8, 24),
    }
    where = {label: {n for n, case in cases.items() if runs_on(c, case)} for label, c in contenders.items()}
    assert where["hfs-sde, N = 100"] == {"sim8", "real4", "real8"}
    assert where["hfs-sde, N = 1000"] == {"real8"}
    assert where["ve-sde, N = 100"] == {"sim8", "real8"}
    assert where[FOUR] == where[MANY] == {"sim8", "real8"}
    for label, contender in contenders.items():
        if contender.method == "voxprior" and label not in (FOUR, MANY):
            assert where[label] == set(cases) and contender.options["weights"] == "w"


def test_a_picture_is_drawn_once_of_what_has_no_truth(recon_data, tmp_path, drawn):
    """A file of another look is kept; a picture needs minutes with a network."""
    contenders = [Contender("drawn", "drawn"), Contender("plain", "plain")]
    resolve = {"drawn": drawn, "plain": Plain()}.__getitem__
    (path,) = look(recon_data, tmp_path / "pictures", contenders, resolve)
    assert path.name == "short.png" and path.read_bytes().startswith(b"\x89PNG")
    assert look(recon_data, tmp_path / "pictures", contenders, resolve) == []
