"""From a checkpoint to weights: the average, in half precision, with a card whose figures are measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from voxprior.cli.app import main
from voxprior.errors import InputError
from voxprior.priors.denoiser import SlicePriorConfig
from voxprior.priors.weights import load
from voxprior.training.config import FitConfig
from voxprior.training.examples import ExampleConfig
from voxprior.training.fit import fit
from voxprior.training.publish import learning_curve, publish


def _config(data: Path, output: Path) -> FitConfig:
    return FitConfig(
        data=data,
        output=output,
        prior=SlicePriorConfig(channels=(8, 8), blocks=(1, 1)),
        examples=ExampleConfig(patch=32, spacing=(2.0, 4.0), resampled=0.0),
        steps=2,
        decay=1,
        batch=2,
        accelerator="cpu",
    )


def test_published_weights_are_the_average_with_a_card(data_folder: Path, tmp_path: Path) -> None:
    """The file holds the weight average, not the last weights; the card names subjects of fit and tune only."""
    config = _config(data_folder, tmp_path / "run")
    checkpoint = load_file(fit(config))
    card = publish(config, tmp_path / "tiny.safetensors")
    weights = load(str(tmp_path / "tiny.safetensors"))
    for name, value in weights.prior.state_dict().items():
        assert torch.equal(value, checkpoint[f"ema.{name}"].half().float())
    assert card["data"]["fit"] == ["a", "b", "f"] and card["data"]["tune"] == ["c"]
    assert set(card["figures"]["gain_over_cubic"]) == {"c x2", "c x3", "c x5", "c x8"}
    assert card["training"]["steps"] == 2
    assert str(tmp_path) not in (tmp_path / "tiny.json").read_text()
    assert [line["step"] for line in learning_curve(config.output)] == [2]


def test_nothing_is_published_without_a_checkpoint(data_folder: Path, tmp_path: Path) -> None:
    """A folder that was never trained in is named."""
    with pytest.raises(InputError, match="train first"):
        publish(_config(data_folder, tmp_path), tmp_path / "none.safetensors")


def test_the_command_packs_and_trains_from_the_pack(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--pack writes one file, settings that name it as data train, and --publish makes weights of the result."""
    settings = tmp_path / "c.yaml"
    values = _config(data_folder, tmp_path / "run").model_dump(mode="json")
    settings.write_text(yaml.safe_dump(values))
    assert main(["train", str(settings), "--pack", str(tmp_path / "p.npz")]) == 0
    settings.write_text(yaml.safe_dump(values | {"data": str(tmp_path / "p.npz")}))
    assert main(["train", str(settings)]) == 0
    assert main(["train", str(settings), "--publish", str(tmp_path / "w.safetensors")]) == 0
    assert (tmp_path / "w.json").is_file()
    assert main(["train", str(settings), "--pack", str(tmp_path / "p.zip")]) == 2
    assert ".npz" in capsys.readouterr().err
