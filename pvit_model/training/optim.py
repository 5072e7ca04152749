"""Optimiser, its parameter groups, and averaged weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from torch import nn

from pvit_model.backbones.base import Backbone
from pvit_model.recipes.config import OptimConfig

BACKBONE = "backbone."
"""How names of a network's parameters begin that are its backbone's."""

PROMPT = "prompt"
"""What parameters that belong to prompts have in their names."""


def decays(name: str, parameter: nn.Parameter, spared: Collection[str]) -> bool:
    """Whether weight decay acts on a parameter: matrices and kernels do, norms, biases, prompts and `spared` do not.

    As facebookresearch/SlowFast does with `SOLVER.ZERO_WD_1D_PARAM` and `MVIT.ZERO_DECAY_POS_CLS`; its Kinetics recipes
    leave the latter off and decay the class token and positions, as `optim.decay_all` does here with everything.
    """
    return parameter.ndim > 1 and PROMPT not in name and name not in spared


def depths(backbone: Backbone) -> dict[str, int]:
    """How many blocks lie between a backbone's parameter and the output: 0 for what follows the last block.

    What comes before the first block (patch embedding, positions) counts as one block more. Layer-wise decay as in BEiT
    (Bao et al., 2022); prompts start from nothing and are treated like heads.
    """
    blocks = list(backbone.blocks)
    block_of = {p: i for i, block in enumerate(blocks) for p in block.parameters()}
    found, passed = {}, False
    for name, parameter in backbone.named_parameters():
        inside = parameter in block_of
        passed = passed or inside
        outside = 0 if passed else len(blocks) + 1
        found[name] = len(blocks) - block_of[parameter] if inside else outside
    return found


def parameter_groups(
    model: nn.Module, config: OptimConfig, further: Iterable[tuple[str, nn.Parameter]] = ()
) -> list[dict[str, float | str | list[nn.Parameter] | list[str]]]:
    """Trainable parameters grouped by decay and learning-rate factor, in a fixed order.

    Returns:
        Groups with `params`, their `names`, `weight_decay`, and `factor` (learning rate over the schedule's).
    """
    spared: set[str] = set()
    layers: dict[str, int] = {}
    if isinstance(backbone := getattr(model, "backbone", None), Backbone):
        spared = {f"{BACKBONE}{name}" for name in backbone.undecayed()}
        layers = depths(backbone) if config.layer_decay != 1 else {}
    groups: dict[tuple[bool, bool, int], tuple[list[str], list[nn.Parameter]]] = {}
    for name, parameter in (*model.named_parameters(), *further):
        if not parameter.requires_grad:
            continue
        decay = config.decay_all or decays(name, parameter, spared)
        depth = layers.get(name.removeprefix(BACKBONE), 0) if name.startswith(BACKBONE) else 0
        key = (decay, name.startswith(BACKBONE), depth)
        names, members = groups.setdefault(key, ([], []))
        names.append(name)
        members.append(parameter)
    return [
        {
            "params": members,
            "names": names,
            "weight_decay": config.weight_decay if decay else 0.0,
            "factor": config.layer_decay**depth * (1.0 if inside else config.head_lr_factor),
        }
        for (decay, inside, depth), (names, members) in sorted(groups.items(), reverse=True)
    ]


def make_optimizer(
    model: nn.Module, config: OptimConfig, further: Iterable[tuple[str, nn.Parameter]] = ()
) -> torch.optim.Optimizer:
    """The optimiser over a model's trainable parameters, and over `further` ones by name."""
    groups = parameter_groups(model, config, further)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, betas=config.betas, eps=config.eps)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets every group to `lr` times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]


class Ema:
    """Exponentially averaged weights of a model's floating-point tensors.

    Args:
        model: whose tensors to average.
        decay: weight of the past, e.g. 0.9999.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Takes in the weights after step `step` (0-based); early steps average over fewer, so it forgets the start."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            # The model may have moved to an accelerator since the averages were made or restored.
            mean = self.tensors[name] = self.tensors[name].to(value.device)
            if value.is_floating_point():
                mean.lerp_(value.to(mean.dtype), 1 - decay)
            else:
                mean.copy_(value)
