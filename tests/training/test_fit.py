"""The training loop: it learns, it resumes to the bit, and the average is what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from voxprior.errors import InputError
from voxprior.priors.denoiser import SlicePriorConfig
from voxprior.training.config import FitConfig, read_config
from voxprior.training.data import load_subjects
from voxprior.training.examples import ExampleConfig, Examples
from voxprior.training.fit import CHECKPOINT, LOG, Run, fit, main
from voxprior.training.loss import denoising_loss, noise_levels


def _config(data: Path, output: Path, **changes: object) -> FitConfig:
    return FitConfig(
        data=data,
        output=output,
        prior=SlicePriorConfig(channels=(8, 8), blocks=(1, 1)),
        examples=ExampleConfig(patch=32, spacing=(2.0, 4.0), resampled=0.0),
        steps=6,
        batch=2,
        warmup=2,
        decay=2,
        accelerator="cpu",
        validate_every=100,
        save_every=3,
        **changes,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def trained(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(_config(data_folder, tmp_path_factory.mktemp("run")))


def test_a_resumed_training_is_the_same_to_the_bit(data_folder: Path, trained: Path, tmp_path: Path) -> None:
    """Stopped after three steps and taken up again, all weights, averages and moments equal those of one run."""
    config = _config(data_folder, tmp_path)
    fit(config, minutes=0)  # stops after its first step, as a kill after a save would
    fit(config)
    one, two = load_file(trained), load_file(tmp_path / CHECKPOINT)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_weights_move_and_the_average_follows(data_folder: Path, trained: Path) -> None:
    """Training changes the weights, and the average is neither them nor the start."""
    tensors, start = load_file(trained), Run(_config(data_folder, trained.parent)).prior.state_dict()
    key = "network.head.weight"
    assert not torch.equal(tensors[f"model.{key}"], start[key])
    assert not torch.equal(tensors[f"ema.{key}"], tensors[f"model.{key}"])


def test_the_log_holds_losses_and_a_validation_by_reconstruction(trained: Path) -> None:
    """The log has a line a save, and the gain over cubic on the held-back subject at the end."""
    lines = [json.loads(line) for line in (trained.parent / LOG).read_text().splitlines()]
    assert {line["step"] for line in lines if "loss" in line} == {3, 6}
    gains = [line["gain"] for line in lines if "gain" in line]
    assert set(gains[-1]) == {"c x2", "c x5"} and (trained.parent / "c-x5.png").is_file()


def test_the_loss_falls_on_a_fixed_batch(data_folder: Path, tmp_path: Path) -> None:
    """Forty steps on one batch bring its error down by a tenth at least."""
    config = _config(data_folder, tmp_path)
    run = Run(config)
    batch = Examples(load_subjects(data_folder, ("fit",)), config.examples, 6, 0.45).batch(0, 0, 4)
    generator = torch.Generator().manual_seed(0)
    sigma = noise_levels(batch, run.prior, 1.2, generator)
    noise = torch.randn(batch.truth.shape, generator=generator)
    optimiser = torch.optim.Adam(run.prior.parameters(), 3e-3)
    errors = []
    for _ in range(40):
        loss = denoising_loss(run.prior, batch, sigma, noise, 0.05)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        errors.append(float(loss.error.mean()))
    assert errors[-1] < 0.9 * errors[0]


def test_mean_examples_do_not_depend_on_the_noise(data_folder: Path, tmp_path: Path) -> None:
    """The noisy input of a mean example is exactly m, so its error is the same for any noise."""
    config = _config(data_folder, tmp_path)
    run = Run(config)
    torch.nn.init.normal_(run.prior.network.head.weight, std=0.1)
    batch = Examples(load_subjects(data_folder, ("fit",)), config.examples, 6, 0.45).batch(0, 0, 16)
    sigma = noise_levels(batch, run.prior, 1.2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        errors = [denoising_loss(run.prior, batch, sigma, torch.randn(batch.truth.shape), 0.0).error for _ in range(2)]
    mean = batch.kind == 0
    assert torch.equal(errors[0][mean], errors[1][mean]) and not torch.equal(errors[0][~mean], errors[1][~mean])
    assert (sigma[mean] == 20).all() and (sigma <= 20).all()


def test_another_network_does_not_resume(data_folder: Path, trained: Path) -> None:
    """A checkpoint of other channels is refused by name, not loaded in part."""
    config = _config(data_folder, trained.parent)
    other = config.model_copy(update={"prior": SlicePriorConfig(channels=(16, 8), blocks=(1, 1))})
    with pytest.raises(InputError, match="another network"):
        fit(other)


def test_a_checkpoint_from_before_a_new_setting_resumes(data_folder: Path, trained: Path) -> None:
    """Guards checkpoints against new settings with a default: what an old one does not name had that."""
    run = Run(_config(data_folder, trained.parent))
    said = run.config.prior.model_dump(mode="json", exclude={"sigma_min"})
    assert run._is_of(json.dumps(said))
    assert not run._is_of(json.dumps({**said, "sigma_max": 3.0})) and not run._is_of('{"unheard_of": 1}')


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("data: d\noutput: o\nsteps: many", "steps"),
        ("data: d\noutput: o\ncolour: red", "colour"),
        ("- a", "no settings"),
        ("a: [", "YAML"),
        ("batch: 2", "data"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, word: str) -> None:
    """A wrong or unknown entry of the YAML is named in one line."""
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=word) as caught:
        read_config(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)


def test_the_yaml_is_the_config(data_folder: Path, tmp_path: Path) -> None:
    """A config written as YAML and read back is the same, and trains through the command's entry."""
    config = _config(data_folder, tmp_path / "out", threads=1).model_copy(update={"steps": 1, "decay": 0})
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert read_config(tmp_path / "c.yaml") == config
    assert main(tmp_path / "c.yaml").is_file()
