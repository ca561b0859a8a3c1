"""Examples for in-plane super-resolution: what the network is shown must be what a bound prior will show it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from voxprior.operators.base import Measurement
from voxprior.operators.separable import Separable
from voxprior.priors.condition import FEATURES, PLACE
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.grid import BoundGrid, Plane
from voxprior.priors.weights import export
from voxprior.training.config import FitConfig
from voxprior.training.data import Subject, load_subjects
from voxprior.training.enhance import EnhanceConfig, EnhanceExamples
from voxprior.training.enhance_task import EnhanceTask
from voxprior.training.examples import Slab
from voxprior.training.fit import LOG, Run, fit
from voxprior.training.task import make_task

PRIOR = SlicePriorConfig(channels=(8, 8), blocks=(1, 1), axes=2)
CONFIG = EnhanceConfig(factor=(1.5, 3.0), patch=24, resampled=0.2)


@pytest.fixture(scope="module")
def examples(data_folder: Path) -> EnhanceExamples:
    return EnhanceExamples(load_subjects(data_folder, ("fit",)), CONFIG, PRIOR)


def test_a_batch_is_a_function_of_seed_and_step(examples: EnhanceExamples) -> None:
    """The same seed and step give the same examples; another step gives others."""
    one, two, other = examples.batch(1, 5, 3), examples.batch(1, 5, 3), examples.batch(1, 6, 3)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one.truth, other.truth)


def test_shapes_and_that_every_case_occurs(examples: EnhanceExamples) -> None:
    """Mean and conditional examples, three degradations, and coarse axes in four ways."""
    batch = examples.batch(0, 0, 96)
    assert batch.truth.shape == batch.m.shape == (96, 6, 24, 24) and batch.phase.shape == (96, 4, 24, 24)
    assert {t.dtype for t in batch[:5]} == {torch.float32}
    assert set(batch.kind.tolist()) == {0, 1}
    v = batch.vector
    marks = {tuple(row) for row in v[:, [PLACE + 2, PLACE + 3]].int().tolist()}
    assert marks == {(0, 0), (1, 0), (0, 1)}
    lies = {tuple(row) for row in v[:, [0, FEATURES, FEATURES + 4]].int().tolist()}
    assert lies == {(1, 1, 0), (1, 0, 1), (1, 0, 0), (1, 1, 1)}
    fine = v[:, FEATURES] == 0
    assert (batch.phase[fine, 2:] == 0).all() and batch.phase[~fine, 2:].abs().amax((1, 2, 3)).min() > 0


def test_the_interpolation_explains_the_truth_to_the_stated_spread(examples: EnhanceExamples) -> None:
    """Over many examples the error of the interpolation is of the size of the spread given with it."""
    batch = examples.batch(3, 0, 48)
    error = (batch.truth - batch.m).flatten(1).std(1)
    assert 0.3 < float((error / batch.spread).median()) < 3
    mixed = (batch.truth.roll(1, 0) - batch.m).flatten(1).std(1)
    assert float(mixed.median()) > 2 * float(error.median())


class Whole(EnhanceExamples):
    """Examples of one given volume, as large as it is, without any change of it."""

    def __init__(self, image: np.ndarray, config: EnhanceConfig) -> None:
        subject = Subject("a", "fit", "T1w", (100 * image).astype(np.uint8), (1.0, 1.0, 1.0), (0, 1, 2))
        super().__init__([subject], config, PRIOR)
        self.volume = image

    def _slab(self, rng: np.random.Generator, cut: object) -> Slab:
        return Slab(self.volume, (1.0, 1.0, 1.0), (1, 0))


@pytest.mark.parametrize("degradation", [0, 1])
@pytest.mark.parametrize("lie", [0, 1])
def test_training_and_use_show_the_network_the_same(degradation: int, lie: int) -> None:
    """Guards against drift: m, phases and description of an example are those of the same volume when it is bound."""
    rng = np.random.default_rng(1)
    image = (rng.random((18, 32, 32)) + 0.2).astype(np.float32)  # slices, rows, columns: axes 2, 1 and 0 of a patient
    shares = [tuple(float(i == k) for i in range(n)) for n, k in ((3, degradation), (4, lie))]
    config = EnhanceConfig(
        factor=(2, 2), usual=1, noisy=0, labels=0, patch=24, resampled=0, degradations=shares[0], lies=shares[1]
    )
    batch = Whole(image, config).batch(0, 0, 1)
    coarse = (1, 2) if lie == 0 else (1, 0)
    volume = image.transpose(2, 1, 0)
    axes = {a: {0: 2, 1: 1, 2: 0}[a] for a in coarse}
    bound = _bound(volume, tuple(sorted(axes.values())), ("box", "kspace")[degradation])
    plane = Plane(2, 1)
    start = _place(batch.truth[0, :, :, :].numpy(), image)
    window = tuple(slice(a, a + n) for a, n in zip(start, (6, 24, 24), strict=True))
    seen = bound.m[0].numpy().transpose(2, 1, 0)[window] * bound.scale
    np.testing.assert_allclose(batch.m[0].numpy(), seen, atol=2e-4)
    maps = bound.maps(plane)[0].numpy()[:, window[1], window[2]]
    np.testing.assert_allclose(batch.phase[0].numpy(), maps, atol=1e-4)
    told = bound.vectors(plane, [start[0] + PRIOR.halo])[0].numpy()
    np.testing.assert_allclose(batch.vector[0].numpy(), told, atol=1e-4)
    assert abs(float(batch.spread[0]) - bound.residual) < 1e-5


def _bound(volume: np.ndarray, coarse: tuple[int, ...], degradation: str) -> BoundGrid:
    from voxprior.operators.decimation import Refinement, decimate, decimation

    shape = [n // 2 if a in coarse else n for a, n in enumerate(volume.shape)]
    spacing = [2.0 if a in coarse else 1.0 for a in range(3)]
    axes = decimation(shape, spacing, Refinement(coarse, 2.0, degradation))
    y = torch.from_numpy(decimate(volume, axes).astype(np.float32))[None]
    operator = Separable.from_axes(axes, tuple(shape))
    return BoundGrid(SlicePrior(PRIOR), Measurement(operator, y, None, np.eye(4)), degradation)


def _place(part: np.ndarray, whole: np.ndarray) -> tuple[int, int, int]:
    """Where ``part`` was cut from ``whole``."""
    for place in np.ndindex(*(n - m + 1 for n, m in zip(whole.shape, part.shape, strict=True))):
        if whole[place] == part[0, 0, 0]:
            return place[0], place[1], place[2]
    raise AssertionError("not a part")


def test_a_weak_field_keeps_the_contrast_of_the_truth() -> None:
    """MS-09: what is shown has other contrast and noise; what is to be found has the contrast of the strong field."""
    dark = np.random.default_rng(0).random((1, 16, 16)) < 0.5
    image = np.where(dark, 0.4, 1.0).repeat(2, 1).repeat(2, 2).repeat(18, 0).astype(np.float32)
    config = EnhanceConfig(
        factor=(2, 2), usual=1, unchanged=0, labels=0, patch=24, resampled=0, degradations=(0, 0, 1), lies=(1, 0, 0, 0)
    )
    batch = Whole(image, config).batch(0, 0, 1)
    truth, shown, bright = batch.truth[0].numpy(), batch.m[0].numpy(), batch.truth[0].numpy() > 0.7
    np.testing.assert_allclose(truth[~bright], 0.4 * truth.max(), rtol=1e-5)
    assert np.median(shown[~bright]) / np.median(shown[bright]) > 0.45
    assert shown[bright].std() > 0.01 and truth[bright].std() < 1e-5
    assert batch.vector[0, PLACE + 3] == 1


def _config(data: Path, output: Path, **changes: object) -> FitConfig:
    return FitConfig(
        data=data, output=output, prior=PRIOR, examples=CONFIG, steps=2, batch=1, accelerator="cpu", save_every=2,
        **changes,  # type: ignore[arg-type]
    )


def test_settings_pick_the_task_and_a_training_runs(data_folder: Path, tmp_path: Path) -> None:
    """Two steps and a validation against cubic interpolation in plane and of a weak field."""
    config = _config(data_folder, tmp_path)
    assert isinstance(config.examples, EnhanceConfig) and isinstance(make_task(config), EnhanceTask)
    again = FitConfig.model_validate(config.model_dump(mode="json"))
    assert again == config
    fit(config)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert set(lines[-1]["gain"]) == {"c box", "c 1.5t"}


def test_a_training_begins_as_the_prior_of_slices_that_it_starts_from(data_folder: Path, tmp_path: Path) -> None:
    """Guards ``start``: with zeros for the new inputs the first state is the given network, phases of rows in place."""
    torch.manual_seed(3)
    narrow = SlicePrior(SlicePriorConfig(channels=(8, 8), blocks=(1, 1)))
    for p in narrow.parameters():
        torch.nn.init.normal_(p, std=0.1)
        p.data = p.data.half().float()
    export(narrow, tmp_path / "a.safetensors", dict.fromkeys(("licence", "data", "training", "figures"), ""))
    run = Run(_config(data_folder, tmp_path / "out", start=tmp_path / "a.safetensors"))
    assert isinstance(run.prior, SlicePrior)
    x, m = torch.rand(2, 1, 6, 8, 8)
    phase, vector = torch.randn(1, 4, 8, 8), torch.randn(1, PLACE + 4)
    phase[:, :2] = phase[:, :2, :, :1]
    sigma, spread = torch.tensor([0.2]), torch.tensor([0.1])
    wide = run.prior(x, m, phase, sigma, spread, vector)
    for a, b in zip(narrow(x, m, phase[:, :2, :, 0], sigma, spread, vector[:, :FEATURES]), wide, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
