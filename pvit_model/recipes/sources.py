"""Which sources a recipe trains on a set of shards, and what on each: the part of a plan that needs no network.

`pvit train` and `pvit-data mix` both ask here, so that the mixture that is looked at is the one that is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pvit_data.errors import ConfigError, UsageError
from pvit_data.mixing.config import build_mixture
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.sources import declared_sampler, trained_tasks
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.layers.places import WHERE_IT_LIES, FoundSource, find_sources
from pvit_data.tasks.names import kind_of
from pvit_data.tasks.table import every_task, ordered, target_spec, target_specs
from pvit_data.words import did_you_mean
from pvit_model.config import make_config
from pvit_model.plugins import TASKS
from pvit_model.recipes.config import TrainConfig, certain
from pvit_model.recipes.loading import data_names
from pvit_model.recipes.overlap import require_apart


@dataclass(frozen=True)
class Chosen:
    """The sources of a run.

    Args:
        config: with the tasks and samplers of each source filled in.
        found: the sources that are used, by name, the downstream first.
        notes: sentences the user should read.
    """

    config: TrainConfig
    found: Mapping[str, FoundSource]
    notes: tuple[str, ...]

    def told(self, mixture: Mixture) -> tuple[str, ...]:
        """The notes, and before them what is attached to the sources of their mixture."""
        datasets = ((s.name, s.ds) for s in mixture.sources if isinstance(s.ds, ShardDataset))
        attached = (text for name, ds in datasets for text in self.found[name].told(ds))
        return (*attached, *self.notes)

    def mixture(self, split: str = "train") -> Mixture:
        """The mixture of the sources' samples.

        Raises:
            UsageError, ConfigError: if there is nothing to mix, or it does not fit.
        """
        config = self.config
        return build_mixture(
            self.found, config.mixture, config.clip.downstream,
            split=split, where=config.data.where, tasks=config.clip.tasks, seed=config.run.seed,
        )  # fmt: skip


def sources_of(
    config: TrainConfig, urls: Iterable[str], named: Iterable[str] = ()
) -> dict[str, FoundSource]:
    """The sources of a run, with the layers and protocols that its recipe names.

    Args:
        named: sources that are named elsewhere.

    Raises:
        UsageError: if a protocol that the recipe names is not there; else as `find_sources`.
    """
    data = config.data
    wanted = [*filter(None, [config.clip.downstream]), *data.protocols, *named]
    found = find_sources(urls, data.layers, wanted, strict=data.strict_layers)
    if gone := [name for name in data.protocols if name not in found]:
        raise UsageError(
            f"data.protocols: no '{gone[0]}' in the shards; add its folder with --shards"
        )
    return found


def choose_sources(config: TrainConfig, found: Mapping[str, FoundSource]) -> Chosen:
    """Resolves a configuration against the sources that there are.

    Args:
        found: the sources by name, as `find_sources` gives them.

    Raises:
        UsageError, ConfigError: if they don't fit each other; the message says what to change.
    """
    _check_names(config, found)
    config = _with_settings_of_bases(config, found)
    downstream = config.clip.downstream
    names = [downstream] if downstream else []
    others = [name for name in sorted(found) if name != downstream]
    notes = []
    if config.mixture.portion > 0:
        names += others
    elif others:
        notes.append(f"mixture.portion is 0: {', '.join(others)} not used")
    tasks = {name: _tasks_of(found[name].ds, name, config) for name in names}
    heads = _has_heads(config)
    if not heads:
        config, tasks = _without_heads(config, tasks)
    used = [name for name in names if name == downstream or tasks[name]]
    notes += [
        f"source '{name}' trains none of the recipe's tasks and is left out"
        for name in names
        if name not in used
    ]
    notes += [
        f"source '{name}': {', '.join(left)} of its layers are not trained, since the recipe says what is; "
        f"--set 'clip.tasks.{name}=[{', '.join([*tasks[name], *left])}]' trains them"
        for name in used
        if heads and (left := _left_of_layers(found[name].ds, name, config, tasks[name]))
    ]
    notes += [text for name in names if (text := _asked_in_vain(name, config, tasks[name]))]
    if not used:
        raise ConfigError(
            f"recipe '{config.name}': none of the sources {', '.join(sorted(found))} trains one of its tasks; "
            "name a downstream source with --downstream, or set data and model.tasks to match"
        )
    declared = {name: declared_sampler(found[name].ds, name) for name in used}
    samplers = {name: sampler for name, sampler in declared.items() if sampler}
    clip = config.clip.model_copy(
        update={"tasks": tasks, "samplers": samplers | config.clip.samplers}
    )
    config = config.model_copy(update={"clip": clip})
    chosen = {name: found[name] for name in used}
    if not config.data.allow_overlap:
        require_apart(chosen, config.data.where)
    return Chosen(config, chosen, tuple(notes))


def _with_settings_of_bases(config: TrainConfig, found: Mapping[str, FoundSource]) -> TrainConfig:
    """A protocol has the settings of its base where the recipe has none of its own."""
    over = {name: source.over for name, source in found.items() if source.over}

    def filled(values: Mapping[str, Any]) -> dict[str, Any]:
        return {**{name: values[base] for name, base in over.items() if base in values}, **values}

    if not over:
        return config
    clip, mixture, data = config.clip, config.mixture, config.data
    of_clips = {name: filled(getattr(clip, name)) for name in ("tasks", "samplers", "per_source")}
    for name, own in clip.per_source.items():  # what it does not say itself
        if (base := clip.per_source.get(over.get(name, ""))) is not None:
            said = own.model_dump(exclude_none=True)
            of_clips["per_source"][name] = base.model_copy(update=said)
    if isinstance(clip.flip, dict):
        of_clips["flip"] = filled(clip.flip)
    changed = {
        "clip": clip.model_copy(update=of_clips),
        "mixture": mixture.model_copy(update={"weights": filled(mixture.weights)}),
        "data": data.model_copy(update={"where": filled(data.where)}),
    }
    return config.model_copy(update=changed)


def _check_names(config: TrainConfig, found: Mapping[str, FoundSource]) -> None:
    listed = ", ".join(sorted(found))
    downstream = config.clip.downstream
    if downstream and downstream not in found:
        raise UsageError(
            f"downstream source '{downstream}' is not in the shards, which hold {listed}; "
            "add its folder with --shards, or name another with --downstream"
        )
    layered = {
        name
        for name, layers in config.data.layers.items()
        if not all(layer.endswith(WHERE_IT_LIES) for layer in layers)
    }
    mentioned = {
        *config.mixture.weights,
        *config.data.where,
        *(config.clip.tasks.keys() - data_names()),
        *config.clip.samplers,
        *config.clip.per_source,
        *layered,
    }
    bases = {source.over for source in found.values()}
    for name in sorted(mentioned - set(found) - bases):
        # A recipe may mention sources that this user does not have, but not misspell one that is there.
        if (hint := did_you_mean(name, found)) or name in layered:
            raise UsageError(f"source '{name}' is not in the shards, which hold {listed}{hint}")


def _of_layers(ds: ShardDataset, name: str) -> tuple[str, ...]:
    """Tasks of the fields that layers give: those that the layers declare, else all of them."""
    given = ds.layers_of(name)
    found = [
        task
        for task in every_task()
        if (layer := given.get(target_spec(task).field)) is not None
        and (not layer.tasks or task in layer.tasks)
    ]
    return tuple(task for task in found if not target_spec(task).downstream_only)


def _has_heads(config: TrainConfig) -> bool:
    """Whether the network has heads for auxiliary tasks."""
    model = config.model
    return make_config(backbone=model.name, variant=model.variant, **model.options).heads


def _without_heads(
    config: TrainConfig, tasks: Mapping[str, tuple[str, ...]]
) -> tuple[TrainConfig, dict[str, tuple[str, ...]]]:
    """Of a network without heads, which trains labels alone; prompts are named after the tasks of its sources."""
    labels = {name: _labels_of(own) for name, own in tasks.items()}
    if config.model.tasks is None:
        prompts = ordered(t for name, own in tasks.items() for t in own if t not in labels[name])
        model = config.model.model_copy(update={"tasks": prompts})
        config = config.model_copy(update={"model": model})
    return config, labels


def _labels_of(tasks: Iterable[str]) -> tuple[str, ...]:
    return tuple(task for task in tasks if target_spec(task).downstream_only)


def _given_by_layers(ds: ShardDataset, name: str, config: TrainConfig) -> tuple[str, ...]:
    """What layers add to a source; nothing to a downstream of which the action head alone is trained."""
    is_alone = config.model.finetune == "head" and name == config.clip.downstream
    return () if is_alone else _of_layers(ds, name)


def _left_of_layers(
    ds: ShardDataset, name: str, config: TrainConfig, tasks: Iterable[str]
) -> list[str]:
    """The recipe's tasks that layers of a source give, and that its list for the source leaves out."""
    wanted = every_task() if config.model.tasks is None else config.model.tasks
    listed = certain(config.clip.tasks.get(name, ()))
    trained = {kind_of(task) for task in (*tasks, *listed)}
    return [
        task
        for task in _given_by_layers(ds, name, config)
        if task in wanted and task not in trained and not config.losses.is_off(task)
    ]


