"""A recipe's clips: as the backbone takes them, what is done to them beyond crops, flips and colours, and whole frames.

Whole frames (`data.crops: full`) are for evaluations, as AVA's published test is.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import ConfigError, UsageError
from pvit_data.tasks.names import kind_of
from pvit_data.tasks.table import require_places, target_spec, target_specs
from pvit_model.backbones import build_backbone
from pvit_model.backbones.base import Backbone
from pvit_model.config import PViTConfig
from pvit_model.network.inference import FULL
from pvit_model.recipes.config import TrainConfig
from pvit_model.tasks import get_task

MIXING = ("mixup", "cutmix")
"""Options of the mixture that mix clips of a batch."""


def clip_for(clip: ClipConfig, network: PViTConfig) -> ClipConfig:
    """Clips as the network's backbone takes them.

    Length, size and rate are its own where the recipe says nothing of them; normalisation, map size and temporal stride
    always are.

    Raises:
        ConfigError: if one of the latter was chosen otherwise.
    """
    clip = sized_for(clip, network)
    options = {"clip": (clip.num_frames, *clip.size), **network.backbone_options}
    with torch.device("meta"):
        backbone = build_backbone(network.backbone, **options)
    size = backbone.map_size(clip.num_frames, *clip.size)[1:]
    mean, std = backbone.normalise
    wanted = {"mean": mean, "std": std, "stride": backbone.stride, "map_size": size}
    changed = {
        name: value
        for name, value in wanted.items()
        if value != (clip.maps if name == "map_size" else getattr(clip, name))
    }
    chosen = [n for n in changed if n in clip.model_fields_set and getattr(clip, n) is not None]
    if chosen:
        raise ConfigError(
            f"clip.{chosen[0]} = {getattr(clip, chosen[0])}: the backbone '{network.backbone}' has "
            f"{wanted[chosen[0]]}; leave it out"
        )
    return clip.model_copy(update=changed)


def sized_for(clip: ClipConfig, network: PViTConfig) -> ClipConfig:
    """With the length, size and rate of the backbone's own clips, where they were not chosen."""
    with torch.device("meta"):
        nominal = build_backbone(network.backbone, **network.backbone_options)
    frames, *size = nominal.clip
    own = {"num_frames": frames, "size": tuple(size), "rate": nominal.rate}
    return clip.model_copy(
        update={name: value for name, value in own.items() if name not in clip.model_fields_set}
    )


def check_augmentation(config: TrainConfig) -> None:
    """Refuses augmentation that annotations would not follow.

    Args:
        config: with the tasks of each source filled in.

    Raises:
        ConfigError: naming the option, the source and its tasks.
    """
    for source, tasks in config.clip.tasks.items():
        require_places(config.clip, source, tasks)
    options = [name for name in MIXING if getattr(config.mixture, name)]
    if not options:
        return
    option, downstream = f"mixture.{options[0]}", config.clip.downstream
    if not downstream:
        raise ConfigError(
            f"{option}: only clips of a downstream are mixed; name it with --downstream, or --set {option}=0"
        )
    tasks = config.clip.tasks[downstream]
    if fixed := [task for task in tasks if not get_task(task).can_mix]:
        raise ConfigError(
            f"{option}: source '{downstream}' trains {', '.join(fixed)}, which would not follow mixed pictures; "
            f"--set {option}=0, or leave the tasks out in clip.tasks"
        )


def require_key_frames(clip: ClipConfig, source: str, labels: Iterable[str]) -> None:
    """Refuses clips that may lack the frame in which the boxes are that labels of a source are about.

    Raises:
        ConfigError: naming the label and the sampler.
    """
    boxed = [spec.name for spec in target_specs(labels) if spec.by_box]
    if boxed and (sampler := clip.sampler(source)) != "keyframe":
        raise ConfigError(
            f"clip.samplers: the {boxed[0]} of source '{source}' are in its key frames, but its clips are of sampler "
            f"{sampler}; --set clip.samplers.{source}=keyframe in training, or let its manifest declare keyframe"
        )


def augmentation_text(config: TrainConfig) -> str:
    """What is on; "" for nothing."""
    clip, mixture = config.clip, config.mixture
    moving = ", some of which move pixels" if clip.rand_geometry else ""
    strength = f"{clip.rand_ops} random operations of magnitude {clip.rand_magnitude:g}{moving}"
    parts = [
        (clip.rand_ops, strength),
        (clip.erase, f"erasing {100 * clip.erase:.0f} %"),
        *((getattr(mixture, name), f"{name} {getattr(mixture, name):g}") for name in MIXING),
        (mixture.repeats - 1, f"{mixture.repeats} clips of each sample"),
    ]
    return "; ".join(text for is_on, text in parts if is_on)


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
