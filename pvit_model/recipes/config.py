"""The configuration of a training run: one typed tree, YAML as its serial form, unknown keys refused by name.

`load_mapping` turns plain values (of a recipe, of `--set a.b=c`) into a `TrainConfig`. Which values the paper used is
the recipes' business; the defaults here are those of `paper.md` where it states one.
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pvit_data.clips.config import MOST_TASKS, ClipConfig
from pvit_data.errors import ConfigError
from pvit_data.loading.options import CONCURRENCY, START_METHOD, StartMethod
from pvit_data.mixing.config import MixtureConfig
from pvit_data.reading.layers.places import WHERE_IT_LIES
from pvit_data.storage.values import parse_yaml
from pvit_data.tasks.names import kind_of
from pvit_data.words import first_problem, nearest, short, shown
from pvit_model.backbones import DEFAULT
from pvit_model.network.inference import Crops


class Strict(BaseModel):
    """A frozen section without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(Strict):
    """Which samples are read, and how. What a clip is says `ClipConfig`."""

    where: dict[str, str] = Field(
        default_factory=dict, description="index filter by source, e.g. {ssv2: 'frames >= 16'}"
    )
    layers: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="annotation layers by source, in order: names, folders or URL#NAME; NAME?: where it lies in the "
        "shards; default: all that lie there",
    )
    protocols: tuple[str, ...] = Field(
        default=(),
        description="protocols that are sources of this run, beside a downstream that is one",
    )
    strict_layers: bool = Field(
        default=False, description="refuse layers that were made from other bytes of the pictures"
    )
    allow_overlap: bool = Field(
        default=False,
        description="train on samples under one name that are held out under another",
    )
    eval_split: Literal["val", "test"] = Field(
        default="val", description="split of the downstream that a run validates on"
    )
    clips: int = Field(
        default=1, ge=1, le=100, description="clips per video in `pvit eval` (Kinetics: 5)"
    )
    crops: Crops = Field(
        default=3,
        description="spatial crops per clip in `pvit eval` (SSv2: 3), or full: the whole frame (actions, persons)",
    )
    workers: int = Field(default=2, ge=0, le=4096, description="loader processes per rank")
    start_method: StartMethod = Field(
        default=START_METHOD, description="how loader processes begin; batches do not depend on it"
    )
    concurrency: int = Field(
        default=CONCURRENCY,
        ge=0,
        le=100,
        description="requests at once of each loader process to shards behind a URL; 0: one sample after the other",
    )
    on_corrupt: Literal["skip", "raise"] = Field(
        default="skip",
        description="a damaged sample in training is left out and counted, or ends the run",
    )


class ModelConfig(Strict):
    """Which network is trained."""

    name: str = Field(default=DEFAULT, description="backbone, by its entry-point name")
    variant: str = Field(
        default="pvit", description="pvit, baseline, mt, op, np, vpt or pvit-vpt (paper, table 4a)"
    )
    tasks: tuple[str, ...] | None = Field(
        default=None,
        max_length=MOST_TASKS,
        description="auxiliary tasks with a prompt and a head; default: all that a source trains",
    )
    finetune: Literal["all", "head"] = Field(
        default="all",
        description="what is trained of it: head leaves all but the action head as it starts (few-shot)",
    )
    checkpoint: str = Field(
        default="", description="published backbone weights to start from (.pth or .pyth)"
    )
    init_from: str = Field(
        default="", description="run or exported folder whose weights to start from"
    )
    allow_partial: bool = Field(
        default=False,
        description="start also from weights that fill less than half of the network, or are of a deeper one",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of the network, e.g. {dropout: 0.1}"
    )


class LossConfig(Strict):
    """How the tasks' losses are weighted (supplement, section C) and computed."""

    weights: dict[str, float] = Field(
        default_factory=dict,
        description="weight of each task's loss, where it is not the task's own; 0 switches a task's loss off",
    )
    learned: bool = Field(
        default=False,
        description="learn a factor on each weight (uncertainty weighting, Kendall et al. 2018)",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="options of the losses, e.g. {label_smoothing: 0.1}"
    )

    def weight_of(self, target: str) -> float:
        """The weight of a target's loss: its own, else its kind's (that of `boxes` for `boxes/hands`), else the task's.

        Raises:
            UsageError: if there is no such task.
        """
        given = self._given(target)
        if given is not None:
            return given
        from pvit_model.tasks import get_task  # recipes are read where there is no torch

        return get_task(target).weight

    def is_off(self, target: str) -> bool:
        """Whether a target's loss is switched off; asks no task, so that it needs no torch."""
        return self._given(target) == 0

    def _given(self, target: str) -> float | None:
        return self.weights.get(target, self.weights.get(kind_of(target)))


class OptimConfig(Strict):
    """Optimiser and schedule."""

    name: Literal["adam", "adamw", "sgd"] = Field(
        default="adam",
        description="adam adds the decay to the gradient (L2), adamw takes it from the weights",
    )
    lr: float = Field(
        default=7e-5, gt=0, description="peak learning rate, for a global batch of `lr_batch`"
    )
    lr_batch: int = Field(default=0, ge=0, description="global batch that `lr` belongs to; 0: any")
    scale_lr: Literal["none", "linear"] = Field(
        default="none", description="linear: times the batch over `lr_batch`"
    )
    final_lr: float = Field(
        default=0.0, ge=0, description="learning rate at the end of the half cosine"
    )
    betas: tuple[float, float] = Field(
        default=(0.9, 0.999),
        description="of adam and adamw: decay of the means of gradients and of their squares",
    )
    eps: float = Field(default=1e-8, gt=0, description="added to the denominator of adam and adamw")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(default=1e-4, ge=0, description="decay of the weights")
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
    epochs: float = Field(default=100, gt=0, le=10**9, description="passes over the downstream set")
    steps: int | None = Field(
        default=None, ge=1, le=10**12, description="optimiser steps of the run, instead of epochs"
    )
    warmup_steps: int = Field(
        default=0, ge=0, description="steps in which the learning rate rises to its peak"
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        description="micro-batches per optimiser step, one after the other: less memory",
    )
    clip_norm: float | None = Field(default=None, gt=0, description="largest gradient norm")
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay of the averaged weights, e.g. 0.9999"
    )


