"""Examples: what the network is shown must be what thick slices measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from voxprior.training.augment import ContrastConfig, contrast, paint
from voxprior.training.data import load_subjects
from voxprior.training.examples import ExampleConfig, Examples

CONFIG = ExampleConfig(patch=32, spacing=(2.0, 4.0), resampled=0.2)


@pytest.fixture(scope="module")
def examples(data_folder: Path) -> Examples:
    return Examples(load_subjects(data_folder, ("fit",)), CONFIG, 6, 0.45)


def test_a_batch_is_a_function_of_seed_and_step(examples: Examples) -> None:
    """The same seed and step give the same examples; another step gives others."""
    one, two, other = examples.batch(1, 5, 4), examples.batch(1, 5, 4), examples.batch(1, 6, 4)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one.truth, other.truth)


def test_shapes_types_and_kinds(examples: Examples) -> None:
    """All three kinds occur; only unconditional ones have no measurement, and they have the images' spread."""
    batch = examples.batch(0, 0, 48)
    assert batch.truth.shape == batch.m.shape == (48, 6, 32, 32) and batch.phase.shape == (48, 2, 32)
    assert batch.truth.dtype == batch.m.dtype == batch.vector.dtype == torch.float32
    assert set(batch.kind.tolist()) == {0, 1, 2}
    free = batch.kind == 2
    assert (batch.m[free] == 0).all() and (batch.spread[free] == torch.tensor(0.45)).all()
    assert (batch.vector[free, 0] == 0).all() and (batch.vector[~free, 0] == 1).all()


def test_the_interpolation_explains_the_truth_to_the_stated_spread(examples: Examples) -> None:
    """Over many examples the error of the interpolation is of the size of the spread given with it."""
    batch = examples.batch(3, 0, 64)
    measured = batch.kind < 2
    error = (batch.truth - batch.m)[measured].flatten(1).std(1) / batch.spread[measured]
    assert 0.3 < float(error.median()) < 3
    # and it is a measurement of this truth, not of another one
    mixed = (batch.truth.roll(1, 0) - batch.m)[measured].flatten(1).std(1) / batch.spread[measured]
    assert float(mixed.median()) > 2 * float(error.median())


def test_contrast_keeps_the_background_and_the_sign() -> None:
    """Zero stays zero and nothing becomes negative under any change of contrast."""
    rng = np.random.default_rng(0)
    image = np.abs(rng.standard_normal((4, 24, 24))).astype(np.float32)
    image[:, :6] = 0
    for config in (
        ContrastConfig(gamma=1, monotone=0, non_monotone=0, bias=1),
        ContrastConfig(gamma=0, monotone=1, non_monotone=0, bias=0),
        ContrastConfig(gamma=0, monotone=0, non_monotone=1, bias=1),
    ):
        changed = contrast(image, rng, config)
        assert (changed[:, :6] == 0).all() and changed.min() >= 0 and np.isfinite(changed).all()
        assert not np.allclose(changed, image)


def test_painted_labels_have_as_many_levels_as_tissues() -> None:
    """Two tissues get two different random levels; the background stays dark away from the edge."""
    labels = np.zeros((8, 20, 20), np.float32)
    labels[:, 8:14], labels[:, 14:] = 1, 2
    painted = paint(labels, np.random.default_rng(3))
    assert painted[:, :5].max() < 1e-3
    assert abs(painted[:, 9:13].mean() - painted[:, 16:].mean()) > 0.02
