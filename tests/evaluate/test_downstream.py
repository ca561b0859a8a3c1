"""Tissue volumes: a mixture whose shares are known, and a run over tiny heads."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxprior.errors import InputError
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.downstream.measure import SLICES, compare, tissue_contenders, volumes
from voxprior.evaluate.downstream.protocols import tissue_cases
from voxprior.evaluate.downstream.run import evaluate_downstream
from voxprior.evaluate.downstream.tables import render
from voxprior.evaluate.downstream.tissue import fit_mixture, tell_apart


def _tissue(shares, seed=0, count=30_000):
    rng = np.random.default_rng(seed)
    sizes = (np.array(shares) * count).astype(int)
    parts = [rng.normal(mean, 7, size) for mean, size in zip((30, 70, 105), sizes, strict=True)]
    return rng.permutation(np.concatenate(parts)).astype(np.float32)


@settings(max_examples=8, deadline=None)
@given(st.floats(0.15, 0.5), st.floats(0.15, 0.35))
def test_known_shares_are_found(dark, bright):
    """Three Gaussians of one width are told apart, whatever their shares."""
    shares = dark, 1 - dark - bright, bright
    found = fit_mixture(_tissue(shares), 3)
    assert found.share == pytest.approx(shares, abs=0.015)
    assert found.mean == pytest.approx([30, 70, 105], abs=1.5) and found.std == pytest.approx(7, abs=0.5)


def test_classes_follow_the_unit_and_the_order():
    """A gain and an offset change no volume, and dark comes first."""
    values = _tissue((0.2, 0.5, 0.3))
    one, other = fit_mixture(values, 3), fit_mixture(values * 40 - 100, 3)
    assert one.share == pytest.approx(other.share, abs=1e-3) and (np.diff(one.mean) > 0).all()
    assert one.classes(np.array([20, 68, 110], np.float32)).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="one intensity"):
        fit_mixture(np.full(100, 3, np.float32), 2)


def test_classes_that_fall_together_are_one():
    """Halves of one class mean nothing: three are fitted only where three are seen."""
    assert tell_apart(_tissue((0.2, 0.5, 0.3))) == 3
    two = np.concatenate([np.random.default_rng(1).normal(30, 7, 9000), np.random.default_rng(2).normal(80, 7, 21000)])
    assert tell_apart(two.astype(np.float32)) == 2
    assert fit_mixture(two.astype(np.float32), 2).share == pytest.approx([0.3, 0.7], abs=0.01)
    assert set(volumes(two.astype(np.float32), np.ones(30_000, dtype=bool), 1.0, 2)) == {"dark", "bright"}


def test_volumes_are_in_millilitres_within_the_mask():
    """Shares of the masked voxels times their volume."""
    image = np.zeros((40, 40, 40), np.float32)
    mask = np.zeros(image.shape, dtype=bool)
    mask[:30, :, :25] = True
    image[mask] = _tissue((0.2, 0.5, 0.3), count=mask.sum())
    found = volumes(image, mask, 0.002, 3)
    assert sum(found.values()) == pytest.approx(60) and found["middle"] == pytest.approx(30, abs=1)
    assert compare({"dark": 1.1, "middle": 2, "bright": 3}, {"dark": 1, "middle": 4, "bright": 3})["error"] == (
        pytest.approx({"dark": 0.1, "middle": -0.5, "bright": 0})
    )


@pytest.fixture
def stripped(data):
    """Of the two heads, b alone is said to be stripped."""
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["skull"] = "stripped" if row["subject"] == "b" else "whole head"
    with (data / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return data


def test_only_brains_without_skull_are_divided(data, stripped):
    """Scalp and bone have the intensities of tissue."""
    assert {c.subject for c in tissue_cases(stripped)} == {"b"}


def test_without_the_column_nothing_is_stripped(data):
    """A manifest that does not tell must not be taken for brains."""
    with pytest.raises(InputError, match="stripped"):
        tissue_cases(data)


def test_a_run_measures_slices_and_methods_once(stripped, tmp_path, methods):
    """Slices and cubic of a tiny head; the page lists the subject."""
    members = [Contender(SLICES, SLICES), Contender("cubic", "cubic")]

    def go():
        where = tmp_path / "out", tmp_path / "page.md"
        return evaluate_downstream(stripped, *where, ["x2"], members, methods, str)

    made = go()
    assert [r["label"] for r in made] == [SLICES, "cubic"] and go() == []
    slices, cubic = (r["figures"] for r in made)
    assert slices["truth"] == cubic["truth"] and "dice" in cubic and "dice" not in slices
    assert sum(slices["volumes"].values()) == pytest.approx(sum(slices["truth"].values()), rel=0.1)
    assert "| b | FLAIR | x2 box | cubic |" in (tmp_path / "page.md").read_text()
    assert all(c.place == "" for c in tissue_contenders())


def _record(label, error):
    return {
        "name": "a x5 box A-P",
        "kind": "x5 box",
        "label": label,
        "case": {"subject": "a", "modality": "T1w"},
        "weights": None,
        "figures": {"error": dict(zip(("dark", "middle", "bright"), error, strict=True))},
        "machine": {"processor": "x", "threads": 1, "torch": "2"},
    }


def test_the_page_says_where_ours_errs_more():
    """An aim that is missed is told."""
    page = render([_record("cubic", (0.1, -0.2, 0.3)), _record("voxprior mean", (-0.2, 0.1, 0.1))])
    assert "No less than cubic errs voxprior mean: x5 box, dark." in page
    assert "| x5 box | voxprior mean | 1 | 20.0% | 10.0% | 10.0% |" in page
