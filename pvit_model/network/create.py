"""Build a PViT by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from pvit_model.backbones import build_backbone
from pvit_model.backbones.base import Backbone
from pvit_model.config import PViTConfig, make_config
from pvit_model.network.pvit import PViT


def create_model(
    name: str,
    tasks: Iterable[str] = (),
    num_classes: int = 400,
    segm_spaces: Mapping[str, int] | None = None,
    **options: Any,
) -> PViT:
    """A fresh PViT.

    Args:
        name: of the backbone, see `pvit_model.backbone_names`.
        tasks: auxiliary tasks, in the order of their prompts: `"depth"`, `"normal"`, ...
        num_classes: of the action head.
        segm_spaces: number of ids of each segmentation label space.
        options: `variant="mt"` (see `pvit_model.config.VARIANTS`), fields of `PViTConfig`, options of the backbone.

    Raises:
        UsageError: if a name or option is unknown.
        ConfigError: if a value is not allowed.

    Example:
        >>> model = create_model("mvitv2_xxs", tasks=["depth"], num_classes=8)
        >>> tuple(model.prompts.shape)
        (1, 32)
    """
    config = make_config(
        backbone=name,
        tasks=tuple(tasks),
        num_classes=num_classes,
        segm_spaces=dict(segm_spaces or {}),
        **options,
    )
    return PViT(config)


def backbone_of(config: PViTConfig) -> Backbone:
    """The backbone of a network, without weights."""
    with torch.device("meta"):
        return build_backbone(config.backbone, **config.backbone_options)
