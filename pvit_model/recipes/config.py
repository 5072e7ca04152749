"""The configuration of a training run: one typed tree, YAML as its serial form, unknown keys refused by name.

`load_mapping` turns plain values (of a recipe, of `--set a.b=c`) into a `TrainConfig`. Which values the paper used is
the recipes' business; the defaults here are those of `paper.md` where it states one.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import ConfigError
from pvit_data.mixing.config import MixtureConfig


class Strict(BaseModel):
    """A frozen section without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Strict):
    """Which samples are read, and how. What a clip is says `ClipConfig`."""

    where: dict[str, str] = Field(
        default_factory=dict, description="index filter by source, e.g. {ssv2: 'frames >= 16'}"
    )
    crops: int = Field(
        default=3, ge=1, description="spatial crops per clip in `pvit eval` (SSv2: 3)"
    )
    workers: int = Field(default=2, ge=0, description="loader processes per rank")
    on_corrupt: Literal["skip", "raise"] = Field(
        default="skip", description="what a damaged sample does in training"
    )


class ModelConfig(Strict):
    """Which network is trained."""

    name: str = Field(default="mvitv2_s", description="backbone, by its entry-point name")
    variant: str = Field(
        default="pvit", description="pvit, baseline, mt, op, np, vpt or pvit-vpt (paper, table 4a)"
    )
    tasks: tuple[str, ...] | None = Field(
        default=None,
        description="auxiliary tasks with a prompt and a head; default: all that a source trains",
    )
    checkpoint: str = Field(
        default="", description="published backbone weights to start from (.pth or .pyth)"
    )
    init_from: str = Field(
        default="", description="run or exported folder whose weights to start from"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of create_model"
    )


LOSS_WEIGHTS = {
    "action": 1.0,
    "depth": 0.5,
    "normal": 0.5,
    "segm": 0.1,
    "pose3d": 3.0,
    "boxes": 0.1,
}
"""The paper's weights (supplement, section C)."""


class LossConfig(Strict):
    """How the tasks' losses are weighted (supplement, section C) and computed."""

    weights: dict[str, float] = Field(
        default_factory=lambda: dict(LOSS_WEIGHTS),
        description="weight of each task's loss, where it is not the paper's; 0 switches a task's loss off",
    )
    learned: bool = Field(
        default=False,
        description="learn a factor on each weight (uncertainty weighting, Kendall et al. 2018)",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="further options of the loss functions"
    )

    def weight_of(self, target: str) -> float:
        """The weight of a target's loss: its own, else its kind's (that of `boxes` for `boxes/hands`)."""
        return self.weights.get(target, self.weights.get(target.partition("/")[0], 0.0))

    @field_validator("weights")
    @classmethod
    def _keep_the_others(cls, value: dict[str, float]) -> dict[str, float]:
        return LOSS_WEIGHTS | value


class OptimConfig(Strict):
    """Optimiser and schedule."""

    name: Literal["adam", "adamw", "sgd"] = Field(
        default="adam", description="adam adds the decay to the gradient (L2)"
    )
    lr: float = Field(
        default=7e-5, gt=0, description="peak learning rate, for a global batch of `lr_batch`"
    )
    lr_batch: int = Field(default=0, ge=0, description="global batch that `lr` belongs to; 0: any")
    scale_lr: Literal["none", "linear"] = Field(
        default="none", description="linear: scale lr with the batch"
    )
    final_lr: float = Field(
        default=0.0, ge=0, description="learning rate at the end of the half cosine"
    )
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(default=1e-4, ge=0)
    decay_all: bool = Field(
        default=False, description="decay biases, norms, prompts and position tables too"
    )
    head_lr_factor: float = Field(
        default=1.0, gt=0, description="learning rate of heads and prompts over the backbone's"
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="learning rate of each backbone block over that of the block after it",
    )
    epochs: float = Field(default=100, gt=0, description="passes over the downstream set")
    steps: int | None = Field(default=None, ge=1, description="optimiser steps instead of epochs")
    warmup_steps: int = Field(default=0, ge=0, description="linear warm-up")
    accumulate: int = Field(default=1, ge=1, description="micro-batches per optimiser step")
    clip_norm: float | None = Field(default=None, gt=0, description="largest gradient norm")
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay of the averaged weights, e.g. 0.9999"
    )


