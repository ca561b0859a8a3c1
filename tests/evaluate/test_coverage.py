"""Factors that widen intervals: subjects as units, what they hold, whose weights they belong to, and the page."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from voxprior import registry
from voxprior.errors import InputError
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.coverage import calibrate as widen
from voxprior.evaluate.coverage import protocols
from voxprior.evaluate.coverage.conformal import left_out, pooled_quantile, std_factor
from voxprior.evaluate.coverage.run import evaluate_coverage
from voxprior.evaluate.coverage.tables import render, verdict
from voxprior.priors.weights import export, load, read_card
from voxprior.priors.widening import KEY, widenings


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_pooled_quantiles_hold_one_more_subject_as_often_as_stated(level: float) -> None:
    """Guards the promise on known distributions: subjects of other scales, one new subject at a time.

    Mean coverage lies between the bound of n / (n + 1) and that of the quantile itself, within 4 standard errors of 400
    subjects.
    """
    rng = np.random.default_rng(0)
    n, shares = 9, []
    for _ in range(400):
        sizes = np.exp(0.2 * rng.standard_normal(n + 1))
        draws = [size * np.abs(rng.standard_normal(400)) for size in sizes]
        q = pooled_quantile({str(k): draws[k] for k in range(n)}, level)
        shares.append(float((draws[n] <= q).mean()))
    slack = 4 * float(np.std(shares)) / np.sqrt(len(shares))
    assert level * n / (n + 1) - slack < np.mean(shares) < level + 1 / (n + 1) + slack
    assert np.mean(shares) == pytest.approx(level, abs=0.03)


def test_a_subject_counts_as_one_however_many_voxels_it_has() -> None:
    """Guards the unit: thousand voxels of an easy subject must not outvote four others."""
    hard = {f"s{k}": np.linspace(1, 2, 50) for k in range(4)}
    few, many = ({**hard, "easy": np.zeros(count) + 0.1} for count in (50, 100_000))
    assert pooled_quantile(few, 0.9) == pytest.approx(pooled_quantile(many, 0.9), rel=1e-3)
    assert pooled_quantile(many, 0.9) > 1.8
    with pytest.raises(InputError, match="at least 5"):
        pooled_quantile({name: hard[name] for name in list(hard)[:4]}, 0.9)


def test_each_subject_is_left_out_in_turn() -> None:
    """Guards the figure in the card: a subject five times worse is not covered by the factors of the others."""
    rng = np.random.default_rng(2)
    scores = {f"s{k}": np.abs(rng.standard_normal(4000)) for k in range(8)}
    scores["bad"] = 5 * np.abs(rng.standard_normal(4000))
    found = left_out(scores, 0.9)
    assert found["bad"] < 0.4
    assert min(share for name, share in found.items() if name != "bad") > 0.9
    assert std_factor([(2.0, 1.0), (2.0, 4.0)]) == pytest.approx(1.0)




@pytest.fixture
def tiny(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six subjects to widen on, of one head and its mirror images, small blocks, and weights that may be written."""
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    head = next(row for row in rows if row["subject"] == "a")
    extra = [{**head, "split": "train", "role": "calibrate", "subject": f"c{k}"} for k in range(6)]
    with (data / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*rows[0], "role"], restval="")
        writer.writeheader()
        writer.writerows([*rows, *extra])
    monkeypatch.setattr(protocols, "FACTORS", (2, 4))
    monkeypatch.setattr(protocols, "DRAWN_FACTORS", ())
    monkeypatch.setattr(protocols, "EDGE", 20)
    for suffix in (".json", ".safetensors"):
        shutil.copy(registry.WEIGHTS / f"head-slices{suffix}", tmp_path / f"own{suffix}")
    card = read_card(tmp_path / "own.json")
    card.pop(KEY, None)
    (tmp_path / "own.json").write_text(json.dumps(card))
    return tmp_path


def test_factors_are_written_used_and_forgotten_with_other_weights(tiny: Path, tmp_path: Path) -> None:
    """Guards the whole way: card, coverage before and after, page, and that a card of another sha256 says nothing."""
    data, own = tiny / "data", str(tiny / "own.safetensors")
    chosen = [Contender("mean", "voxprior", {"mode": "mean", "weights": own}, "sr")]
    before = evaluate_coverage(data, tmp_path / "out", tmp_path / "page.md", ("a sr",), chosen, lambda _: None)
    assert [r["figures"]["widened"] for r in before] == [None, None]
    kinds = widen.calibrate(data, (), chosen, lambda _: None)
    assert kinds == {own: ["sr mean"]}
    card = read_card(tiny / "own.json")
    found = widenings(card, card["sha256"])["sr mean"]
    assert found.ratios == (2.0, 4.0) and found.subjects == 6 and found.scanners == ("scanner 1",)
    after = evaluate_coverage(data, tmp_path / "out", tmp_path / "page.md", (), chosen, lambda _: None)
    assert len(after) == 4  # both subjects, anew: the factors are part of the key
    for record in after:
        figures = record["figures"]
        if record["case"]["subject"] == "a":  # the very head that the factors are from
            assert figures["word"] == "calibrated"
            for level, share in figures["widened"]["coverage"].items():
                assert share == pytest.approx(float(level), abs=2e-3)
            assert figures["widened"]["ratio"] == pytest.approx(1, rel=1e-3)
        else:
            assert figures["word"] == "coverage measured"
    page = (tmp_path / "page.md").read_text()
    assert "### What the intervals hold" in page and "coverage measured" in page
    assert verdict(after) == []
    assert KEY not in export(load(own).prior, tmp_path / "other.safetensors", card)
    assert widenings(card, "0" * 64) == {}
    assert widenings({**card, "sha256": "other"}, "other") == {}
    with pytest.raises(InputError, match="matches nothing"):
        widen.calibrate(data, ("ct",), chosen, lambda _: None)


def test_the_aim_is_said_to_be_missed(tiny: Path) -> None:
    """Guards the sentence under the table: a T1w mean six points off must be named."""
    def record(share: float) -> dict:
        held = {"coverage": dict.fromkeys(("0.5", "0.8", "0.9"), share), "ratio": 1.0}
        widths = {name: dict.fromkeys(("0.5", "0.8", "0.9"), 1.0) for name in
                  ("width", "constant", "sharp", "constant_at_level")}
        figures = {"widened": {**held, **widths}, "nominal": {**held, **widths}, "word": "calibrated", "seconds": 1.0,
                   "network_calls": 2}
        case = {"subject": "a", "modality": "T1w", "edge": 96, "factor": 2, "job": "sr"}
        return {"name": "a", "label": "mean", "kind": "sr x2 box", "case": case, "figures": figures, "machine":
                {"processor": "p", "threads": 1, "torch": "2"}}
    assert verdict([record(0.84)]) == ["sr x2 box, mean at 50% (84%)", "sr x2 box, mean at 90% (84%)"]
    assert "but for" in render([record(0.84)])
