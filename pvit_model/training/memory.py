"""How much memory a training step needs, estimated before anything is trained or allocated.

One clip runs forward on the device of the run, without labels and with all of them, and what autograd keeps for the
backward pass is added up; weights, gradients and optimiser state are counted, and on a CPU what it takes to work with
them. With recomputed activations the block at work comes on top.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pvit_data.words import memory_text
from pvit_model.network.pvit import PViT
from pvit_model.recipes.config import TrainConfig
from pvit_model.recipes.plan import Plan

SLOTS = {"adam": 2, "adamw": 2, "sgd": 1}
PROCESS = 65 << 20
"""Bytes that a run on a CPU needs whatever its size, beyond what its libraries take when they are imported."""
WORKSPACE = 1.6
"""What kernels, gradients of activations and the allocator's gaps take on a CPU, as a multiple of the activations:
between the 0.8 of the demo and the 2.4 of MViTv2-S, so that the peak of both is met within a factor of 1.5."""


def rows_per_step(plan: Plan, clips: int) -> dict[str, int]:
    """Supervised rows by target name in a micro-batch of `clips`: each source's share, all of it labelled."""
    total = plan.config.mixture.batch_size
    found = dict.fromkeys(plan.targets, 0)
    for source in plan.sources:
        share = -(-round(source.per_batch * clips * 1000) // (1000 * total))
        for name in source.targets:
            if name in found:
                found[name] = min(clips, found[name] + share)
    return found


class SavedBytes:
    """Adds up what autograd keeps, each storage once, without the network's own weights.

    Attributes:
        total: bytes kept. Of recomputed blocks nothing is seen, since they keep nothing.
        inputs: bytes of the blocks' inputs, which recomputed blocks hold.
    """

    def __init__(self, network: PViT) -> None:
        self.total, self.inputs = 0, 0
        self._seen = {
            t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())
        }
        self._kept: list[Any] = []

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self._kept.append(storage)  # alive, so that no later storage takes its address
            self.total += storage.nbytes()
        return tensor

    def _enter(self, block: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.inputs += inputs[0].numel() * inputs[0].element_size()

    @contextlib.contextmanager
    def watching(self, network: PViT) -> Iterator[None]:
        """While a forward pass runs."""
        blocks = network.backbone.blocks
        handles = [block.register_forward_pre_hook(self._enter) for block in blocks]
        try:
            with torch.autograd.graph.saved_tensors_hooks(self._pack, lambda x: x):
                yield
        finally:
            for handle in handles:
                handle.remove()
            self._kept.clear()


@torch.no_grad()
def _forward(network: PViT, plan: Plan, names: tuple[str, ...]) -> SavedBytes:
    """One clip, supervised in the named targets."""
    clip, device = plan.config.clip, next(network.parameters()).device
    video = torch.zeros(1, 3, clip.num_frames, *clip.size, device=device)
    rows = {name: torch.zeros(1, dtype=torch.long, device=device) for name in names}
    saved = SavedBytes(network)
    half = plan.config.run.precision != "fp32" and device.type != "cpu"
    dtype = torch.float16 if plan.config.run.precision == "fp16" else torch.bfloat16
    with (
        torch.enable_grad(),
        saved.watching(network),
        torch.autocast(device.type, dtype, enabled=half),
    ):
        network(video, rows=rows)
    return saved


def activation_bytes(network: PViT, plan: Plan, clips: int) -> int:
    """Bytes that autograd keeps for a micro-batch of `clips` on one rank; the network stays as it is."""
    config = plan.config
    was_training = network.training
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    network.train()
    plain, full = _forward(network, plan, ()), _forward(network, plan, plan.targets)
    network.train(was_training)
    for buffer, before in kept:
        buffer.copy_(before)  # batch norms have seen a black clip
    rows = sum(rows_per_step(plan, clips).values()) / max(1, len(plan.targets))
    total = plain.total * clips + (full.total - plain.total) * rows
    if config.run.checkpoint_activations:
        total += plain.inputs * clips
    if config.run.precision != "fp32" and next(network.parameters()).device.type == "cpu":
        total /= 2  # half precision is emulated on most CPUs, too slow for an estimate
    return round(total)


def state_bytes(config: TrainConfig, parameters: int, trained: int, ranks: int) -> int:
    """Bytes of weights, gradients, optimiser slots and averaged weights on one rank, all float32."""
    shards = ranks if config.run.strategy == "fsdp" else 1
    own = (parameters + trained * (1 + SLOTS[config.optim.name])) / shards
    copies = parameters * ((config.optim.ema is not None) + (shards > 1))
    return round(4 * (own + copies))


def memory_line(network: PViT, plan: Plan, ranks: int = 1) -> str:
    """The plan's line about memory. An estimate is no reason to fail: a network that cannot be traced says so."""
    clips = max(1, -(-plan.config.mixture.batch_size // (ranks * plan.config.optim.accumulate)))
    counts = [(p.numel(), p.requires_grad) for p in network.parameters()]
    state = state_bytes(
        plan.config, sum(n for n, _ in counts), sum(n for n, trained in counts if trained), ranks
    )
    try:
        activations = activation_bytes(network, plan, clips)
    except Exception as error:
        return f"memory     {memory_text(state)} weights and optimiser; activations unknown ({type(error).__name__})"
    device = next(network.parameters()).device
    working = round(PROCESS + WORKSPACE * activations) if device.type == "cpu" else 0
    total = state + activations + working
    line = (
        f"memory     about {memory_text(total)} per rank: {memory_text(state)} weights and optimiser, "
        f"{memory_text(activations)} activations of {clips} clips"
        + (f", {memory_text(working)} to work with" if working else "")
    )
    there = machine_bytes(device)
    if total <= there:
        return line
    return f"{line}; MORE THAN THERE IS HERE ({memory_text(there)}): see 'When memory is short' in docs/training.md"


def machine_bytes(device: torch.device) -> int:
    """Memory of a device in bytes, free or not."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
