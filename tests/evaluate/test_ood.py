"""The threshold of the score, the area under the curve, and a run over tiny data."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
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
from voxprior.evaluate.ood.inputs import ENHANCE, RECON, SAMPLINGS, SR, Case, train_cases
from voxprior.evaluate.ood.inputs import test_cases as cases_of
from voxprior.evaluate.ood.measure import JUDGES
from voxprior.evaluate.ood.run import evaluate_ood
from voxprior.evaluate.ood.spoil import SPOILT, shuffled
from voxprior.evaluate.ood.tables import auroc
from voxprior.evaluate.ood.volumes import coarse, thick
from voxprior.io.outputs import file_digest
from voxprior.priors.familiar_slices import DENOISED, FIGURES
from voxprior.priors.familiarity import Familiar, beyond, familiar_of, fit, score
from voxprior.priors.weights import load
from voxprior.volume import Volume


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
    known = calibrate(data, weights, lambda _: None)[""]
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


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize(("job", "factor", "prepare"), [(SR, 3, thick), (ENHANCE, 2, coarse)])
def test_what_is_spoilt_keeps_its_place_but_not_its_voxels(
    data: Path, kind: str, job: str, factor: int, prepare: Callable[[Path, Case], tuple[Volume, object]]
) -> None:
    """Guards the inputs: made coarse by the factor, other values than the scan's, voxels three times larger if so."""
    case = next(c for c in cases_of(data, job) if c.kind == kind and c.factor == factor)
    scan = next(c for c in cases_of(data, job) if c.kind == "scan" and c.factor == factor)
    (spoilt, _), (plain, _) = prepare(data, case), prepare(data, scan)
    larger = 3 if kind == "resampled x3" else 1
    rough = [factor * larger] * len(case.direction.split())
    assert np.allclose(sorted(spoilt.spacing), [larger] * (3 - len(rough)) + rough)
    if spoilt.data.shape == plain.data.shape:
        assert np.abs(spoilt.data - plain.data).mean() > 1


def test_shuffled_blocks_are_the_same_blocks_elsewhere() -> None:
    """Guards the shuffling in two and three dimensions: every block is there once, few where they were."""
    for shape in ((64, 80), (32, 48, 48)):
        pieces = [n // 16 for n in shape]
        number = np.arange(np.prod(pieces), dtype=np.float32).reshape(pieces)
        for axis in range(len(shape)):
            number = number.repeat(16, axis)
        mixed = shuffled(number)
        corners = mixed[tuple(slice(0, None, 16) for _ in shape)]
        again = corners
        for axis in range(len(shape)):
            again = again.repeat(16, axis)
        assert np.array_equal(again, mixed)
        assert sorted(corners.ravel()) == list(range(np.prod(pieces)))
        assert (mixed == number).mean() < 0.5


def test_cases_of_each_job_and_old_keys(data: Path) -> None:
    """Guards the lists: of sr nothing but what results from before are found by; every degradation, mask and kind."""
    old = {"subject", "file", "sha256", "direction", "kind", "factor", "block"}
    assert {frozenset(c.to_dict()) for c in cases_of(data, SR)} == {frozenset(old)}
    voxels, images = cases_of(data, ENHANCE), cases_of(data, RECON)
    assert {(c.factor, c.degraded) for c in voxels} == {(f, d) for f in (2, 3) for d in ("box", "kspace", "1.5t")}
    assert {c.kind for c in images} == {"scan", "noise", "shuffled blocks"}
    assert {(c.degraded, c.coils) for c in train_cases(data, RECON)} == set(SAMPLINGS)
    for job in (SR, ENHANCE, RECON):
        names = [c.name for c in cases_of(data, job)]
        assert len(set(names)) == len(names)


def test_a_card_of_kinds_is_read_by_kind_and_only_for_its_figures() -> None:
    """Guards cards from before, new ones, and those of other figures."""
    rng = np.random.default_rng(2)
    known = Familiar(*fit([_figures(rng) for _ in range(20)]), 2.0, 0.95, 20)
    told = json.loads(json.dumps(known.to_dict()))
    assert familiar_of({"familiar": told}, FIGURES) == known
    card = {"familiar": {"kinds": {"box": told}, "by": {"name": "x", "sha256": "y"}}}
    assert familiar_of(card, FIGURES, "box") == known
    assert familiar_of(card, FIGURES, "kspace") is None
    assert familiar_of(card, FIGURES) is None
    assert familiar_of(card, DENOISED, "box") is None
    assert familiar_of({}, FIGURES) is None
    for name, kinds in (("head-slices", [""]), ("head-kspace", [""]), ("head-enhance", ["box", "kspace", "1.5t"])):
        judge = next(judge for judge in JUDGES.values() if judge.weights == name)
        found = [familiar_of(load(name).card, judge.figures, kind) for kind in kinds]
        assert all(one is not None and 1 < one.threshold < 3 and one.subjects >= 26 for one in found)


def test_the_header_counts_by_its_logarithm() -> None:
    """Guards the distance from trained ranges: 0 inside, the larger of both ends, nothing where none is known."""
    assert beyond([(1.0, (0.7, 1.5)), (2.0, None)]) == 0
    assert beyond([(3.0, (0.7, 1.5)), (0.5, (0.7, 1.5))]) == pytest.approx(np.log(2))
    assert beyond([]) == 0


def test_a_run_of_coarse_voxels_gives_a_table_of_its_own(data: Path, tmp_path: Path) -> None:
    """Guards the way to the page for a job whose thresholds come by kind."""
    page = tmp_path / "page.md"
    made = evaluate_ood(data, tmp_path, page, ("scan", "x2"), None, lambda _: None, (SR, ENHANCE))
    assert [r["case"]["degraded"] for r in made] == ["box", "kspace", "1.5t"]
    assert len({r["threshold"] for r in made}) == 3
    text = page.read_text(encoding="utf-8")
    assert "### enhance" in text and "### sr" not in text
    assert "| box | scan | 1 |" in text
    with pytest.raises(InputError, match="--job recon --calibrate first"):
        evaluate_ood(data, tmp_path, page, ("scan",), "head-slices", lambda _: None, (RECON,))


def test_noise_in_k_space_is_told_from_a_smooth_image(data: Path) -> None:
    """Guards the way from a case of k-space to its figures: of the image, in units of the noise, without a header."""
    scan, noise = (
        replace(next(c for c in cases_of(data, RECON) if c.kind == kind), degraded="poisson:3:16", coils=2)
        for kind in ("scan", "noise")
    )
    weights = load(JUDGES[RECON].weights)
    (smooth, header), (rough, _) = (JUDGES[RECON].find(data, case, weights) for case in (scan, noise))
    assert tuple(smooth) == DENOISED and header == 0
    assert rough["bright_middle"] > smooth["bright_middle"]
