"""What a recipe does to training clips beyond crops, flips and colours: whether it may, and in words."""

from __future__ import annotations

from pvit_data.errors import ConfigError
from pvit_data.tasks.table import require_places
from pvit_model.recipes.config import TrainConfig
from pvit_model.tasks import get_task

MIXING = ("mixup", "cutmix")
"""Options of the mixture that mix clips of a batch."""


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
