"""The learning-rate schedule: a pure function of the step number, so a resumed run needs nothing but that number."""

from __future__ import annotations

import math

from pvit_model.recipes.config import OptimConfig


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
