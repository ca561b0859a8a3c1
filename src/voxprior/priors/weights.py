"""Committed, local or hub weights: safetensors with a card beside them, checked before use; never random ones."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from voxprior.errors import InputError
from voxprior.priors.denoiser import SlicePrior, SlicePriorConfig
from voxprior.priors.hub import fetch
from voxprior.priors.kinds import NAMES, Prior, make_prior
from voxprior.priors.volume import VolumePriorConfig
from voxprior.priors.widening import KEY
from voxprior.registry import weights_place

FOLDER = Path(__file__).parent.parent / "weights"
"""Weights that the package carries."""
DEFAULT = "head-slices"
P = TypeVar("P", bound=Prior)
CONFIGS: dict[str, type[Any]] = {"slice-prior": SlicePriorConfig, "volume-prior": VolumePriorConfig}
CARD_KEYS = ("name", "kind", "config", "sha256", "licence", "data", "training", "figures")


@dataclass(frozen=True, eq=False)
class Weights(Generic[P]):
    """A prior ready for use, with its card and the sha256 of its file."""

    prior: P
    card: Mapping[str, Any]
    name: str
    sha256: str


def load(name: str = DEFAULT) -> Weights[SlicePrior]:
    """Load weights of a slice prior; see :func:`load_as`."""
    return load_as(name, SlicePrior)


def load_as(name: str, kind: type[P]) -> Weights[P]:
    """Load weights of a ``kind`` of network by bundled name, ``.safetensors`` file (its ``.json`` card beside it) or
    ``hf://owner/repo/file``, as :func:`voxprior.registry.weights_place` reads them.

    Raises :class:`InputError` when the file or its card is missing, cut, changed, or of another network.
    """
    path = _locate(name)
    card = read_card(path.with_suffix(".json"))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name}: weights cannot be read ({error.strerror}); check --weights") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != card["sha256"]:
        raise InputError(f"{path.name}: sha256 differs from its card, the file is cut or changed; fetch it again")
    if card["kind"] != NAMES[kind]:
        raise InputError(f"{path.name}: holds a {card['kind']}, not a {NAMES[kind]}; give other --weights")
    try:
        prior: Any = make_prior(CONFIGS[card["kind"]](**card["config"]))
        state = {k: v.float() for k, v in load_tensors(content).items()}
        prior.load_state_dict(state)
    except (SafetensorError, ValidationError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path.name}: does not fit the network of its card ({reason}); fetch it again") from None
    return Weights(prior.eval().requires_grad_(False), card, str(card["name"]), digest)


class Shelf(Generic[P]):
    """Weights of a kind by name and device, read once however many scans a method restores."""

    def __init__(self, kind: type[P]) -> None:
        self._kind = kind
        self._loaded: dict[tuple[str, str], Weights[P]] = {}

    def __call__(self, name: str, device: str) -> Weights[P]:
        """See :func:`load_as`; on ``device``."""
        if (name, device) not in self._loaded:
            weights = load_as(name, self._kind)
            weights.prior.to(device)
            self._loaded[name, device] = weights
        return self._loaded[name, device]


def read_card(path: Path) -> dict[str, Any]:
    """The card of a weight file; raises :class:`InputError` when it is missing or incomplete."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{path.name}: the card of the weights is missing; keep it beside them") from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise InputError(f"{path.name}: the card of the weights is not JSON; fetch it again") from None
    missing = [key for key in CARD_KEYS if key not in card]
    if missing:
        raise InputError(f"{path.name}: the card lacks {', '.join(missing)}; fetch it again")
    return dict(card)


def bundled() -> dict[str, dict[str, Any]]:
    """Cards of the weights in the package, by name."""
    cards = [read_card(path) for path in sorted(FOLDER.glob("*.json"))]
    return {str(card["name"]): card for card in cards}


def export(prior: Prior, path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Write half-precision weights and their card beside them, atomically; return the finished card."""
    content = save_tensors({k: v.half().contiguous() for k, v in prior.state_dict().items()})
    finished = {
        **{name: value for name, value in card.items() if name != KEY},  # measured with the weights of another file
        "name": path.stem,
        "kind": NAMES[type(prior)],
        "config": prior.config.model_dump(mode="json"),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "parameters": sum(p.numel() for p in prior.parameters()),
        **_cost(prior),
    }
    text = json.dumps(finished, indent=2, sort_keys=True) + "\n"
    for target, data in ((path, content), (path.with_suffix(".json"), text.encode())):
        temporary = target.with_name(target.name + ".part")
        temporary.write_bytes(data)
        os.replace(temporary, target)
    return finished


def _cost(prior: Prior) -> dict[str, int]:
    """Multiply-adds: a voxel and plane of slices, a voxel of volumes (at four fine slices a thick one)."""
    if isinstance(prior, SlicePrior):
        return {"multiply_adds_per_voxel_and_plane": round(prior.network.multiply_adds / prior.config.slab)}
    return {"multiply_adds_per_voxel": round(prior.multiply_adds(4))}


def widened(state: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with zeros for the inputs that the network of ``like`` has besides, so that both are one function.

    Inputs are the second axis of a weight, and those that are new come last in it. A difference of any other kind is
    left as it is, for ``load_state_dict`` to refuse.
    """
    result = dict(state)
    for key, value in state.items():
        wanted = like.get(key)
        if wanted is None or value.ndim < 2 or wanted.ndim != value.ndim or wanted.shape[1] <= value.shape[1]:
            continue
        if wanted.shape[:1] == value.shape[:1] and wanted.shape[2:] == value.shape[2:]:
            new = value.new_zeros(value.shape[0], wanted.shape[1] - value.shape[1], *value.shape[2:])
            result[key] = torch.cat([value, new], dim=1)
    return result


def _locate(name: str) -> Path:
    place = weights_place(name)
    if place.origin == "hub":
        return fetch(place)
    path = place.path
    if path is None or not path.is_file():
        raise InputError(f"{Path(name).name}: no such weight file; check --weights")
    return path
