"""The threshold of the score, the area under the curve, and a run over tiny data."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import mannwhitneyu

from voxprior import registry
from voxprior.errors import InputError
from voxprior.evaluate.ood.calibrate import calibrate, threshold
from voxprior.evaluate.ood.inputs import AGAIN, SPOILT, prepare
from voxprior.evaluate.ood.inputs import test_cases as cases_of
from voxprior.evaluate.ood.run import evaluate_ood
from voxprior.evaluate.ood.tables import auroc
from voxprior.io.outputs import file_digest
from voxprior.priors.familiarity import FIGURES, Familiar, fit, score


def _figures(rng: np.random.Generator, shift: float = 0.0) -> dict[str, float]:
    return {name: float(np.exp(rng.normal() * 0.1 + shift)) for name in FIGURES}


def test_the_threshold_is_a_quantile_of_subjects_scored_by_the_others() -> None:
    """Guards the promise: of subjects like the training ones 95 % stay below, one far away does not."""
    rng = np.random.default_rng(0)
    found = {f"s{k}": [(_figures(rng), 0.0), (_figures(rng), 0.0)] for k in range(40)}
    known = threshold(found)
    fresh = [score(_figures(rng), 0.0, known) for _ in range(400)]
    assert 0.9 < np.mean(np.array(fresh) <= known.threshold) <= 1
    assert score(_figures(rng, 1.0), 0.0, known) > known.threshold
    assert score(_figures(rng, -1.0), 0.0, known) > known.threshold
    assert known.subjects == 40
    with pytest.raises(InputError, match="needs at least 8"):
        threshold(dict(list(found.items())[:5]))


def test_the_score_is_one_on_average_and_grows_with_the_header() -> None:
    """Guards the unit: standard deviations a figure; and the header's part."""
    rng = np.random.default_rng(1)
    known = Familiar(*fit([_figures(rng) for _ in range(500)]), 1.0, 0.95, 500)
    squares = [score(_figures(rng), 0.0, known) ** 2 for _ in range(500)]
    assert np.mean(squares) == pytest.approx(1, rel=0.1)
    one = _figures(rng)
    assert score(one, 0.3, known) ** 2 == pytest.approx(score(one, 0.0, known) ** 2 + 9)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), same=st.booleans())
def test_auroc_is_that_of_mann_and_whitney(seed: int, same: bool) -> None:
    """Guards the figure against an independent one, and the interval around it."""
    rng = np.random.default_rng(seed)
    inputs = {f"a{k}": float(v) for k, v in enumerate(rng.integers(0, 8, 6))}
    scans = {f"{'a' if same else 'b'}{k}": float(v) for k, v in enumerate(rng.integers(0, 6, 5))}
    value, low, high = auroc(inputs, scans)
    expected = mannwhitneyu(list(inputs.values()), list(scans.values())).statistic / 30
    assert value == pytest.approx(expected)
    assert 0 <= low <= value + 1e-9
    assert value - 1e-9 <= high <= 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine training volumes and a test volume of smooth noise, 1 mm, 48 voxels a side."""
    folder = tmp_path_factory.mktemp("ood")
    rows = []
    for k in range(10):
        split = "test" if k == 9 else "train"
        file = folder / split / f"s{k}.nii"
        file.parent.mkdir(exist_ok=True)
        x = gaussian_filter(np.random.default_rng(k).normal(size=(48, 48, 48)), 1.5)
        image = nibabel.Nifti1Image((100 + 100 * x / x.std()).clip(0).astype(np.float32), np.eye(4))
        nibabel.save(image, file)
        name = file.relative_to(folder).as_posix()
        rows.append({
            "file": name, "split": split, "subject": f"s{k}", "modality": "T1w", "sequence_field_scanner": "",
            "shape": "48x48x48", "fine_axes": "L-R A-P I-S", "sha256": file_digest(file),
        })
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_calibration_writes_the_card_and_a_run_its_page(data: Path, tmp_path: Path) -> None:
    """Guards the way from the training split to the page, on a copy of the weights."""
    for suffix in (".safetensors", ".json"):
        shutil.copy(registry.WEIGHTS / f"head-slices{suffix}", tmp_path / f"copy{suffix}")
    weights = str(tmp_path / "copy.safetensors")
    before = json.loads((tmp_path / "copy.json").read_text())
    known = calibrate(data, weights, lambda _: None)
    after = json.loads((tmp_path / "copy.json").read_text())
    assert after["familiar"] == json.loads(json.dumps(known.to_dict()))
    assert {k: v for k, v in after.items() if k != "familiar"} == {k: v for k, v in before.items() if k != "familiar"}
    out, page = tmp_path / "results", tmp_path / "page.md"
    assert len(evaluate_ood(data, out, page, ("scan",), weights, lambda _: None)) == 2
    assert len(evaluate_ood(data, out, page, ("noise",), weights, lambda _: None)) == 2
    assert evaluate_ood(data, out, page, ("scan",), weights, lambda _: None) == []
    text = page.read_text(encoding="utf-8")
    assert "## Unfamiliar inputs" in text
    assert "| noise | 1 |" in text
    with pytest.raises(InputError, match="matches no case"):
        evaluate_ood(data, out, page, ("teapot",), weights, lambda _: None)


@pytest.mark.parametrize("kind", [kind for kind in SPOILT if kind != AGAIN])
def test_what_is_spoilt_keeps_its_place_but_not_its_voxels(data: Path, kind: str) -> None:
    """Guards the inputs: thick slices of the factor, other values than the scan's, voxels three times larger if so."""
    case = next(c for c in cases_of(data) if c.kind == kind and c.factor == 3)
    scan = next(c for c in cases_of(data) if c.kind == "scan" and c.factor == 3)
    (spoilt, options), (plain, _) = prepare(data, case), prepare(data, scan)
    larger = 3 if kind == "resampled x3" else 1
    assert np.allclose(sorted(spoilt.spacing), [larger, larger, 3 * larger])
    assert options.thickness == pytest.approx(3 * larger)
    if spoilt.data.shape == plain.data.shape:
        assert np.abs(spoilt.data - plain.data).mean() > 1
