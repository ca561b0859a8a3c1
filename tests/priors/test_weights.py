"""Weights are what their card says, or an error: never random numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from voxprior.errors import InputError
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.weights import CARD_KEYS, FOLDER, bundled, export, load

CARD = {"licence": "Apache-2.0", "data": {}, "training": {}, "figures": {}}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    prior = SlicePrior(SlicePriorConfig(channels=(8, 8), blocks=(1, 1)))
    torch.nn.init.normal_(prior.network.head.weight)
    path = tmp_path / "small.safetensors"
    export(prior, path, CARD)
    return path


def test_what_was_saved_is_loaded(saved: Path) -> None:
    """Half precision is all that is lost, and the name and the digest are the card's."""
    weights = load(str(saved))
    again = load(str(saved))
    assert weights.name == "small" and weights.sha256 == weights.card["sha256"]
    assert all(torch.equal(a, b) for a, b in zip(weights.prior.parameters(), again.prior.parameters(), strict=True))
    assert float(weights.prior.network.head.weight.abs().max()) > 0
    assert not any(p.requires_grad for p in weights.prior.parameters())


@pytest.mark.parametrize("cut", [0, 10, 1000, -1])
def test_a_cut_file_is_refused(saved: Path, cut: int) -> None:
    """A truncated download names itself; nothing is filled in."""
    saved.write_bytes(saved.read_bytes()[:cut])
    with pytest.raises(InputError, match="cut or changed"):
        load(str(saved))


def test_one_changed_byte_is_refused(saved: Path) -> None:
    """The digest is over the whole file."""
    content = bytearray(saved.read_bytes())
    content[-3] ^= 1
    saved.write_bytes(bytes(content))
    with pytest.raises(InputError, match="sha256"):
        load(str(saved))


def _edit(path: Path, **changes: object) -> None:
    card = json.loads(path.with_suffix(".json").read_text()) | changes
    path.with_suffix(".json").write_text(json.dumps({k: v for k, v in card.items() if v is not None}))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"config": {"channels": [16, 8], "blocks": [1, 1]}}, "does not fit"),
        ({"config": {"colour": 1}}, "does not fit"),
        ({"kind": "complex-prior"}, "complex-prior"),
        ({"licence": None}, "licence"),
    ],
)
def test_a_wrong_card_is_refused(saved: Path, changes: dict[str, object], word: str) -> None:
    """Another network, another kind of prior, or an incomplete card is an error of one line."""
    _edit(saved, **changes)
    with pytest.raises(InputError, match=word) as caught:
        load(str(saved))
    assert "\n" not in str(caught.value)


def test_missing_parts_are_named(saved: Path, tmp_path: Path) -> None:
    """No file, no card, a card that is not JSON, an unknown name, a malformed hub name: each says so."""
    with pytest.raises(InputError, match="no such"):
        load(str(tmp_path / "none.safetensors"))
    with pytest.raises(InputError, match="bundled"):
        load("nobody")
    with pytest.raises(InputError, match="hf://OWNER"):
        load("hf://owner/file.safetensors")
    saved.with_suffix(".json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        load(str(saved))
    saved.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="card"):
        load(str(saved))


def test_hub_weights_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the hub's library, hf:// says which extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"voxprior\[hub\]"):
        load("hf://owner/repository/file.safetensors")


def test_bundled_weights_load_and_are_small() -> None:
    """Every weight file of the package has a whole card, loads, and is below 8 MB."""
    assert bundled()
    for name, card in bundled().items():
        assert set(CARD_KEYS) <= set(card)
        assert (FOLDER / f"{name}.safetensors").stat().st_size < 8e6
        if card["kind"] == "slice-prior":
            assert load(name).card["sha256"] == card["sha256"]
