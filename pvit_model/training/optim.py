"""Optimiser, parameter groups and the learning-rate schedule.

The schedule is a pure function of the step number, so a resumed run needs nothing but that number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from pvit_model.recipes.config import OptimConfig

NO_DECAY_WORDS = ("prompt", "pos_embed", "cls_token", "rel_pos")
BLOCK = re.compile(r"backbone\.blocks\.(\d+)\.")


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay acts on a parameter: matrices and kernels do, norms, biases, tokens and positions do not.

    As facebookresearch/SlowFast does with `SOLVER.ZERO_WD_1D_PARAM` and `MVIT.ZERO_DECAY_POS_CLS`; its Kinetics recipes
    leave the latter off and decay the class token and positions, as `optim.decay_all` does here with everything.
    """
    return parameter.ndim > 1 and not any(word in name for word in NO_DECAY_WORDS)


def depth_of(name: str, blocks: int) -> int:
    """How many blocks of the backbone lie between a parameter and the output: 0 for heads, norm and prompts.

    The patch embedding and the positions count as one block more than the first. Layer-wise decay as in BEiT (Bao et
    al., 2022); prompts start from nothing and are treated like heads.
    """
    if not name.startswith("backbone.") or name.startswith("backbone.norm."):
        return 0
    found = BLOCK.match(name)
    return blocks - int(found[1]) if found else blocks + 1


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]], config: OptimConfig
) -> list[dict[str, float | str | list[nn.Parameter] | list[str]]]:
    """Trainable parameters grouped by decay and learning-rate factor, in a fixed order.

    Returns:
        Groups with `params`, their `names`, `weight_decay`, and `factor` (learning rate over the schedule's).
    """
    given = list(named)
    blocks = 1 + max((int(m[1]) for name, _ in given if (m := BLOCK.match(name))), default=-1)
    groups: dict[tuple[bool, bool, int], tuple[list[str], list[nn.Parameter]]] = {}
    for name, parameter in given:
        if not parameter.requires_grad:
            continue
        decay = config.decay_all or decays(name, parameter)
        depth = depth_of(name, blocks) if config.layer_decay != 1 else 0
        names, members = groups.setdefault((decay, name.startswith("backbone."), depth), ([], []))
        names.append(name)
        members.append(parameter)
    return [
        {
            "params": members,
            "names": names,
            "weight_decay": config.weight_decay if decay else 0.0,
            "factor": config.layer_decay**depth * (1.0 if backbone else config.head_lr_factor),
        }
        for (decay, backbone, depth), (names, members) in sorted(groups.items(), reverse=True)
    ]


def make_optimizer(
    model: nn.Module, config: OptimConfig, further: Iterable[tuple[str, nn.Parameter]] = ()
) -> torch.optim.Optimizer:
    """The optimiser over a model's trainable parameters, and over `further` ones by name."""
    groups = parameter_groups([*model.named_parameters(), *further], config)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, betas=config.betas, eps=config.eps)


def peak_lr(config: OptimConfig, batch_size: int) -> float:
    """The peak learning rate for a global batch: as stated, or scaled with the batch where `scale_lr` says so."""
    if config.scale_lr == "linear" and config.lr_batch:
        return config.lr * batch_size / config.lr_batch
    return config.lr


def lr_at(step: int, num_steps: int, peak: float, config: OptimConfig) -> float:
    """The learning rate of step `step` (0-based) of `num_steps`: linear warm-up, then half a period of a cosine.

    >>> lr_at(50, 100, 1.0, OptimConfig())
    0.5
    """
    if step < config.warmup_steps:
        return peak * (step + 1) / config.warmup_steps
    span = max(1, num_steps - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / span)
    return config.final_lr + (peak - config.final_lr) * 0.5 * (1 + math.cos(math.pi * progress))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets every group to `lr` times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]


def names_of(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, nn.Parameter]]:
    """(name, parameter) pairs in the optimiser's own order."""
    for group in optimizer.param_groups:
        yield from zip(group["names"], group["params"], strict=True)


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