class RunConfig(Strict):
    """How the run is carried out; nothing here changes what is learned, but `seed` and `precision`."""

    seed: int = 0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    deterministic: bool = Field(
        default=False, description="deterministic kernels on an accelerator"
    )
    compile: bool = Field(default=False, description="torch.compile the model")
    checkpoint_activations: bool = Field(
        default=False,
        description="recompute each block in the backward pass: less memory, about a third slower",
    )
    strategy: Literal["ddp", "fsdp"] = Field(
        default="ddp",
        description="several ranks: whole copies (ddp), or weights and optimiser in shards (fsdp)",
    )
    threads: int = Field(default=0, ge=0, description="CPU threads of torch; 0: its default")
    log_every: int = Field(default=10, ge=1, description="steps between log lines")
    eval_every: int = Field(
        default=0, ge=0, description="steps between validations; 0: once per epoch and at the end"
    )
    eval_clips: int = Field(
        default=512, ge=0, description="most clips per source in a validation; 0: all"
    )
    checkpoint_every: int = Field(
        default=0, ge=0, description="steps between checkpoints; 0: at each validation"
    )
    keep_last: int = Field(default=2, ge=1, description="checkpoints kept besides the best one")
    best: str = Field(
        default="",
        description="metric that picks the best checkpoint, e.g. action/top1; default: that one",
    )
    max_nonfinite: int = Field(
        default=10, ge=1, description="steps in a row with a non-finite loss before the run stops"
    )
    watchdog_s: float = Field(
        default=1200, ge=0, description="a step longer than this ends the process with a stack dump"
    )
    timeout_s: float = Field(
        default=300, gt=0, description="of the process group and of the loader's workers"
    )
    predictions: int = Field(
        default=4, ge=0, description="held-out clips per source drawn in the report"
    )


class TrainConfig(Strict):
    """A whole run. `name` and `about` describe the recipe it came from."""

    name: str = "custom"
    about: str = ""
    clip: ClipConfig = ClipConfig()
    data: DataConfig = DataConfig()
    mixture: MixtureConfig = MixtureConfig()
    model: ModelConfig = ModelConfig()
    losses: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()

    def to_yaml(self) -> str:
        """The resolved configuration as YAML that `load_mapping` reads back unchanged."""
        text: str = yaml.safe_dump(
            self.model_dump(mode="json"), sort_keys=False, allow_unicode=True
        )
        return text


def _section(annotation: object) -> type[BaseModel] | None:
    """The model class of a field that is a section, else None."""
    return (
        annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    )


def known_paths(model: type[BaseModel] = TrainConfig, prefix: str = "") -> Iterable[str]:
    """Every dotted key of the tree: `"optim.lr"`, ..."""
    for name, info in model.model_fields.items():
        yield prefix + name
        if section := _section(info.annotation):
            yield from known_paths(section, f"{prefix}{name}.")


def _nearest(path: str) -> str:
    known = list(known_paths())
    tails = {p.rsplit(".", 1)[-1]: p for p in known}
    last = path.rsplit(".", 1)[-1]
    if last in tails:
        return tails[last]
    close = difflib.get_close_matches(path, known, n=1, cutoff=0.3) or difflib.get_close_matches(
        last, tails, 1, 0.3
    )
    found = close[0] if close else known[0]
    return tails.get(found, found)


def check_keys(values: Mapping[str, Any], where: str) -> None:
    """Refuses keys outside the tree.

    Args:
        values: nested plain values.
        where: what they come from, for the message.

    Raises:
        ConfigError: naming the unknown key and the nearest known one.
    """
    _check(values, TrainConfig, "", where)


def _check(values: Mapping[str, Any], model: type[BaseModel], prefix: str, where: str) -> None:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if key not in model.model_fields:
            raise ConfigError(f"{where}: unknown key '{path}'; did you mean '{_nearest(path)}'?")
        if section := _section(model.model_fields[key].annotation):
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"{where}: '{path}' is a section, expected keys under it, found {value!r}"
                )
            _check(value, section, f"{path}.", where)


def load_mapping(values: Mapping[str, Any], where: str = "configuration") -> TrainConfig:
    """A configuration from plain values.

    >>> load_mapping({"optim": {"lr": 0.001}}).optim.lr
    0.001

    Raises:
        ConfigError: for an unknown key or an unusable value, naming it.
    """
    check_keys(values, where)
    try:
        return TrainConfig.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{where}: '{path}' = {first['input']!r}: {first['msg'].lower()}"
        ) from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid onto `base`: mappings are merged key by key, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[key] = merge(typing.cast(Mapping[str, Any], old), value) if both else value
    return result


def parse_setting(text: str) -> dict[str, Any]:
    """One `--set a.b=c` as nested values; the value is YAML.

    >>> parse_setting("optim.lr=1e-3")
    {'optim': {'lr': 0.001}}

    Raises:
        ConfigError: if there is no `=`, or the value is no YAML.
    """
    path, equals, raw = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set {text!r}: expected key=value, for example --set optim.lr=1e-4")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError:
        raise ConfigError(
            f"--set {text!r}: the value is not readable; quote it like --set 'a.b=[1, 2]'"
        ) from None
    if isinstance(value, str):
        value = _number(value)
    for key in reversed(path.strip().split(".")):
        value = {key: value}
    return typing.cast(dict[str, Any], value)


def _number(text: str) -> float | str:
    """YAML 1.1 reads `1e-4` as text; people mean the number."""
    try:
        return float(text)
    except ValueError:
        return text
