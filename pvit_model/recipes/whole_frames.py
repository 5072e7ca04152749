"""Whether a source can be evaluated on whole frames (`data.crops: full`), as AVA's published test is."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from pvit_data.errors import UsageError
from pvit_data.tasks.names import kind_of
from pvit_data.tasks.table import target_spec
from pvit_model.backbones import build_backbone
from pvit_model.backbones.base import Backbone
from pvit_model.config import PViTConfig
from pvit_model.network.inference import FULL
from pvit_model.recipes.config import TrainConfig


def require_whole_frames(
    config: TrainConfig, network: PViTConfig, source: str, targets: Iterable[str]
) -> None:
    """Refuses `data.crops: full` before a run where its evaluation would.

    Args:
        config: with clips as the backbone takes them.
        network: that is trained.
        source: the downstream.
        targets: what of it is trained, so evaluated.

    Raises:
        UsageError: see `side_step_of`.
    """
    if config.data.crops != FULL:
        return
    clip = config.clip
    options = {"clip": (clip.num_frames, *clip.size), **network.backbone_options}
    with torch.device("meta"):
        backbone = build_backbone(network.backbone, **options)
    side_step_of(backbone, network.backbone, source, targets, clip.size)


def side_step_of(
    backbone: Backbone, name: str, source: str, targets: Iterable[str], size: tuple[int, int]
) -> int:
    """What sides of a source's whole frames must be multiples of.

    Args:
        backbone: of the network.
        name: its name.
        source: the source's name.
        targets: of its samples, that are evaluated.
        size: (H, W) of clips; frames are as high as these.

    Raises:
        UsageError: if the backbone takes clips of one size only, or maps and joints are evaluated, too.
    """
    step = backbone.side_step
    if not step:
        height, width = size
        raise UsageError(
            f"data.crops full: backbone '{name}' takes clips of {height} x {width} pixels only, not whole frames; "
            "evaluate with crops (--crops 1)"
        )
    if size[0] % step:
        raise UsageError(
            f"data.crops full: backbone '{name}' takes clips of sides that are multiples of {step}, and clip.size has "
            f"the height {size[0]}; evaluate with crops (--crops 1)"
        )
    others = [t for t in targets if not target_spec(kind_of(t)).downstream_only]
    if others:
        raise UsageError(
            f"data.crops full: of source '{source}' {', '.join(others)} are evaluated, too, which needs clips of one "
            "size; evaluate it with crops (--crops 1)"
        )
    return step
