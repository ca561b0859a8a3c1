"""The YAML files that the package carries are valid settings."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from voxprior.errors import InputError
from voxprior.networks.unet import UNet
from voxprior.priors.weights import bundled
from voxprior.training.config import read_config

CONFIGS = sorted(Path(str(files("voxprior.configs"))).rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_is_valid_and_its_network_can_be_built(path: Path) -> None:
    """Settings validate, and the network they describe exists."""
    config = read_config(path)
    narrow = config.prior.unet().model_copy(update={"channels": (8,) * len(config.prior.channels)})
    assert UNet(narrow).multiply_adds > 0


def test_sharding_is_refused_with_what_to_use(tmp_path: Path) -> None:
    """Guards the message: who asks for FSDP learns of ddp in a line."""
    path = tmp_path / "a.yaml"
    path.write_text("data: a\noutput: b\nstrategy: fsdp\n")
    with pytest.raises(InputError, match=r"strategy: .*give ddp"):
        read_config(path)


def test_the_shipped_prior_is_within_its_budget() -> None:
    """At most 64 thousand multiply-adds an output voxel, both planes together."""
    assert 2 * bundled()["head-slices"]["multiply_adds_per_voxel_and_plane"] <= 64_000


def test_the_shipped_weights_were_made_by_the_shipped_config() -> None:
    """Card and YAML agree on the network, the examples and the length of the training."""
    card = bundled()["head-slices"]
    config = read_config(next(p for p in CONFIGS if p.stem == "head-slices"))
    assert type(config.prior)(**card["config"]) == config.prior
    settings = config.model_validate({**card["training"]["settings"], "data": config.data, "output": config.output})
    for key in ("examples", "steps", "batch", "rate", "seed", "ema"):
        assert getattr(settings, key) == getattr(config, key)


def test_the_page_on_training_data_counts_what_the_card_counts() -> None:
    """The table of docs/training-data.md adds up to the card's volumes of each modality."""
    page = (Path(__file__).parents[2] / "docs" / "training-data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (\d+) \|$", page, flags=re.MULTILINE)
    words = {"T1w+Gd": "gadolinium", "T2w": "T2w", "FLAIR": "FLAIR", "labels": "label maps"}
    found = {name: sum(int(n) for what, n in rows if word in what) for name, word in words.items()}
    found["T1w"] = sum(int(n) for what, n in rows) - sum(found.values())
    assert found == bundled()["head-slices"]["data"]["modalities"]