def _asked_in_vain(name: str, config: TrainConfig, tasks: Iterable[str]) -> str:
    """Which tasks the recipe lists for a source although its network does not train them, and why; "": none."""
    model, losses = config.model, config.losses
    listed = [
        task
        for task in certain(config.clip.tasks.get(name, ()))
        if not (task in tasks or losses.is_off(task) or target_spec(task).downstream_only)
    ]
    told = f"source '{name}': {', '.join(listed)} of clip.tasks is not trained, since"
    if not listed or model.tasks is None:
        return ""
    if not _has_heads(config):
        return f"{told} a network of the variant '{model.variant}' has no heads for tasks"
    wanted = ", ".join([*model.tasks, *listed])
    return f"{told} model.tasks lacks it; --set 'model.tasks=[{wanted}]' trains it"


def _tasks_of(ds: ShardDataset, name: str, config: TrainConfig) -> tuple[str, ...]:
    """Tasks trained on a source: the recipe's list for it, else those it declares; cut to the model's tasks.

    Of the list, `depth?` is meant where the source declares it or a layer gives it. A downstream source that the recipe
    has no list for trains its actions only.
    """
    is_downstream = name == config.clip.downstream
    given = _given_by_layers(ds, name, config)
    declared = (*(() if is_downstream else ds.sources[name].tasks), *given)
    listed = config.clip.tasks.get(name, declared)
    target_specs(
        [task.removesuffix(WHERE_IT_LIES) for task in listed]
    )  # refuses what the recipe misspells
    named = dict.fromkeys(certain(listed, declared))
    allowed = config.model.tasks
    if allowed is None:  # a source may declare tasks that no installed model knows
        allowed = tuple(task for task in named if kind_of(task) in TASKS)
    kept = [
        task
        for task in named
        if target_spec(task).downstream_only or (task in allowed and not config.losses.is_off(task))
    ]
    return trained_tasks(ds, name, {name: kept}, is_downstream)
