"""Networks and optimisers in one file, so that a training can be taken up to the bit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


def write_checkpoint(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
    metadata: Mapping[str, str],
) -> None:
    """Write everything to ``path``, atomically; the names of modules and optimisers begin the keys.

    Of several processes all call it, since each may hold a part, and the first writes.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}.{k}": whole(v) for k, v in module.state_dict().items()}
    for name, optimiser in optimisers.items():
        for i, values in optimiser.state_dict()["state"].items():
            tensors |= {f"{name}.{i}.{k}": whole(torch.as_tensor(v)) for k, v in values.items()}
    if torch.distributed.is_available() and torch.distributed.is_initialized() and torch.distributed.get_rank() != 0:
        return
    temporary = path.with_name(path.name + ".part")
    save_file(tensors, temporary, dict(metadata))
    os.replace(temporary, path)


def whole(tensor: Tensor) -> Tensor:
    """``tensor`` on the processor, gathered from all processes where each holds a part."""
    gather = getattr(tensor, "full_tensor", None)
    gathered: Tensor = tensor if gather is None else gather()
    return gathered.detach().cpu().contiguous()


def read_metadata(path: Path) -> dict[str, str]:
    """What :func:`write_checkpoint` was told of the training."""
    with safe_open(path, framework="pt") as archive:
        return dict(archive.metadata())


def read_checkpoint(
    path: Path, modules: Mapping[str, nn.Module], optimisers: Mapping[str, torch.optim.Optimizer]
) -> None:
    """Take up what :func:`write_checkpoint` wrote."""
    with safe_open(path, framework="pt") as archive:
        tensors = {k: archive.get_tensor(k) for k in archive.keys()}
    for name, module in modules.items():
        prefix = name + "."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    for name, optimiser in optimisers.items():
        state: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            if key.startswith(name + "."):
                _, index, part = key.split(".", 2)
                state.setdefault(int(index), {})[part] = value
        full = optimiser.state_dict()
        full["state"] = state
        optimiser.load_state_dict(full)
