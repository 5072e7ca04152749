"""PromptonomyViT: backbones, task prompts, heads, losses, training, evaluation, prediction."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pvit_model.backbones import backbone_names, build_backbone
    from pvit_model.config import VARIANTS, PViTConfig
    from pvit_model.network.create import create_model
    from pvit_model.network.losses import LossOptions, LossSum, task_losses
    from pvit_model.network.published import LoadReport, load_backbone_checkpoint
    from pvit_model.network.pvit import PViT, PViTOutput

_HOMES = {
    "LoadReport": "network.published",
    "LossOptions": "network.losses",
    "LossSum": "network.losses",
    "PViT": "network.pvit",
    "PViTConfig": "config",
    "PViTOutput": "network.pvit",
    "VARIANTS": "config",
    "backbone_names": "backbones",
    "build_backbone": "backbones",
    "create_model": "network.create",
    "load_backbone_checkpoint": "network.published",
    "task_losses": "network.losses",
}

__all__ = [
    "VARIANTS",
    "LoadReport",
    "LossOptions",
    "LossSum",
    "PViT",
    "PViTConfig",
    "PViTOutput",
    "backbone_names",
    "build_backbone",
    "create_model",
    "load_backbone_checkpoint",
    "task_losses",
]


def __getattr__(name: str) -> Any:
    """Public names, loaded when they are first used: importing the package loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pvit_model' has no attribute '{name}'")
    return getattr(import_module(f"pvit_model.{_HOMES[name]}"), name)
