"""Volumes in files: read when drawn, few in memory, each voxel where the scanner had it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxprior.priors.intensity import intensity_scale
from voxprior.training.data import held_back, load_subjects, modalities, pack
from voxprior.training.examples import ExampleConfig, Examples
from voxprior.training.sources import volumes
from voxprior.training.sources.pool import ON_DUTY, STAY, on_duty
from voxprior.training.sources.volumes import HELD, Scanned, to_ras

Write = Callable[..., Path]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file's voxels were read, by name."""
    count, before = Counter[str](), volumes.load_frames

    def counted(path: Path, *more: Any) -> Any:
        count[path.name] += 1
        return before(path, *more)

    monkeypatch.setattr(volumes, "load_frames", counted)
    volumes._held.cache_clear()
    return count


def _bids(root: Path, write: Write, number: int, **more: Any) -> list[Scanned]:
    for i in range(number):
        write(root / f"sub-{i:02d}" / "anat" / f"sub-{i:02d}_T1w.nii.gz", **more)
    return [s for s in load_subjects(root, ("fit",)) if isinstance(s, Scanned)]


def test_nothing_is_read_before_it_is_drawn(trees: dict[str, Path], reads: Counter[str]) -> None:
    """Names, roles, sizes, cards: all from headers."""
    subjects = load_subjects(trees["ixi"], ("fit", "tune"))
    assert modalities(trees["ixi"])["modalities"] and repr(subjects[0]) and subjects[0].voxel
    assert not reads


def test_one_volume_is_read_once_for_a_draw(tmp_path: Path, write: Write, reads: Counter[str]) -> None:
    """Scale, voxels and spline of an oblique cut all come of one reading (OS-22)."""
    fit = _bids(tmp_path, write, 5)
    config = ExampleConfig(patch=16, spacing=(2.0, 3.0), resampled=0.5)
    examples = Examples(fit, config, 3, 0.45)
    for step in range(6):
        examples.batch(0, step, 4)
    assert set(reads.values()) == {1} and len(reads) == len(fit)


def test_memory_is_bounded(tmp_path: Path, write: Write, reads: Counter[str]) -> None:
    """With more volumes than are held, no more than that are in memory, and each is read once a turn, not a draw."""
    fit = _bids(tmp_path, write, 3 * HELD)
    examples = Examples(fit, ExampleConfig(patch=16, spacing=(2.0, 3.0), resampled=0), 3, 0.45)
    steps = 10
    for step in range(steps):
        examples.batch(0, step, 6)
        assert volumes._held.cache_info().currsize <= HELD
    assert set(reads.values()) == {1} and len(reads) <= ON_DUTY + steps // STAY


def test_a_batch_is_still_a_function_of_seed_and_step(tmp_path: Path, write: Write) -> None:
    """A training that is resumed sees what it would have seen, though it has drawn nothing before."""
    fit = _bids(tmp_path, write, 2 * HELD)
    config = ExampleConfig(patch=16, spacing=(2.0, 3.0), resampled=0)
    one, two = Examples(fit, config, 3, 0.45), Examples(fit, config, 3, 0.45)
    for step in range(9):
        before = one.batch(1, step, 2)
    after = two.batch(1, 8, 2)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), count=st.integers(1, 60), held=st.integers(1, 12))
def test_every_volume_has_its_turn(seed: int, count: int, held: int) -> None:
    """In each round every volume comes once before any comes again, and at most one is exchanged at a time (OS-10)."""
    duty = [set(on_duty(seed, step, count, held)) for step in range(0, STAY * count, STAY)]
    assert all(1 <= len(d) <= held for d in duty)
    assert set().union(*duty) == set(range(count))
    assert all(len(b - a) <= 1 for a, b in pairwise(duty))


ORDERS = [np.array(o) for o in ([0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2])]


@settings(max_examples=25, deadline=None)
@given(order=st.sampled_from(ORDERS), signs=st.tuples(*[st.sampled_from([-1, 1])] * 3), tilt=st.floats(-0.4, 0.4))
def test_places_stay_when_axes_are_turned(order: np.ndarray, signs: tuple[int, ...], tilt: float) -> None:
    """The corners of the array are where they were in patient space, and the axes point right, anterior, superior."""
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn[:, order] * np.array(signs) * np.array([0.9, 1.0, 1.2])[order]
    affine[:3, 3] = 5, -60, 33
    shape = np.array([10, 11, 12])
    turned = to_ras(affine, tuple(int(n) for n in shape))
    assert nibabel.aff2axcodes(turned) == ("R", "A", "S")

    def corners(a: np.ndarray, n: np.ndarray) -> set[tuple[float, ...]]:
        return {tuple(np.round(a[:3] @ [*(n * c), 1], 6) + 0.0) for c in np.ndindex(2, 2, 2)}

    again = np.empty(3, int)
    for axis in range(3):
        again[int(np.abs(turned[:3, :3].T @ affine[:3, axis]).argmax())] = shape[axis]
    assert corners(affine, shape - 1) == corners(turned, again - 1)


