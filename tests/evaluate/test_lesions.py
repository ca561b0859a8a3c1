"""Lesions put into truths: their size, place and contrast, what is found of them again, and blobs that nobody put."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from evaluate.conftest import Drawn
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.lesions.blobs import false_blobs, field, responses
from voxprior.evaluate.lesions.contenders import SLOW, lesion_contenders, runs_on
from voxprior.evaluate.lesions.contrast import probe, recovery
from voxprior.evaluate.lesions.insert import Lesion, draw, insert, local_spread, scatter
from voxprior.evaluate.lesions.look import draw_lesions
from voxprior.evaluate.lesions.measure import Task
from voxprior.evaluate.lesions.protocols import lesion_cases
from voxprior.evaluate.lesions.run import evaluate_lesions
from voxprior.evaluate.lesions.tables import render
from voxprior.methods.result import Result

SPACING = (0.9, 1.1, 1.2)
SHAPE = (56, 52, 48)


@pytest.fixture(scope="module")
def tissue():
    """A textured block, all of it head."""
    rng = np.random.default_rng(0)
    return (100 + 60 * gaussian_filter(rng.standard_normal(SHAPE), 1.5)).astype(np.float32)


def _sphere(diameter, centre=(28.3, 25.8, 24.1), contrast=50.0):
    return Lesion(np.array(centre), np.eye(3) * 2 / diameter, diameter, contrast)


@pytest.mark.parametrize("diameter", [4.0, 8.0, 12.0])
def test_a_drawn_lesion_has_the_volume_of_its_sphere(diameter):
    """Partial volumes add up, wherever the centre lies between voxels; the soft edge adds little."""
    drawn = draw(_sphere(diameter), SHAPE, SPACING)
    volume = drawn.share.sum() * np.prod(SPACING)
    soft = 1 + 3 * 0.2 / diameter**2  # second moment of the edge about the radius
    assert volume == pytest.approx(np.pi / 6 * diameter**3 * soft, rel=0.03)
    assert drawn.share.max() <= 1 and drawn.share[drawn.outside > 1.5].max() == 0


def test_lesions_lie_apart_within_the_head_with_the_contrast_asked(tissue):
    """No lesion touches another, the edge of the head or the end of the volume; half are bright."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4:-4, 4:-4, 4:-4] = True
    spread = local_spread(tissue, mask, SPACING)
    found = scatter(tissue, mask, spread, SPACING, (2.0, 4.0, 6.0, 3.0), 2.0, np.random.default_rng(1))
    assert {o.diameter for o in found} == {2.0, 3.0, 4.0, 6.0}
    for i, a in enumerate(found):
        drawn = draw(a, SHAPE, SPACING)
        assert mask[drawn.window][drawn.share > 0.5].all()
        assert abs(a.contrast) == pytest.approx(2 * spread[tuple(np.rint(a.centre).astype(int))])
        assert np.linalg.det(a.shape) == pytest.approx((2 / a.diameter) ** 3)
        for b in found[:i]:
            assert np.linalg.norm((a.centre - b.centre) * SPACING) - (a.diameter + b.diameter) / 2 >= 10
    assert [o.contrast > 0 for o in found] == [False, True, False, True]


