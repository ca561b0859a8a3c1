"""What is measured of a volume from a download: block means, in place, on one scale, of every slice of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from voxprior.operators.separable import Separable
from voxprior.training import examples as module
from voxprior.training.data import load_subjects
from voxprior.training.examples import ExampleConfig, Examples
from voxprior.training.sources.volumes import Scanned
from voxprior.training.validate import validate
from voxprior.volume import SliceGeometry, slice_affine

Write = Callable[..., Path]


def _subject(root: Path, write: Write, data: np.ndarray) -> Scanned:
    for i in range(2):
        write(root / f"sub-{i}" / "anat" / f"sub-{i}_T1w.nii.gz", data.astype(np.float32))
    subject = load_subjects(root, ("fit",))[0]
    assert isinstance(subject, Scanned)
    return subject


def _box(image: np.ndarray, factor: int) -> tuple[np.ndarray, SliceGeometry]:
    """Box slices along the last axis, as the operator of the package makes them, and their geometry."""
    count = image.shape[2] // factor
    g = SliceGeometry(2, count, float(factor), float(factor), count * factor, 1.0)
    operator = Separable.from_axes((g,), (*image.shape[:2], count))
    return operator.apply(torch.from_numpy(image[None, ..., : count * factor]).double())[0].numpy(), g


def test_slices_are_block_means(tmp_path: Path, write: Write) -> None:
    """0..11 by four gives 1.5, 5.5, 9.5, not the last phase of each block; a constant stays itself (OS-07)."""
    ramp = np.broadcast_to(np.tile(np.arange(12.0), 2)[:, None, None].transpose(1, 2, 0), (16, 16, 24)).copy()
    codes = _subject(tmp_path, write, ramp).codes
    thick, _ = _box(codes[..., :12], 4)
    assert np.allclose(thick[3, 5], [1.5, 5.5, 9.5])
    assert np.allclose(_box(np.full((4, 4, 12), 7.0), 4)[0], 7)


@pytest.mark.parametrize("factor", [3, 4, 7])
def test_slices_are_where_they_say(tmp_path: Path, write: Write, factor: int) -> None:
    """A ramp in mm has its values at the slices' centres, though 155 is no multiple of the factor (OS-08)."""
    ramp = np.broadcast_to(10 + np.arange(155.0), (16, 16, 155)).copy()
    subject = _subject(tmp_path, write, ramp)
    thick, g = _box(subject.codes, factor)
    place = slice_affine(subject.affine, g)
    assert np.allclose(thick[0, 0], 10 + place[2, 2] * np.arange(g.count) + place[2, 3])


def test_slices_of_a_scaled_volume_are_scaled(tmp_path: Path, write: Write) -> None:
    """Nothing is normalised of its own: twice the signal has twice the slices, and the same examples (OS-09)."""
    image = np.random.default_rng(0).uniform(50, 900, (20, 20, 24))
    one, two = (_subject(tmp_path / str(c), write, c * image) for c in (1.0, 2.5))
    assert np.allclose(2.5 * _box(one.codes, 4)[0], _box(two.codes, 4)[0], rtol=1e-5)
    thick = _box(one.codes, 4)[0]
    scale = one.codes.max() / one.image.max()
    assert np.allclose(_box(one.image, 4)[0] * scale, thick, rtol=1e-5)
    assert np.allclose(one.image, two.image, rtol=1e-5)


def test_every_slice_is_drawn(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """First and last positions along every axis are trained on as the middle is (OS-10)."""
    monkeypatch.setattr(module, "contrast", lambda image, *_: image)
    shape = (20, 22, 24)
    index = np.arange(np.prod(shape), dtype=np.float64).reshape(shape) + 20000  # each voxel tells where it is
    subject = _subject(tmp_path, write, index)
    scale = float(subject.codes.max() / subject.image.max())
    drawn = Examples([subject], ExampleConfig(kinds=(0, 0, 1), patch=16, resampled=0), 3, 0.45)
    seen = np.zeros(shape, bool)
    for step in range(40):
        truth = drawn.batch(0, step, 8).truth.numpy()
        seen.ravel()[np.rint(truth * scale - 20000).astype(int).ravel()] = True
    assert all(seen.any(others).all() for others in ((1, 2), (0, 2), (0, 1)))


def test_each_case_is_validated_once(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are over subjects, not over repetitions of them (OS-10, OS-17)."""
    for i in range(50):
        write(tmp_path / f"sub-{i}" / "anat" / f"sub-{i}_T1w.nii.gz", shape=(16, 16, 16))
    monkeypatch.setattr("voxprior.training.validate._score", lambda prior, subject, factor: (subject.name, factor))
    cases = validate(None, load_subjects(tmp_path, ("tune",)), (2, 5))  # type: ignore[arg-type]
    assert len(cases) == len(set(cases)) == 2 * len(load_subjects(tmp_path, ("tune",))) > 0
