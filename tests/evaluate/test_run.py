"""The run: what it measures, what it skips, and what it leaves behind when it is stopped."""

import json

import pytest

from voxprior.errors import InputError
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.sr import degrade, run
from voxprior.evaluate.sr.contenders import SAMPLE, sr_contenders
from voxprior.evaluate.sr.protocols import sr_cases
from voxprior.evaluate.sr.run import evaluate_sr

BASELINES = [Contender("nearest", "nearest"), Contender("cubic", "cubic"), Contender("cubic", "cubic", place="block")]


@pytest.fixture
def evaluate(data, tmp_path, methods, monkeypatch):
    """evaluate_sr on the tiny data, quiet, with blocks of 20 voxels."""
    monkeypatch.setattr(run, "thicken", lambda truth, case: degrade.thicken(truth, case, crop=20))

    def go(contenders=BASELINES, **chosen):
        return evaluate_sr(
            data,
            tmp_path / "out",
            tmp_path / "results.md",
            contenders=contenders,
            resolve=methods,
            report=lambda line: None,
            **chosen,
        )

    return go


def test_every_contender_runs_once_on_every_case_of_its_place(evaluate, data):
    """Whole volumes for all, blocks for the one that says so."""
    made = evaluate()
    whole = sum(case.crop == 0 for case in sr_cases(data))
    blocks = sum(case.crop > 0 for case in sr_cases(data))
    assert len(made) == 2 * whole + blocks
    assert len({record["key"] for record in made}) == len(made)


def test_a_second_run_does_nothing_and_a_new_option_only_its_own(evaluate, drawn):
    """Hours of results must not be made twice, nor a changed setting be served from the old ones."""
    contenders = [Contender("drawn", "drawn", {"samples": 2})]
    evaluate(contenders, only=["a x2"])
    assert drawn.runs == 1
    assert evaluate(contenders, only=["a x2"]) == []
    assert drawn.runs == 1
    evaluate([Contender("drawn", "drawn", {"samples": 3})], only=["a x2"])
    assert drawn.runs == 2


def test_a_stopped_run_keeps_what_it_had_and_goes_on(evaluate, drawn, monkeypatch, tmp_path):
    """Ctrl-C in the middle of a case loses that case and no other."""
    original, calls = type(drawn).__call__, []

    def stopped(self, *given, **named):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *given, **named)

    contenders = [Contender("drawn", "drawn")]
    monkeypatch.setattr(type(drawn), "__call__", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(contenders, only=["a "])
    lines = (tmp_path / "out" / "sr.jsonl").read_text().splitlines()
    assert len(lines) == 2
    evaluate(contenders, only=["a "])
    names = [json.loads(line)["name"] for line in (tmp_path / "out" / "sr.jsonl").read_text().splitlines()]
    assert len(names) == len(set(names)) > 2


def test_figures_of_cubic_rise_above_nearest_and_projection_fits(evaluate):
    """The order that any sound protocol shows on a smooth head."""
    chosen = [Contender(n, n) for n in ("nearest", "cubic", "cubic-projected")]
    found = {r["label"]: r["figures"] for r in evaluate(chosen, only=["a x2 box A-P"])}
    assert found["nearest"]["psnr"] < found["cubic"]["psnr"] < found["cubic-projected"]["psnr"]
    assert found["cubic-projected"]["residual"] < 1e-5 < found["cubic"]["residual"]
    assert found["cubic"]["psnr_foreground"] < found["cubic"]["psnr"]
    assert 0 < found["cubic"]["ssim"] < 1
    assert found["cubic"]["network_calls"] == 0


def test_samples_are_judged_one_by_one_and_as_a_mean(evaluate):
    """The mean of K must not stand in the row of a sample: it lies up to 3 dB above."""
    (record,) = evaluate([Contender("drawn", "drawn", {"samples": 4, "spread": 60.0})], only=["a x2"])
    figures = record["figures"]
    assert figures["psnr"] > figures["psnr_one_sample"] + 3
    assert figures["samples"] == 4
    assert set(figures["calibration"]["coverage"]) == {"0.5", "0.8", "0.9"}


def test_the_std_of_one_call_is_calibrated_too(evaluate):
    """The mean mode writes a std without samples, and its coverage belongs on the page."""
    (record,) = evaluate([Contender("drawn", "drawn", {"samples": 1})], only=["a x2"])
    assert "samples" not in record["figures"]
    assert record["figures"]["calibration"]["ratio"] > 0


def test_the_timed_case_runs_three_times_and_a_slow_contender_once(evaluate, drawn):
    """A median needs three; six minutes a run do not."""
    made = evaluate([Contender("t", "drawn"), Contender("slow", "drawn", place="timed")], only=["b x5 box A-P"])
    assert [(r["label"], r["figures"]["runs"]) for r in made] == [("t", 3), ("slow", 1)]
    assert drawn.runs == 4
    assert all(r["figures"]["convolution_gflops"] > 0 for r in made)


def test_words_that_match_nothing_are_an_error(evaluate):
    """A misspelt --only would otherwise end at once and look finished."""
    with pytest.raises(InputError, match="matches no case"):
        evaluate(only=["subject-z"])


def test_records_and_page_carry_no_path(evaluate, tmp_path):
    """Folders of a machine are nobody's business and differ between runs."""
    evaluate(only=["a x2"])
    for path in (tmp_path / "out" / "sr.jsonl", tmp_path / "results.md"):
        assert str(tmp_path) not in path.read_text()


def test_the_page_shows_the_measured_figure(evaluate, tmp_path):
    """The page is the records and nothing else."""
    (record,) = evaluate([Contender("cubic", "cubic")], only=["a x2"])
    assert f"| x2 box | 1 | {record['figures']['psnr']:.2f} |" in (tmp_path / "results.md").read_text()


def test_ours_are_among_the_contenders():
    """Mean mode on everything; samples as asked, on the blocks; one whole sample for its time."""
    chosen = sr_contenders(steps=12, samples=5, weights="w")
    samples = [c for c in chosen if c.label == SAMPLE]
    assert [(c.place, dict(c.options)) for c in samples] == [
        ("block", {"mode": "sample", "steps": 12, "samples": 5, "weights": "w"})
    ]
    assert [c.place for c in chosen if c.options.get("mode") == "mean"] == ["", "block"]
    assert [c.options["samples"] for c in chosen if c.place == "timed"] == [1]
