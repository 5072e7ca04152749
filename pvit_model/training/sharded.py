"""Training memory, two ways to need less of it: recomputed activations, and weights in shards over the ranks (FSDP2).

A sharded run keeps a second, whole network per rank for validation and checkpoints, filled only when one is due. So
checkpoints look alike with and without shards, and resume either way.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pvit_data.errors import ConfigError
from pvit_model.recipes.config import TrainConfig

if TYPE_CHECKING:
    from pvit_model.network.pvit import PViT


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The blocks of a network's backbone.

    Raises:
        ConfigError: if the backbone has no `blocks`.
    """
    found = getattr(network.backbone, "blocks", None)
    if found is None:
        raise ConfigError(
            "run.checkpoint_activations and run.strategy=fsdp need a backbone with `blocks`"
        )
    return list(cast(Iterable[nn.Module], found))


def recompute_blocks(network: nn.Module) -> None:
    """Keeps only the blocks' inputs for the backward pass; the same gradients, bit for bit on a CPU."""
    for block in blocks_of(network):
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
    for block in blocks_of(sharded):
        fully_shard(block, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    return sharded


def whole(tensor: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
    """The full values of a tensor that may be in shards. Every rank must ask."""
    return cast(Any, tensor).full_tensor() if hasattr(tensor, "full_tensor") else tensor


def like(value: Shaped[Tensor, "*n"], parameter: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
    """Values of a parameter's shape, placed (and spread over ranks) as the parameter is."""
    if not hasattr(parameter, "full_tensor"):
        return value.to(parameter.device)
    from torch.distributed.tensor import distribute_tensor

    spread = cast(Any, parameter)
    return distribute_tensor(value.to(parameter.device), spread.device_mesh, spread.placements)


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
