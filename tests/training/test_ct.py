"""Training on CT: the top of a volume is never trained on, densities change but air stays, the card says so."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from tests.training.conftest import COLUMNS, _head

from voxprior.errors import InputError
from voxprior.priors.denoiser import SlicePriorConfig
from voxprior.training.augment import density
from voxprior.training.config import FitConfig
from voxprior.training.data import load_ct
from voxprior.training.examples import ExampleConfig
from voxprior.training.fit import fit
from voxprior.training.publish import publish
from voxprior.training.task import CtTask, make_task

PRIOR = SlicePriorConfig(slab=2, halo=1, channels=(8, 8), blocks=(1, 1), image_std=0.7)


@pytest.fixture(scope="module")
def ct_folder(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The MR volumes, a CT of 40 slices, LPS, whose slice k has k HU in its corner, and one of the test split."""
    folder = tmp_path_factory.mktemp("ct")
    (folder / "train").symlink_to(data_folder / "train")
    (folder / "labels").symlink_to(data_folder / "labels")
    (folder / "ct").mkdir()
    hu = _head(7, (44, 40, 40)).astype(np.int16) * 8 - 1000
    hu[0, 0] = np.arange(40)
    for name in ("thorax", "abdomen"):
        image = nibabel.Nifti1Image(hu, np.diag([-1.5, -1.5, 2.0, 1.0]))
        image.header.set_data_dtype(np.int16)
        image.to_filename(folder / "ct" / f"{name}.nii.gz")
    with (data_folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    rows += [["ct/thorax.nii.gz", "train", "fit", "thorax", "CT", ""],
             ["ct/abdomen.nii.gz", "test", "", "abdomen", "CT", ""]]
    assert tuple(rows[0]) == COLUMNS
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return folder


def _config(data: Path, output: Path, **changes: object) -> FitConfig:
    examples = ExampleConfig(ct=0.5, kinds=(0, 0, 1), patch=32, voxel=(1.2, 2.0))
    values = {"data": data, "output": output, "prior": PRIOR, "examples": examples, "steps": 4, "batch": 4, "warmup": 2,
              "decay": 2, "accelerator": "cpu", "validate_every": 4, "save_every": 2}
    return FitConfig(**{**values, **changes})  # type: ignore[arg-type]


def test_the_top_fifth_is_held_back(ct_folder: Path) -> None:
    """Of 40 slices the lower 32 are trained on and the upper 8 are not; the test volume is neither."""
    (fit_part,), (held,) = load_ct(ct_folder, ("fit",)), load_ct(ct_folder, ("tune",))
    assert (fit_part.name, held.name) == ("thorax", "thorax")
    corner = fit_part.codes[-1, -1], held.codes[-1, -1]  # LPS is turned to RAS
    assert corner[0].tolist() == list(range(32)) and corner[1].tolist() == list(range(32, 40))
    assert fit_part.voxel == (1.5, 1.5, 2.0)


def test_air_is_0_and_water_is_1(ct_folder: Path) -> None:
    """The scale is that of the attenuation of water, whatever the brightness of the volume."""
    (part,) = load_ct(ct_folder, ("fit",))
    assert np.allclose(part.image[part.codes == -1000], 0)
    assert np.allclose(part.image, np.clip(part.codes, -1000, 2000) / 1000 + 1, atol=1e-6)


def test_without_ct_it_is_said(data_folder: Path) -> None:
    """A data folder of MR alone is no source for CT."""
    with pytest.raises(InputError, match="no CT volume"):
        load_ct(data_folder, ("fit",))


def test_densities_keep_air_and_order() -> None:
    """Air stays 0, denser stays denser, water stays within some percent of 1."""
    ramp = np.linspace(0, 3, 301, dtype=np.float32).reshape(1, 1, -1)
    for seed in range(20):
        changed = density(ramp, np.random.default_rng(seed))[0, 0]
        assert changed[0] == 0 and np.all(np.diff(changed) > 0)
        assert abs(changed[100] - 1) < 0.061


def test_examples_are_of_both_kinds_in_their_share(ct_folder: Path, tmp_path: Path) -> None:
    """Half of the examples are CT (water near 1 fills the body), and none is told a measurement."""
    task = make_task(_config(ct_folder, tmp_path))
    assert isinstance(task, CtTask)
    examples = task.examples
    drawn = [examples.subjects[int(np.random.default_rng(i).choice(len(examples.subjects), p=examples.weight))].modality
             for i in range(400)]
    assert 0.4 < np.mean([m == "CT" for m in drawn]) < 0.6
    batch = task.batch(1, 2, 8)
    again = task.batch(1, 2, 8)
    assert all(torch.equal(a, b) for a, b in zip(batch, again, strict=True))
    assert batch.truth.shape == (8, 4, 32, 32) and bool((batch.m == 0).all()) and set(batch.kind.tolist()) == {2}


def test_a_training_ends_in_weights_with_a_card(ct_folder: Path, tmp_path: Path) -> None:
    """Training, validation by few views, and a card that says which slices were held back."""
    config = _config(ct_folder, tmp_path / "run")
    fit(config)
    assert (tmp_path / "run" / "thorax-36-views.png").is_file()
    card = publish(config, tmp_path / "w.safetensors")
    assert card["data"]["held_back"] == "top fifth of the slices of ct" and card["data"]["ct"] == ["thorax"]
    assert set(card["figures"]["psnr"]) == {"thorax 18 views", "thorax 36 views", "thorax 60 views"}
    assert "gain_over_tv" in card["figures"]
