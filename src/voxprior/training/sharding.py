"""Fully sharded training: every process holds a part of each weight, of its average, and of the optimiser's state.

The whole exists where a block computes, and when a checkpoint is written; that is why checkpoints are the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from voxprior.errors import InputError
from voxprior.networks.unet import Attention, Block


def sharding() -> Any:
    """The strategy for Fabric; raises :class:`InputError` when torch or Fabric are older than it."""
    try:
        # not Fabric's FSDPStrategy, which is for GPUs alone
        from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
        from torch.distributed.fsdp import fully_shard  # noqa: F401
    except ImportError:
        raise InputError("strategy: fsdp needs torch 2.6 and lightning-fabric 2.4 or newer; or give ddp") from None
    return ModelParallelStrategy(lambda module, mesh: shard(module, mesh.device_type))


def shard(module: nn.Module, device: str) -> nn.Module:
    """Spread the parameters of ``module`` over all processes, in place; a block's are gathered when it is called."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()  # ours are channels-last, which FSDP does not part
    mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
    for part in module.modules():
        if isinstance(part, Block | Attention):
            fully_shard(part, mesh=mesh)
    fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(module, "raw")  # what the loss calls
    return module


def set_up(
    fabric: Any, prior: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[Any, torch.optim.Optimizer]:
    """Shard ``prior``, its ``average`` and ``optimiser``, which goes on from its state.

    Returns the model to call and the optimiser to step. All processes must hold the same values before.
    """
    whole, groups = optimiser.state_dict(), optimiser.param_groups
    state = whole["state"]
    places = {parameter: index for index, parameter in enumerate(p for g in groups for p in g["params"])}
    before = list(prior.parameters())
    model = fabric.setup_module(prior)
    after = dict(zip(before, prior.parameters(), strict=True))
    parts = {
        index: {name: _part(value, after[parameter]) for name, value in state[index].items()}
        for parameter, index in places.items()
        if index in state
    }
    shard(average, fabric.device.type)
    for group in groups:
        group["params"] = [after[parameter] for parameter in group["params"]]
    optimiser.load_state_dict({**whole, "state": parts})
    return model, fabric.setup_optimizers(optimiser)


def _part(value: Tensor, parameter: Any) -> Tensor:
    """What this process holds of ``value`` if it belongs to the elements of ``parameter``; a count stays as it is."""
    from torch.distributed.tensor import distribute_tensor

    if value.shape != parameter.shape:
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
