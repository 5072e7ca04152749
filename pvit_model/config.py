"""`PViTConfig`: everything that defines a PViT, and the paper's variants as names for combinations of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pvit_data.clips.config import MOST_TASKS
from pvit_data.errors import ConfigError, UsageError
from pvit_data.sample.limits import MAX_IDS
from pvit_data.words import did_you_mean, first_problem

VARIANTS: dict[str, dict[str, Any]] = {
    "pvit": {},
    "baseline": {"prompts": "none", "heads": False},
    "mt": {"prompts": "none"},
    "op": {"prompts": "shared"},
    "np": {"heads": False},
    "vpt": {"heads": False, "freeze_backbone": True},
    "pvit-vpt": {"freeze_backbone": True},
}
"""The architectures of the paper's tables 4a and 4b. What differs only in the data (shuffled annotations, synthetic
portion, pretrain-then-finetune, one task or one dataset) is configured in the recipe."""


class PViTConfig(BaseModel):
    """Architecture of a PViT.

    Args:
        backbone: registered name.
        backbone_options: keyword options of that backbone, for example `{"clip": [8, 160, 160], "drop_path": 0.4}`.
        tasks: in the order of their prompts; `"boxes/hands"` is a further task of the kind `boxes`.
        num_classes: of the action head.
        labels: further label tasks of the downstream; their heads read the class token, or boxes.
        label_classes: number of outputs of those of them that have one for each class of a label space.
        segm_spaces: number of ids of each label space of dense classes; may be filled later, see
            `PViT.add_segm_space`.
        prompts: `"task"` each task its own; `"shared"` one wide token for all (OP): its final state is projected to one
            slice per task; `"none"` heads read the class token (MT).
        prompts_per_task: k; the mean of a task's outputs feeds its head.
        prompt_layer: backbone layer that the prompts enter.
        heads: whether auxiliary heads exist.
        freeze_backbone: train prompts and heads only; the backbone stays in evaluation mode (VPT).
        dropout: before the action head.
        dense_width: channels of the dense heads; None: the backbone's own.
        dense_dropout: of the dense heads.
        dense_layers: layers that dense heads tap (0-based); None: the backbone's own.
        num_boxes: boxes per frame.
        depth_scale: metres per unit of the depth head's output; an output of -1 is 0 m.
        extra: anything to keep beside the weights (label spaces, recipe); must be JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backbone: str
    backbone_options: dict[str, Any] = Field(default_factory=dict)
    tasks: tuple[str, ...] = Field(default=(), max_length=MOST_TASKS)
    num_classes: int = Field(default=400, ge=1)
    labels: tuple[str, ...] = Field(default=(), max_length=MOST_TASKS)
    label_classes: dict[str, Annotated[int, Field(ge=1, le=MAX_IDS)]] = Field(default_factory=dict)
    segm_spaces: dict[str, int] = Field(default_factory=dict)
    prompts: Literal["task", "shared", "none"] = "task"
    prompts_per_task: int = Field(default=1, ge=1)
    prompt_layer: int = Field(default=0, ge=0)
    heads: bool = True
    freeze_backbone: bool = False
    dropout: float = Field(default=0.5, ge=0, lt=1)
    dense_width: int | None = Field(default=None, ge=1)
    dense_dropout: float = Field(default=0.1, ge=0, lt=1)
    dense_layers: tuple[int, ...] | None = None
    num_boxes: int = Field(default=4, ge=1)
    depth_scale: float = Field(default=5.0, gt=0)
    extra: dict[str, Any] = Field(default_factory=dict)

    @field_validator("backbone_options")
    @classmethod
    def _json_has_no_tuples(cls, options: dict[str, Any]) -> dict[str, Any]:
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in options.items()
        }

    @model_validator(mode="after")
    def _tasks_are_distinct(self) -> PViTConfig:
        names = list(self.tasks)
        if len(set(names)) < len(names):
            raise ValueError(
                f"tasks {names} name one twice; a second task of a kind needs its own name, as 'boxes/hands'"
            )
        if self.prompts == "shared" and self.prompts_per_task > 1:
            raise ValueError(
                "prompts 'shared' is one token for all tasks; prompts_per_task must be 1"
            )
        return self

    @property
    def num_prompts(self) -> int:
        """Number of extra tokens in the sequence."""
        if self.prompts == "none" or not self.tasks:
            return 0
        return 1 if self.prompts == "shared" else len(self.tasks) * self.prompts_per_task


def make_config(**options: Any) -> PViTConfig:
    """A configuration; `variant=` sets the fields of a paper variant, which further options override.

    Options that are no field of `PViTConfig` go to the backbone.

    Raises:
        UsageError: if the variant is unknown.
        ConfigError: if a value is not allowed.
    """
    variant = options.pop("variant", "pvit")
    if variant not in VARIANTS:
        hint = did_you_mean(str(variant), VARIANTS) or "."
        raise UsageError(f"unknown variant '{variant}'{hint} Known: {', '.join(VARIANTS)}.")
    known = PViTConfig.model_fields
    fields = VARIANTS[variant] | {name: options[name] for name in options if name in known}
    further = {name: value for name, value in options.items() if name not in known}
    fields["backbone_options"] = fields.get("backbone_options", {}) | further
    try:
        return PViTConfig(**fields)
    except ValidationError as error:
        raise ConfigError(f"model option {first_problem(error)}") from error
