"""Values over all ranks of a run: added up, gathered from shards, spread over shards. One process is a rank, too."""

from __future__ import annotations

from typing import Any, cast

import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor


def all_reduce(values: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The sum of a tensor over all ranks; unchanged outside a process group."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    shared = values.cuda() if dist.get_backend() == "nccl" else values.clone()
    dist.all_reduce(shared)
    return shared.to(values.device)


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