class RunConfig(Strict):
    """How the run is carried out; nothing here changes what is learned, but `seed` and `precision`."""

    seed: int = Field(default=0, description="of weights, order, crops and dropout")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="of the computation; weights and their sums stay in fp32"
    )
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
    log: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = Field(
        default=("tensorboard",), description="where the numbers of metrics.jsonl go, too"
    )
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
        description="metric that picks the best checkpoint, e.g. depth/rmse; default: the downstream's action/top1",
    )
    max_nonfinite: int = Field(
        default=10, ge=1, description="steps in a row with a non-finite loss before the run stops"
    )
    watchdog_s: float = Field(
        default=1200,
        ge=0,
        description="a step of more seconds ends the process with a stack dump; 0: none does",
    )
    timeout_s: float = Field(
        default=300, gt=0, description="seconds that ranks and loader processes are waited for"
    )
    predictions: int = Field(
        default=4, ge=0, description="held-out clips per source drawn in the report"
    )


FIXED_BY_THE_BACKBONE = tuple(f"clip.{name}" for name in ("map_size", "stride", "mean", "std"))
OF_THE_BACKBONE = ("clip.num_frames", "clip.size", "clip.rate", *FIXED_BY_THE_BACKBONE)
"""What of a clip a run takes from its backbone's definition."""


class TrainConfig(Strict):
    """A whole run."""

    name: str = Field(default="custom", description="of the recipe; default: that of its file")
    about: str = Field(default="", description="what the recipe is, in a sentence")
    pretrained: str = Field(
        default="", description="published weights that it means, for people; see model.checkpoint"
    )
    target: dict[str, float] = Field(
        default_factory=dict,
        description="published numbers to aim at: accuracies and mAP in per cent, times in seconds",
    )
    paper: tuple[str, ...] = Field(
        default=(), description="what of it the paper states; not taken over by what starts from it"
    )
    ours: tuple[str, ...] = Field(
        default=(), description="what the paper leaves open and was decided here; likewise"
    )
    clip: ClipConfig = ClipConfig()
    data: DataConfig = DataConfig()
    mixture: MixtureConfig = MixtureConfig()
    model: ModelConfig = ModelConfig()
    losses: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()

    def to_edit(self) -> dict[str, Any]:
        """Plain values for a recipe of one's own: without what a run takes from its backbone, unless it was stated."""
        values = self.model_dump(mode="json")
        for path in OF_THE_BACKBONE:
            name = path.removeprefix("clip.")
            if name not in self.clip.model_fields_set:
                del values["clip"][name]
        return values

    def to_yaml(self) -> str:
        """The resolved configuration as YAML that `load_mapping` reads back unchanged."""
        return _yaml(self.model_dump(mode="json"))

    def to_edit_yaml(self) -> str:
        """`to_edit` as YAML."""
        return _yaml(self.to_edit())


def _yaml(values: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    return text


def section_of(annotation: object) -> type[BaseModel] | None:
    """The model class of a field that is a section, else None."""
    return (
        annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    )


def known_paths(model: type[BaseModel] = TrainConfig, prefix: str = "") -> Iterable[str]:
    """Every dotted key of the tree: `"optim.lr"`, ..."""
    for name, info in model.model_fields.items():
        yield prefix + name
        if section := section_of(info.annotation):
            yield from known_paths(section, f"{prefix}{name}.")


def _nearest(path: str) -> str:
    known = list(known_paths())
    tails = {p.rsplit(".", 1)[-1]: p for p in known}
    last = path.rsplit(".", 1)[-1]
    if last in tails:
        return tails[last]
    found = nearest(path, known, 0.3) or nearest(last, tails, 0.3) or known[0]
    return tails.get(found, found)


def certain(tasks: Iterable[str], carried: Collection[str] = ()) -> tuple[str, ...]:
    """A list of tasks without those that are meant only where they are carried, and are not.

    >>> certain(["action", "depth?", "segm?"], ["depth"])
    ('action', 'depth')
    """
    plain = {task: task.removesuffix(WHERE_IT_LIES) for task in tasks}
    return tuple(name for task, name in plain.items() if name == task or name in carried)


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
            raise ConfigError(
                f"{where}: unknown key '{shown(path)}'; did you mean '{_nearest(path)}'?"
            )
        if section := section_of(model.model_fields[key].annotation):
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"{where}: '{path}' is a section, expected keys under it, found {short(value)}"
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
        raise ConfigError(f"{where}: {first_problem(error)}") from None


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
        raise ConfigError(
            f"--set {short(text)}: expected key=value, for example --set optim.lr=1e-4"
        )
    try:
        value = parse_yaml(raw, "the value")
    except ConfigError as error:
        raise ConfigError(
            f"--set {short(text)}: {error}; quote it like --set 'a.b=[1, 2]'"
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