def test_a_voxel_keeps_its_place_through_the_file(tmp_path: Path, write: Write) -> None:
    """An affine is not replaced by the identity, and no axis is exchanged (OS-20)."""
    affine = np.array([[0, 0, 1.2, -80], [-0.9, 0.1, 0, 100], [0.1, 0.9, 0, -90], [0, 0, 0, 1]])
    data = np.full((20, 24, 18), 10, np.int16)
    data[4, 19, 7] = 1000
    for i in range(2):
        write(tmp_path / f"sub-{i}" / "anat" / f"sub-{i}_T1w.nii.gz", data, affine=affine)
    subject = load_subjects(tmp_path, ("fit",))[0]
    assert isinstance(subject, Scanned) and subject.codes.shape == subject.image.shape
    index = np.unravel_index(subject.image.argmax(), subject.image.shape)
    assert np.allclose(subject.affine @ [*index, 1], affine @ [4, 19, 7, 1])
    assert np.allclose(subject.voxel, (1.2, np.hypot(0.9, 0.1), np.hypot(0.9, 0.1)))


@pytest.mark.parametrize(
    ("voxel", "fine"),
    [((1, 1, 1), (0, 1, 2)), ((1.2, 0.9375, 0.9375), (1, 2)), ((1, 1.2, 1), (0, 1, 2)), ((0.5, 0.5, 5), (0, 1)),
     ((0.5, 3, 0.7), (0,))],
)
def test_fine_axes_are_those_near_the_finest(
    tmp_path: Path, write: Write, voxel: tuple[float, ...], fine: tuple[int, ...]
) -> None:
    """Voxels of up to 1.2 times the finest are fine, as the axis of thick slices is found elsewhere."""
    assert _bids(tmp_path, write, 2, voxel=voxel)[0].fine == fine


def test_the_scale_is_the_volumes_own(tmp_path: Path, write: Write) -> None:
    """Integer or float, in any unit: the 99th percentile of the foreground is at 1."""
    rng = np.random.default_rng(0)
    data = rng.uniform(0, 1, (20, 20, 20))
    for i, image in enumerate((data * 0.003, data * 30000, (data * 30000).astype(np.int16))):
        write(tmp_path / f"sub-{i}" / "anat" / f"sub-{i}_T1w.nii.gz", image.astype(np.float32) if i < 2 else image)
    a, b, c = sorted(load_subjects(tmp_path, ("fit", "tune")), key=lambda s: s.name)
    assert intensity_scale(a.image) == pytest.approx(1)
    assert np.allclose(a.image, b.image, atol=1e-5) and np.allclose(b.image, c.image, atol=1e-4)


def test_a_packed_download_is_the_same(trees: dict[str, Path], tmp_path: Path) -> None:
    """Whole numbers are kept, others to a fine step; roles, axes and what is known of licences travel along."""
    for kind in ("bids", "pairs"):
        pack(trees[kind], tmp_path / "packed.npz")
        source, packed = (load_subjects(s, ("fit", "tune")) for s in (trees[kind], tmp_path / "packed.npz"))
        assert len(source) == len(packed)
        for one, two in zip(source, packed, strict=True):
            assert (one.name, one.role, one.voxel, one.fine) == (two.name, two.role, two.voxel, two.fine)
            if kind == "bids":
                assert two.codes.dtype == np.uint16 and np.array_equal(one.codes, two.codes)
            assert np.allclose(one.codes / one.codes.max(), two.codes / two.codes.max(), atol=2e-4)
    pack(trees["bids"], tmp_path / "packed.npz")
    assert modalities(tmp_path / "packed.npz")["licences"] == "CC0"


def test_cards_say_where_the_volumes_are_from(trees: dict[str, Path]) -> None:
    """Split, sites and licence as far as they are known."""
    card = modalities(trees["ixi"])
    assert card["licences"] == "own data, licence not stated" and "20" in card["split"]
    assert card["sites"] == {"Guys": 3, "HH": 3, "IOP": 3} and sum(card["modalities"].values()) == len(card["fit"])
    assert modalities(trees["bids"])["licences"] == "CC0" and "sites" not in modalities(trees["bids"])


def test_few_volumes_are_watched(tmp_path: Path, write: Write) -> None:
    """Of a large data set four volumes are restored at each validation, each once, and those fine along A-P."""
    for i in range(200):
        write(tmp_path / f"sub-{i:03d}" / "anat" / f"sub-{i:03d}_T1w.nii.gz", shape=(16, 16, 16),
              voxel=(1, 3, 1) if i % 2 else 1)
    every = held_back(tmp_path, thorough=True)
    few = [s.name for s in held_back(tmp_path)]
    assert len(set(few)) == len(few) <= 4 and set(few) <= {s.name for s in every}
    assert all(1 in s.fine for s in every)


def test_subjects_travel_to_other_processes(tmp_path: Path, write: Write) -> None:
    """A worker of a data loader may get them by pickle; it then reads for itself."""
    subject = _bids(tmp_path, write, 2)[0]
    again = copy.deepcopy(subject)  # by the means of pickle, which tests may not use
    assert again.name == subject.name and np.array_equal(again.image, subject.image)
