"""Training memory, two ways to need less of it: recomputed activations, and weights in shards over the ranks (FSDP2).

A sharded run keeps a second, whole network per rank for validation and checkpoints, filled only when one is due. So
checkpoints look alike with and without shards, and resume either way.
"""

from __future__ import annotations

import copy
import functools

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.checkpoint import checkpoint

from pvit_data.errors import ConfigError
from pvit_model.network.pvit import PViT
from pvit_model.ranks import like, whole
from pvit_model.recipes.config import TrainConfig


def recompute_blocks(network: PViT) -> None:
    """Keeps only the blocks' inputs for the backward pass; the same gradients, bit for bit on a CPU."""
    for block in network.backbone.blocks:
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)


def check_sharding(config: TrainConfig) -> None:
    """Refuses what does not go together with shards.

    Raises:
        ConfigError: naming the setting.
    """
    for used, name in (
        (config.optim.ema is not None, "optim.ema"),
        (config.losses.learned, "losses.learned"),
        (config.run.compile, "run.compile"),
        (config.run.precision == "fp16", "run.precision=fp16"),
    ):
        if used:
            raise ConfigError(
                f"run.strategy=fsdp does not work with {name}; leave it out, or use run.strategy=ddp"
            )


def shard(network: PViT, device: torch.device) -> nn.Module:
    """A copy of a network whose parameters are spread over all ranks (PyTorch's FSDP2), a group per block."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    sharded = copy.deepcopy(network).to(device)
    for block in sharded.backbone.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    return sharded


def leave_group(sharded: nn.Module) -> None:
    """Takes the process group from the shards' mesh, which DTensor's caches keep for good: a group that anything still
    holds keeps its threads."""
    for parameter in sharded.parameters():
        getattr(getattr(parameter, "device_mesh", None), "_pg_registry", {}).clear()


def collect(sharded: nn.Module, network: nn.Module) -> None:
    """Fills the whole network from the shards. Every rank must take part."""
    with torch.no_grad():
        network.load_state_dict(
            {name: whole(value) for name, value in sharded.state_dict().items()}
        )


def spread(network: nn.Module, sharded: nn.Module) -> None:
    """Fills the shards from the whole network."""
    own = sharded.state_dict()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            own[name].copy_(like(value, own[name]))
