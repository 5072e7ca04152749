"""Which sources a recipe trains on a set of shards, and what on each: the part of a plan that needs no network.

`pvit train` and `pvit-data mix` both ask here, so that the mixture that is looked at is the one that is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pvit_data.errors import ConfigError, UsageError
from pvit_data.mixing.config import build_mixture
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.sources import FoundSource, SampleSet, trained_tasks
from pvit_data.tasks.names import kind_of
from pvit_data.tasks.table import labels, target_specs
from pvit_data.words import did_you_mean
from pvit_model.plugins import TASKS
from pvit_model.recipes.config import TrainConfig


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


def choose_sources(config: TrainConfig, found: Mapping[str, FoundSource]) -> Chosen:
    """Resolves a configuration against the sources that there are.

    Args:
        found: the sources by name, as `find_sources` gives them.

    Raises:
        UsageError, ConfigError: if they don't fit each other; the message says what to change.
    """
    _check_names(config, found)
    downstream = config.clip.downstream
    names = [downstream] if downstream else []
    others = [name for name in sorted(found) if name != downstream]
    notes = []
    if config.mixture.portion > 0:
        names += others
    elif others:
        notes.append(f"mixture.portion is 0: {', '.join(others)} not used")
    tasks = {name: _tasks_of(found[name].ds, name, config) for name in names}
    used = [name for name in names if name == downstream or tasks[name]]
    notes += [
        f"source '{name}' trains none of the recipe's tasks and is left out"
        for name in names
        if name not in used
    ]
    if not used:
        raise ConfigError(
            f"recipe '{config.name}': none of the sources {', '.join(sorted(found))} trains one of its tasks; "
            "name a downstream source with --downstream, or set data and model.tasks to match"
        )
    declared = {name: found[name].ds.sources[name].sampler for name in used}
    samplers = {name: sampler for name, sampler in declared.items() if sampler}
    clip = config.clip.model_copy(
        update={"tasks": tasks, "samplers": samplers | config.clip.samplers}
    )
    config = config.model_copy(update={"clip": clip})
    return Chosen(config, {name: found[name] for name in used}, tuple(notes))


def _check_names(config: TrainConfig, found: Mapping[str, FoundSource]) -> None:
    listed = ", ".join(sorted(found))
    downstream = config.clip.downstream
    if downstream and downstream not in found:
        raise UsageError(
            f"downstream source '{downstream}' is not in the shards, which hold {listed}; "
            "add its folder with --shards, or name another with --downstream"
        )
    mentioned = {
        *config.mixture.weights,
        *config.data.where,
        *config.clip.tasks,
        *config.clip.samplers,
        *config.clip.per_source,
    }
    for name in sorted(mentioned - set(found)):
        # A recipe may mention sources that this user does not have, but not misspell one that is there.
        if hint := did_you_mean(name, found):
            raise UsageError(f"source '{name}' is not in the shards, which hold {listed}{hint}")


def _tasks_of(ds: SampleSet, name: str, config: TrainConfig) -> tuple[str, ...]:
    """Tasks trained on a source: the recipe's list for it, else those it declares; cut to the model's tasks.

    A downstream source that the recipe has no list for trains its labels only.
    """
    is_downstream = name == config.clip.downstream
    target_specs(config.clip.tasks.get(name, ()))  # refuses what the recipe misspells
    declared = () if is_downstream else ds.sources[name].tasks
    named = config.clip.tasks.get(name, declared)
    allowed = config.model.tasks
    if allowed is None:  # a source may declare tasks that no installed model knows
        allowed = tuple(task for task in named if kind_of(task) in TASKS)
    kept = [
        task
        for task in named
        if task in labels() or (task in allowed and not config.losses.is_off(task))
    ]
    return trained_tasks(ds, name, {name: kept}, is_downstream)
