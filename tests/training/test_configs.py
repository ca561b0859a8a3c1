"""The YAML files that the package carries are valid settings."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from voxprior.diffusion.path import CosineProduct, Ddpm
from voxprior.errors import InputError
from voxprior.networks.unet import UNet
from voxprior.priors.denoiser import SlicePriorConfig
from voxprior.priors.volume import VolumePriorConfig
from voxprior.priors.weights import bundled
from voxprior.training.config import FitConfig, read_config, read_settings
from voxprior.training.distill import DistillConfig
from voxprior.training.fit import _processes

CONFIGS = sorted(Path(str(files("voxprior.configs"))).rglob("*.yaml"))


def _distils(path: Path) -> bool:
    return "voxprior distill" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [p for p in CONFIGS if not _distils(p)], ids=lambda p: p.stem)
def test_every_training_is_valid_and_its_network_can_be_built(path: Path) -> None:
    """Settings validate, and the network they describe exists."""
    config = read_config(path)
    heads = tuple(min(8, n) for n in getattr(config.prior, "heads", ()))
    update = {"channels": (8,) * len(config.prior.channels), **({"heads": heads} if heads else {})}
    assert UNet(config.prior.unet().model_copy(update=update)).multiply_adds > 0


@pytest.mark.parametrize("path", [p for p in CONFIGS if _distils(p)], ids=lambda p: p.stem)
def test_every_distillation_is_valid_and_its_teacher_is_trained_here(path: Path) -> None:
    """Settings validate, and a teacher that they name is one that another of the files makes."""
    config = read_settings(path, DistillConfig)
    assert config.teacher in {p.stem for p in CONFIGS if not _distils(p)}


def test_the_published_processes_are_settings() -> None:
    """Guards the two published trainings: each has its process, and the levels that its sampler walks."""
    found = {p.stem: read_config(p).prior for p in CONFIGS if p.stem in ("os-ddpm-teacher", "mri-sr")}
    teacher, product = found["os-ddpm-teacher"], found["mri-sr"]
    assert isinstance(teacher, VolumePriorConfig) and isinstance(product, VolumePriorConfig)
    assert (teacher.process, product.process) == ("ddpm-linear", "cosine-product")
    assert teacher.sigma_max == pytest.approx(Ddpm().sigma(999), abs=0.01)
    assert product.sigma_max >= CosineProduct().sigma(227) and teacher.heads[-2:] == (4, 4)


CELLS = {"cells": (2, 3)}
MIXED = (({"slab": 2}, CELLS, "slab is no setting"), ({"cosines": 8}, {}, "cosines is no setting"))


def test_the_examples_say_which_prior_it_is() -> None:
    """Guards a volume training whose settings are all fields of a slice prior too: it was one of slices."""
    paths: dict[str, Any] = {"data": "a", "output": "b"}
    config = FitConfig(**paths, prior={"channels": (8, 8, 8), "sigma_max": 10.0}, examples=CELLS)
    assert isinstance(config.prior, VolumePriorConfig) and config.prior.channels == (8, 8, 8)
    assert FitConfig(**paths, examples=CELLS).prior == VolumePriorConfig()
    assert FitConfig(**paths, prior={"channels": (8, 8, 8)}).prior == SlicePriorConfig(channels=(8, 8, 8))
    assert FitConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(("prior", "examples", "said"), MIXED)
def test_a_prior_of_the_other_kind_is_refused_in_a_line(
    prior: Any, examples: Any, said: str, tmp_path: Path
) -> None:
    """Guards the message: which of the two sections does not fit the other."""
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({"data": "a", "output": "b", "prior": prior, "examples": _plain(examples)}))
    with pytest.raises(InputError, match=f"prior: {said}.*volume") as told:
        read_config(path)
    assert "\n" not in str(told.value)
    with pytest.raises(ValidationError, match="volume"):
        FitConfig(data=Path("a"), output=Path("b"), prior=VolumePriorConfig())


def _plain(examples: Any) -> Any:
    return {key: list(value) for key, value in examples.items()}


def test_one_process_is_not_sharded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the message: who asks for FSDP without a second process learns how to have one."""
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    config = FitConfig(data=Path("a"), output=Path("b"), strategy="fsdp", accelerator="cpu")
    with pytest.raises(InputError, match=r"strategy: fsdp .* torchrun"):
        _processes(config)
    monkeypatch.setitem(sys.modules, "lightning_fabric.strategies.model_parallel", None)
    with pytest.raises(InputError, match="needs torch"):
        _processes(config.model_copy(update={"devices": 2}))


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
