"""Values over all ranks of a run: added up, gathered from shards, spread over shards. One process is a rank, too."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor

MAX_AXES = 8  # of a tensor whose shape not every rank knows


def all_reduce(values: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The sum of a tensor over all ranks; unchanged outside a process group."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    shared = values.cuda() if dist.get_backend() == "nccl" else values.clone()
    dist.all_reduce(shared)
    return shared.to(values.device)


def own_rank() -> tuple[int, int]:
    """This process's number and the number of processes."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def all_gather_rows(values: Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "m ..."]:
    """The rows of all ranks, rank after rank; ranks may have different numbers of them, of one shape and type."""
    if own_rank()[1] == 1:
        return values
    shared = values.cuda() if dist.get_backend() == "nccl" else values
    count = torch.tensor([len(values)], device=shared.device)
    counts = [torch.zeros_like(count) for _ in range(own_rank()[1])]
    dist.all_gather(counts, count)
    most = max(int(c) for c in counts)
    padded = shared.new_zeros((most, *values.shape[1:]))
    padded[: len(values)] = shared
    parts = [torch.zeros_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    rows = [part[: int(c)] for part, c in zip(parts, counts, strict=True)]
    return torch.cat(rows).to(values.device)


def all_reduce_shaped(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The sum over all ranks of tensors of one shape; a rank that has none gives a scalar 0."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    shape = torch.zeros(1 + MAX_AXES, dtype=torch.int64)
    shape[: 1 + values.ndim] = torch.tensor([values.ndim, *values.shape])
    shared = shape.cuda() if dist.get_backend() == "nccl" else shape
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    axes, *sizes = shared.tolist()
    return all_reduce(values if values.ndim == axes else values.new_zeros(sizes[:axes]))


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
