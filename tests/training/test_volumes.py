"""Volume examples: what the network is shown must be what coarse voxels measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from voxprior.priors.volume import FEATURES, VolumePrior, VolumePriorConfig
from voxprior.training.augment import ContrastConfig
from voxprior.training.data import load_subjects
from voxprior.training.subject import Subject
from voxprior.training.volumes import VolumeExampleConfig, VolumeExamples

PLAIN = ContrastConfig(gamma=0, monotone=0, non_monotone=0, bias=0)
CONFIG = VolumeExampleConfig(cells=(2, 4), plane=(24, 20), factors=(2, 4, 5), labels=0.1)


@pytest.fixture(scope="module")
def examples(data_folder: Path) -> VolumeExamples:
    return VolumeExamples(load_subjects(data_folder, ("fit",)), CONFIG)


def _alone(image: np.ndarray, fine: tuple[int, ...] = (0, 1, 2), **settings: object) -> VolumeExamples:
    subject = Subject("one", "fit", "T1w", image.astype(np.float32), (1.0, 1.0, 1.0), fine)
    asked = {"cells": (2, 4), "plane": (16, 16), "factors": (4,), "labels": 0.0, "contrast": PLAIN, **settings}
    return VolumeExamples([subject], VolumeExampleConfig(**asked))


def test_a_batch_is_a_function_of_seed_and_step(examples: VolumeExamples) -> None:
    """The same seed and step give the same examples, whatever came before; others give others."""
    one = examples.batch(1, 5, 2)
    other, again = examples.batch(1, 6, 2), examples.batch(1, 5, 2)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert one.truth.shape != other.truth.shape or not torch.equal(one.truth, other.truth)
    first = examples.batch(1, 5, 1)
    assert all(torch.equal(a[:1], b) for a, b in zip(one, first, strict=True))


def test_shapes_types_and_kinds(examples: VolumeExamples) -> None:
    """Slices and in-plane batches occur, both kinds of each, one factor a batch; and a network takes them."""
    batches = [examples.batch(0, step, 2) for step in range(24)]
    factors = set()
    for batch in batches:
        fine = batch.phase.tolist()
        assert len(set(fine)) == 1
        factors.add(fine[0])
        cells = batch.truth.shape[1] // fine[0]
        assert batch.truth.shape == batch.m.shape and batch.truth.shape[1] == cells * fine[0]
        assert batch.truth.shape[2:] == (24, 20) and batch.vector.shape == (2, FEATURES)
        assert batch.truth.dtype == batch.m.dtype == batch.vector.dtype == batch.spread.dtype == torch.float32
        assert (batch.vector[:, 0] == (fine[0] > 1)).all() and (batch.vector[:, 8] == (fine[0] == 1)).all()
        assert bool((batch.spread > 0).all())
    assert factors == {1, 2, 4, 5}
    assert {int(k) for b in batches for k in b.kind} == {0, 1}
    described = [int(b.vector[i, 13:].sum()) for b in batches for i in range(2)]
    assert set(described) == {0, 1}
    b = batches[0]
    found = VolumePrior(VolumePriorConfig())(b.truth, b.m, b.phase, torch.ones(2), b.spread, b.vector)
    assert found.mean.shape == b.truth.shape


def test_the_interpolation_explains_the_truth_to_the_stated_spread(examples: VolumeExamples) -> None:
    """Over many examples the error of the interpolation is of the size of the spread; of another truth it is not."""
    ratios, mixed = [], []
    for step in range(16):
        b = examples.batch(3, step, 2)
        ratios += ((b.truth - b.m).flatten(1).std(1) / b.spread).tolist()
        mixed += ((b.truth.roll(1, 0) - b.m).flatten(1).std(1) / b.spread).tolist()
    assert 0.2 < float(np.median(ratios)) < 3
    assert float(np.median(mixed)) > 2 * float(np.median(ratios))


def test_the_interpolation_explains_the_slices() -> None:
    """Means over cells of what is shown are those of the truth, where slices are boxes side by side without noise."""
    rng = np.random.default_rng(0)
    image = np.cumsum(rng.standard_normal((40, 40, 40)), axis=0) / 8 + 3
    exact = 0
    for step in range(12):
        b = _alone(image, in_plane=0.0).batch(0, step, 1)
        cells = [v.reshape(-1, 4, 16, 16).mean(1) for v in (b.truth[0], b.m[0])]
        side_by_side = bool(np.isclose(float(b.vector[0, 1]), np.log(4))) and float(b.vector[0, 4]) == 0
        if side_by_side and np.isclose(float(b.vector[0, 3]), np.sqrt(1.25) / 4, atol=1e-3):
            exact += 1
            assert float((cells[0] - cells[1]).abs().max()) < 0.05
    assert exact >= 2


def test_coarse_directions_are_those_of_true_resolution() -> None:
    """A volume that is fine along one axis alone is thickened along that one: stripes across it are what is lost."""
    image = np.ones((40, 40, 40)) + np.arange(40)[None, :, None] % 2
    for step in range(6):
        b = _alone(image, fine=(1,), in_plane=0.0).batch(0, step, 1)
        assert float(b.truth.diff(dim=1).abs().mean()) > 0.1
        assert float(b.truth.diff(dim=2).abs().max()) == 0 == float(b.truth.diff(dim=3).abs().max())


def test_small_volumes_are_padded() -> None:
    """A volume smaller than a block is filled with zeros behind, so that every batch has one shape."""
    image = np.ones((9, 10, 11))
    b = _alone(image, in_plane=0.0).batch(0, 0, 2)
    assert b.truth.shape == (2, 16, 16, 16) and bool(torch.isfinite(b.m).all())
    assert float((b.truth == 0).float().mean()) > 0.3
    b = _alone(image, in_plane=1.0).batch(0, 0, 2)
    assert b.truth.shape == _alone(np.ones((40, 40, 40)), in_plane=1.0).batch(0, 0, 2).truth.shape


def test_in_plane_degradations() -> None:
    """Boxes, the edge of k-space and a field of 1.5 T occur when asked for, and the field is told."""
    rng = np.random.default_rng(1)
    image = np.abs(rng.standard_normal((40, 40, 40))).cumsum(0) / 10 + 1
    for shares, told in (((1.0, 0.0, 0.0), 0), ((0.0, 1.0, 0.0), 0), ((0.0, 0.0, 1.0), 1)):
        b = _alone(image, in_plane=1.0, degradations=shares).batch(2, 0, 2)
        assert (b.phase == 1).all() and (b.vector[:, 12] == told).all()
        error = (b.truth - b.m).flatten(1).std(1)
        assert bool((error > 0).all()) and bool((error < b.truth.flatten(1).std(1)).all())
