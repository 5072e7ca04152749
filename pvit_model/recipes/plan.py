"""The resolved plan of a run: which sources play which role, what is trained on each, how long, how large.

Made before anything is trained and printed first; everything that can be wrong with a recipe and a set of shards is
found here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pvit_data.errors import ConfigError, PvitError, UsageError
from pvit_data.format.names import SPLITS
from pvit_data.mixing.mixture import Mixture
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.layers.places import FoundSource
from pvit_data.reading.renumbered import Renumbering, lost_text
from pvit_data.sample.labels import LabelSpace
from pvit_data.tasks.names import kind_of
from pvit_data.tasks.table import labels_among, ordered, target_spec, target_specs
from pvit_data.words import counted, plain_url, shown
from pvit_model.config import PViTConfig, make_config
from pvit_model.network.inference import Inference
from pvit_model.recipes.clips import (
    check_augmentation,
    clip_for,
    require_key_frames,
    require_whole_frames,
)
from pvit_model.recipes.config import TrainConfig
from pvit_model.recipes.published import other_options
from pvit_model.recipes.sources import Chosen, choose_sources, sources_of
from pvit_model.tasks import ACTION, target_names


@dataclass(frozen=True)
class SourcePlan:
    """One source of a run.

    Args:
        name: the source's.
        found: where it is read from, and all its samples.
        role: `"downstream"` or `"auxiliary"`.
        train: its training samples.
        val: its held-out samples, or None.
        held_out: their split.
        without: tasks of it that no training sample carries.
        tasks: auxiliary tasks trained on it.
        targets: names of the targets that its clips carry.
        per_batch: clips of it in a global batch, on average.
    """

    name: str
    found: FoundSource
    role: str
    train: ShardDataset
    val: ShardDataset | None
    tasks: tuple[str, ...]
    targets: tuple[str, ...]
    per_batch: float
    held_out: str = "val"
    without: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Folder or URL it is read from."""
        return self.found.url

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of whole clips that it trains; of their kinds there is one each."""
        if self.role != "downstream":
            return ()
        return labels_among(name for name in self.targets if name == kind_of(name))


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to start.

    Args:
        config: with tasks and downstream filled in.
        sources: downstream first.
        mixture: plans the global batches.
        tasks: auxiliary tasks of the network, in the order of the prompts.
        heads: whether they have heads (not in `baseline`, `np`, `vpt`).
        spaces: label spaces that heads have an output for, by name.
        action: the downstream's classes, or None.
        num_steps: optimiser steps.
        steps_per_epoch: optimiser steps in which the downstream is passed once.
        notes: sentences the user should read.
    """

    config: TrainConfig
    sources: tuple[SourcePlan, ...]
    mixture: Mixture
    tasks: tuple[str, ...]
    heads: bool
    spaces: Mapping[str, LabelSpace]
    action: LabelSpace | None
    num_steps: int
    steps_per_epoch: int
    notes: tuple[str, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """Target names of the batches, in a fixed order."""
        trained = target_names(self.tasks if self.heads else (), self.spaces)
        first = (ACTION,) if ACTION in self.labels else ()
        return (*first, *self.further_labels, *trained)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of whole clips that the downstream trains."""
        return tuple(dict.fromkeys(label for source in self.sources for label in source.labels))

    @property
    def further_labels(self) -> tuple[str, ...]:
        """Those besides actions, which every network has a head for."""
        return tuple(label for label in self.labels if label != ACTION)

    def model_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `create_model`."""
        clip = self.config.clip
        return {
            "variant": self.config.model.variant,
            "tasks": list(self.tasks),
            "num_classes": self.action.num_ids if self.action else 1,
            "labels": list(self.further_labels),
            "label_classes": dict(clip.label_classes),
            "segm_spaces": {name: space.num_ids for name, space in self.spaces.items()},
            "num_boxes": clip.num_boxes,
            "clip": [clip.num_frames, *clip.size],
            **self.config.model.options,
        }

    def inference(self) -> Inference:
        """What is stored beside the weights."""
        return Inference(
            clip=self.config.clip,
            tasks=self.tasks if self.heads else (),
            labels=self.further_labels,
            action=self.action,
            label_spaces=label_spaces(self.sources),
            spaces=dict(self.spaces),
            further_spaces=_further_spaces(self.sources),
            clips=self.config.data.clips,
            crops=self.config.data.crops,
            loss_options=self.config.losses.options,
            recipe=self.config.name,
        )

    def data_hashes(self) -> dict[str, str]:
        """sha256 of each source's index, shards and label spaces, by its name."""
        return {s.name: s.found.ds.digest_of(s.name) for s in self.sources}

    def in_spaces_of(self, known: Inference, strict: bool = True) -> Plan:
        """The same with the class ids of a network that exists: the same class has the same name.

        Args:
            known: the network's.
            strict: refuse classes that it lacks; else such labels are left out.

        Raises:
            UsageError: naming the first class of the samples that the network lacks.
        """
        sources = tuple(_in_spaces(source, known, strict) for source in self.sources)
        trained = {source.name: source.train for source in sources}
        return replace(
            self,
            sources=sources,
            mixture=self.mixture.with_datasets(lambda source: trained[source.name]),
            spaces={name: known.spaces.get(name, space) for name, space in self.spaces.items()},
            action=self.action and known.action,
        )


def _in_spaces(source: SourcePlan, known: Inference, strict: bool) -> SourcePlan:
    given = source.train.spaces_of(source.name)
    wanted = {f: w for f, s in given.items() if (w := known.space_like(f, s)) is not None}
    action = target_spec(ACTION).field
    if source.role != "downstream":
        wanted.pop(action, None)
    by_class = (spec.by_class for spec in target_specs(source.labels) if spec.by_class)
    by_space = (spec.field for spec in target_specs(source.tasks) if spec.by_space)
    predicted = (action, *by_class, *by_space)
    refused = [field for field in predicted if strict and field in wanted]
    datasets = [ds for ds in (source.train, source.val) if ds is not None]
    if action in refused:
        table = Renumbering(action, given[action], wanted[action])
        for name in (name for ds in datasets for name in table.lost(ds.column(action))):
            raise UsageError(lost_text(f"source '{source.name}'", action, name, wanted[action]))
    train, *val = (ds.with_spaces(source.name, wanted, refused) for ds in datasets)
    return replace(source, train=train, val=val[0] if val else None)


def _further_spaces(sources: Sequence[SourcePlan]) -> dict[str, dict[str, LabelSpace]]:
    """Label spaces of fields that are trained without predicting their ids, by field and name."""
    found: dict[str, dict[str, LabelSpace]] = {}
    for source in sources:
        spaces = source.train.spaces_of(source.name)
        for spec in target_specs(source.tasks):
            if spec.field in spaces and not spec.by_space:
                space = spaces[spec.field]
                found.setdefault(spec.field, {}).setdefault(space.name, space)
    return found


def make_plan(config: TrainConfig, urls: Sequence[str]) -> Plan:
    """Resolves a configuration against shards.

    Raises:
        UsageError, ConfigError: if they don't fit each other; the message says what to change.
    """
    chosen = choose_sources(config, sources_of(config, urls))
    check_augmentation(chosen.config)
    mixture = chosen.mixture()
    notes = list(chosen.notes)
    sources = tuple(
        _source_plan(chosen, mixture, index, notes) for index in range(len(mixture.sources))
    )
    _check_classes(sources)
    for source in sources:
        require_key_frames(chosen.config.clip, source.name, source.labels)
    _check_finetune(chosen.config, sources)
    plan = _finish(chosen.config, sources, mixture, notes)
    # Sources that share a label space may number it otherwise.
    return plan.in_spaces_of(plan.inference())


def _check_classes(sources: Sequence[SourcePlan]) -> None:
    """Refuses a downstream source that names its classes but labels no sample with one."""
    for source in sources:
        if ACTION in source.labels and not (source.train.column(ACTION) >= 0).any():
            several = source.train.column("has_actions").any()
            remedy = (
                f"they have any number of actions: train these with --set 'clip.tasks={{{source.name}: [actions]}}'"
                if several
                else "choose another with --downstream, or write it again with class ids and their label space"
            )
            raise UsageError(
                f"downstream source '{source.name}': none of its {len(source.train)} training samples has an action "
                f"class; {remedy}"
            )


def _source_plan(chosen: Chosen, mixture: Mixture, index: int, notes: list[str]) -> SourcePlan:
    entry = mixture.sources[index]
    name, train = entry.name, entry.ds
    assert isinstance(train, ShardDataset)
    tasks = mixture.tasks_of(name, train)
    specs = target_specs(tasks)
    without = tuple(t.name for t in specs if not train.column(f"has_{t.field}").any())
    notes += [f"no training sample of source '{name}' carries {task}" for task in without]
    spaces = train.spaces_of(name)
    named = (spec.target_name(spaces) for spec in target_specs(chosen.config.clip.tasks[name]))
    targets = tuple(target for target in named if target is not None)
    found = chosen.found[name]
    is_downstream = entry.role == "downstream"
    split = chosen.config.data.eval_split if is_downstream else "val"
    val = found.split(split, chosen.config.data.where.get(name, ""))
    if val is None:
        ways = f"; {_ways_to_hold_out(found, split)}" if is_downstream else ""
        notes.append(
            f"source '{name}' has no held-out samples (split {split}): it is not validated{ways}"
        )
    labels = target_specs(chosen.config.clip.tasks[name]) if is_downstream else ()
    if any(s.by_box and s.field not in found.ds.layers_of(name) for s in labels):
        notes.append(
            f"source '{name}': its own boxes are trained and validated on, not a detector's; layers of others are "
            f"attached with --set 'data.layers={{{name}: [{name}-train, {name}-detections]}}'"
        )
    per_batch = mixture.samples_per_batch(index)
    return SourcePlan(
        name, found, entry.role, train, val, tasks, targets, per_batch, split, without
    )


def _ways_to_hold_out(found: FoundSource, split: str) -> str:
    """What to do where a source has no samples in a split."""
    others = [name for name in SPLITS if name not in ("train", split)]
    there = {name: len(mine) for name in others if (mine := found.split(name)) is not None}
    if there:
        name, count = next(iter(there.items()))
        return f"it has {counted(count, 'sample')} in split {name}: --set data.eval_split={name}"
    new = f"{found.name}-held-out"
    return (
        f"hold some out with 'pvit-data split {shown(plain_url(found.url))} --source {found.name} --name {new} "
        f"--holdout 20', then train with --downstream {new}"
    )


def _check_finetune(config: TrainConfig, sources: Sequence[SourcePlan]) -> None:
    """Refuses to train the action head alone where something else would be trained, or there is none."""
    if config.model.finetune == "all":
        return
    others = {s.name: [n for n in (*s.labels, *s.tasks) if n != ACTION] for s in sources}
    told = dict.fromkeys(name for names in others.values() for name in names)
    has_actions = any(ACTION in source.labels for source in sources)
    if has_actions and not told:
        return
    ways = [
        f"train its actions alone with --set 'clip.tasks.{source.name}=[{ACTION}]'"
        if source.role == "downstream"
        else "leave auxiliary sources out with mixture.portion=0"
        for source in sources
        if has_actions and others[source.name]
    ]
    remedies = [*dict.fromkeys(ways), "train all"]
    raise ConfigError(
        f"model.finetune=head trains the action head alone, but the sources are there for "
        f"{', '.join(told) or 'no actions'}; {', or '.join(remedies)}"
    )


def _finish(
    config: TrainConfig, sources: tuple[SourcePlan, ...], mixture: Mixture, notes: list[str]
) -> Plan:
    supervised = {task for s in sources for task in s.tasks}
    wanted = supervised if config.model.tasks is None else config.model.tasks
    tasks = ordered(wanted)
    unsupervised = [t for t in tasks if t not in supervised]
    network = make_config(
        backbone=config.model.name, variant=config.model.variant, **config.model.options
    )
    if unsupervised and network.heads:
        prompts = "" if network.prompts == "none" else "the prompts are there, "
        notes.append(
            f"no source supervises {', '.join(unsupervised)}: {prompts}nothing trains their heads"
        )
    optim, per_epoch = config.optim, mixture.steps_per_epoch
    num_steps = optim.steps or max(1, math.ceil(optim.epochs * per_epoch))
    notes += [*_rate_notes(config, num_steps), *other_options(config.model)]
    action = _action_space(sources)
    labels = dict.fromkeys(label for source in sources for label in source.labels)
    numbers = {label: len(space.classes) for label, space in label_spaces(sources).items()}
    clip = config.clip.model_copy(update={"label_classes": numbers})
    config = _resolved(config.model_copy(update={"clip": clip}), network, (*tasks, *labels))
    for source in (source for source in sources if source.role == "downstream"):
        require_whole_frames(config, network, source.name, (*source.tasks, *source.labels))
    return Plan(
        config=config,
        sources=sources,
        mixture=mixture,
        tasks=tasks,
        heads=network.heads,
        spaces=_label_spaces(sources, tasks),
        action=action,
        num_steps=num_steps,
        steps_per_epoch=per_epoch,
        notes=tuple(notes),
    )


def _rate_notes(config: TrainConfig, num_steps: int) -> list[str]:
    """Where the learning rate is hardly what the recipe means."""
    optim, batch = config.optim, config.mixture.batch_size
    notes = []
    if optim.lr_batch and batch != optim.lr_batch and optim.scale_lr == "none":
        notes.append(
            f"the learning rate {optim.lr:g} belongs to a batch of {optim.lr_batch}, this run has {batch}; "
            "set optim.lr, or --set optim.scale_lr=linear"
        )
    if 2 * optim.warmup_steps > num_steps:
        notes.append(
            f"the warm-up takes {optim.warmup_steps} steps, the run has {num_steps}: the learning rate is low for "
            f"most of it; begin it with --set optim.warmup_steps={num_steps // 10}, or train longer"
        )
    return notes


def _resolved(config: TrainConfig, network: PViTConfig, tasks: Sequence[str]) -> TrainConfig:
    """The configuration with the weights of the losses, and with clips and targets as the backbone takes them."""
    weights = {task: config.losses.weight_of(task) for task in tasks} | config.losses.weights
    losses = config.losses.model_copy(update={"weights": weights})
    return config.model_copy(update={"losses": losses, "clip": clip_for(config.clip, network)})


def _label_spaces(sources: Sequence[SourcePlan], tasks: Sequence[str]) -> dict[str, LabelSpace]:
    """Label spaces of the tasks that have an output for each."""
    found: dict[str, LabelSpace] = {}
    for source in sources:
        for task in set(source.tasks) & set(tasks):
            if not target_spec(task).by_space:
                continue
            space = source.train.spaces_of(source.name).get(target_spec(task).field)
            if space is None:
                continue
            if not set(space.classes) <= set(found.setdefault(space.name, space).classes):
                raise PvitError(
                    f"label space '{space.name}' has other classes in source '{source.name}'; convert both alike"
                )
    return found


def label_spaces(sources: Sequence[SourcePlan]) -> dict[str, LabelSpace]:
    """The classes of the downstream's labels that have an output for each, by label."""
    found = {}
    for source in sources:
        spaces = source.train.spaces_of(source.name)
        for spec in target_specs(source.labels):
            if not spec.by_class:
                continue
            if spec.by_class not in spaces:
                raise UsageError(
                    f"downstream source '{source.name}' has no classes of {spec.by_class}, on which {spec.name} are "
                    "trained; choose another downstream"
                )
            found[spec.name] = spaces[spec.by_class]
    return found


def _action_space(sources: Sequence[SourcePlan]) -> LabelSpace | None:
    for source in sources:
        if ACTION in source.labels:
            space = source.train.spaces_of(source.name).get(ACTION)
            if space is None:
                raise UsageError(
                    f"downstream source '{source.name}' has no action classes; choose another downstream"
                )
            return space
    return None