def test_the_local_spread_is_that_of_the_head_alone():
    """Background outside of the mask must not count as contrast."""
    rng = np.random.default_rng(0)
    image = rng.normal(100, 7, SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[8:-8, 8:-8, 8:-8] = True
    found = local_spread(np.where(mask, image, 0).astype(np.float32), mask, SPACING)
    assert found[mask].mean() == pytest.approx(7, rel=0.03) and found[9, 9, 9] < 8


def test_nothing_falls_below_zero(tissue):
    """A magnitude image has no negative voxels."""
    lesion = _sphere(8.0, contrast=-500.0)
    assert insert(tissue, [draw(lesion, SHAPE, SPACING)], [lesion]).min() == 0


def test_half_a_contrast_is_half_recovered_and_anatomy_is_error_alone(tissue):
    """What the restoration does without the lesion must not count as recovered, and must count as error."""
    lesion = _sphere(6.0)
    drawn = draw(lesion, SHAPE, SPACING)
    one = probe(drawn, np.ones(SHAPE, dtype=bool))
    with_lesion = insert(tissue, [drawn], [lesion])
    half = insert(tissue, [drawn], [lesion._replace(contrast=25.0)])
    assert one(np.full(SHAPE, 3, np.float32)) == pytest.approx(0, abs=1e-5)
    (found,) = recovery([one], [6.0], (tissue, with_lesion), (tissue, half))
    assert found.bright and found.recovered == pytest.approx(0.5, abs=1e-4)
    assert found.error == pytest.approx(-0.5, abs=1e-4)
    wrong = insert(tissue, [drawn], [lesion._replace(contrast=10.0)])  # made up where nothing was
    (found,) = recovery([one], [6.0], (tissue, with_lesion), (wrong, wrong + half - tissue))
    assert found.recovered == pytest.approx(0.5, abs=1e-4) and found.error == pytest.approx(-0.3, abs=1e-4)


def test_a_blob_that_the_truth_lacks_is_counted_once(tissue):
    """One bright lesion of 6 deviations: one bright blob, none where the truth has it too, one error if it is lost."""
    mask = np.ones(SHAPE, dtype=bool)
    spread = local_spread(tissue, mask, SPACING)
    where = field(mask, spread, SPACING)
    drawn = draw(_sphere(6.0), SHAPE, SPACING)
    lesion = _sphere(6.0, contrast=6 * float(spread.mean()))
    made_up = insert(tissue, [drawn], [lesion])
    clean, dirty = responses(tissue, where), responses(made_up, where)
    found = false_blobs(dirty, clean, where)["3"]
    assert (found["bright"], found["dark"], found["error"], found["truth"]) == (1, 0, 1, 0)
    assert false_blobs(dirty, dirty, where)["3"] == {"bright": 0, "dark": 0, "error": 0, "truth": 1}
    lost = false_blobs(clean, dirty, where)["3"]
    assert (lost["bright"], lost["error"]) == (0, 1)
    assert where.litres == pytest.approx(np.count_nonzero(where.places[0]) * np.prod(SPACING) / 1e6)


def test_a_response_is_what_a_probe_measures(tissue):
    """Blobs and lesions are measured with one rule, here against the probe of a ball."""
    mask = np.ones(SHAPE, dtype=bool)
    spread = np.ones(SHAPE, dtype=np.float32)
    where = field(mask, spread, SPACING)
    at = (28, 26, 24)
    ball = draw(_sphere(8.0, at), SHAPE, SPACING)
    shell = (ball.outside > 1) & (ball.outside < 5)
    piece = tissue[ball.window]
    expected = (ball.share * piece).sum() / ball.share.sum() - piece[shell].mean()
    assert responses(tissue, where)[2][at] == pytest.approx(expected, rel=1e-3, abs=1e-3)


def _evaluate(data, folder, methods, **options):
    ours = Contender("voxprior mean", "drawn", {"samples": 1}), Contender("voxprior sample", "drawn", {}, SLOW)
    members = [Contender("cubic", "cubic"), *ours]
    return evaluate_lesions(data, folder, folder / "p.md", contenders=members, resolve=methods, report=str, **options)


def test_a_run_is_resumed_and_told(data, tmp_path, methods, monkeypatch):
    """Lesions of tiny heads, restored by cubic: known results are not made again, and the page holds them."""
    monkeypatch.setattr("voxprior.evaluate.lesions.insert.MARGIN", 0.0)
    monkeypatch.setattr("voxprior.evaluate.lesions.blobs.MARGIN", 2.0)
    monkeypatch.setattr("voxprior.evaluate.lesions.measure.DIAMETERS", (2.0, 3.0))
    made = _evaluate(data, tmp_path, methods, only=["x2"])
    assert {(r["kind"], r["label"]) for r in made} == {("x2 box", "cubic"), ("x2 box", "voxprior mean")}
    assert _evaluate(data, tmp_path, methods, only=["x2"]) == []
    page = (tmp_path / "p.md").read_text()
    assert "## Trust" in page and "### Lesions, x2 box: contrast that comes back" in page
    assert "2 subjects" in page and str(tmp_path) not in page
    for record in made:
        for lists in record["figures"]["insertions"].values():
            assert len(lists["bright"]) == len(lists["recovered"]) == len(lists["error"]) > 0
            assert np.isfinite(lists["recovered"]).all()


def test_a_method_that_gives_the_truth_recovers_all_and_makes_up_nothing(data, tmp_path, monkeypatch):
    """Guards the bookkeeping: the ideal method must have the ideal figures."""
    monkeypatch.setattr("voxprior.evaluate.lesions.insert.MARGIN", 0.0)
    monkeypatch.setattr("voxprior.evaluate.lesions.blobs.MARGIN", 2.0)
    monkeypatch.setattr("voxprior.evaluate.lesions.measure.DIAMETERS", (3.0,))
    given = []
    measured = Task.measured

    def spy(self, truth):
        given.append(truth)
        return measured(self, truth)

    monkeypatch.setattr(Task, "measured", spy)

    class Oracle(Drawn):
        def __call__(self, measurement, options, rng, progress=None):
            return Result(torch.from_numpy(given[-1].copy()))

    oracle = Contender("voxprior mean", "oracle", {})
    made = evaluate_lesions(data, tmp_path, tmp_path / "p.md", ["x2", "a"], [oracle], lambda name: Oracle(), str)
    figures = made[0]["figures"]
    found = figures["insertions"]["3"]
    assert np.allclose(found["recovered"], 1) and np.allclose(found["error"], 0)
    assert all(count[name] == 0 for count in figures["false"].values() for name in ("bright", "dark", "error"))


def test_rounds_are_the_same_at_every_factor_and_samples_run_on_few(data):
    """Methods and factors are compared on the same lesions."""
    cases = [c for c in lesion_cases(data) if c.subject == "b"]
    assert {c.direction for c in cases} == {"A-P"}
    by_factor = {c.factor: c for c in cases if c.rounds > 1}
    first, second = (Task.read(data, by_factor[f]) for f in (5, 2))
    assert first.problem.slices.axis == second.problem.slices.axis
    slow = [c for c in lesion_contenders() if c.place == SLOW]
    assert [[runs_on(c, case) for case in cases] for c in slow] == [[False, True, False]]


def test_a_picture_is_drawn(data, tmp_path, methods, monkeypatch):
    """Figures are believed after a look."""
    monkeypatch.setattr("voxprior.evaluate.lesions.insert.MARGIN", 0.0)
    monkeypatch.setattr("voxprior.evaluate.lesions.measure.DIAMETERS", (3.0,))
    task = Task.read(data, next(c for c in lesion_cases(data) if c.rounds == 1))
    draw_lesions(task, [Contender("cubic", "cubic")], methods, tmp_path / "l.png")
    assert (tmp_path / "l.png").read_bytes()[:4] == b"\x89PNG"


def _record(subject, label, recovered, bright=1):
    counts = {"bright": 0, "dark": 0, "error": 2, "truth": 5}
    lists = {"bright": [bright], "recovered": [recovered], "error": [recovered - 1]}
    return {
        "name": f"{subject} x5 box 4 times A-P",
        "kind": "x5 box",
        "label": label,
        "case": {"subject": subject},
        "weights": None,
        "figures": {"insertions": {"4": lists}, "false": {"3": counts}, "litres": 0.5, "slice_mm": 5.0},
        "machine": {"processor": "x", "threads": 1, "torch": "2"},
    }


def test_the_verdict_compares_with_the_lower_bound_of_cubic():
    """The aim is told where it is missed."""
    cubic = [_record(str(i), "cubic", 0.5 + 0.01 * i) for i in range(5)]
    good = render([*cubic, *(_record(str(i), "voxprior mean", 0.53) for i in range(5))])
    bad = render([*cubic, *(_record(str(i), "voxprior mean", 0.43) for i in range(5))])
    assert "lies below the lower bound of cubic at no size" in good
    assert "lies below the lower bound of cubic at 4 mm" in bad
    assert "| x5 box | voxprior mean | 4 mm | -0.09 [-0.10, -0.08] |" in bad
    assert "| x5 box | 3 | cubic | 2.50 | 0 | 0 | 0.00 [1.20] | 4.00 [" in good
