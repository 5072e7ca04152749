"""All backbones beside each other in one run: parameters, multiply-adds, memory, and seconds of a step on this machine.

A step is forward and backward of one clip of the backbone's own size, float32, on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from pvit_model.backbones import DEFAULT
from pvit_model.config import make_config
from pvit_model.network.info import ModelInfo, describe
from pvit_model.network.pvit import PViT


@dataclass(frozen=True)
class Compared:
    """One backbone's row.

    Args:
        info: its costs.
        step_s: seconds of a step.
        relative: these over those of the paper's backbone in the same run.
    """

    info: ModelInfo
    step_s: float
    relative: float


def compare(names: Iterable[str], classes: int = 400) -> Iterator[Compared]:
    """The paper's backbone, then the others in the given order, each as soon as it is measured.

    Args:
        names: of backbones.
        classes: of the action head.

    Raises:
        UsageError: if a backbone cannot be made.
    """
    reference = 0.0
    for name in (DEFAULT, *(name for name in names if name != DEFAULT)):
        info = describe(make_config(backbone=name, num_classes=classes))
        seconds = step_seconds(info, classes)
        reference = reference or seconds
        yield Compared(info, seconds, seconds / reference)


def step_seconds(info: ModelInfo, classes: int) -> float:
    """Seconds of one step, after one that does not count."""
    model = PViT(make_config(backbone=info.name, num_classes=classes)).train()
    video = torch.zeros(1, 3, *info.clip)
    for _ in range(2):
        start = time.perf_counter()
        model(video).logits.sum().backward()
        model.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - start
    return seconds
