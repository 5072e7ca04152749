"""In what a run differs from the recipe of its name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pvit_data.reading.layers.places import WHERE_IT_LIES
from pvit_data.tasks.table import labels_among
from pvit_model.config import make_config
from pvit_model.recipes.clips import sized_for
from pvit_model.recipes.config import (
    FIXED_BY_THE_BACKBONE,
    LossConfig,
    TrainConfig,
    certain,
    known_paths,
)
from pvit_model.recipes.loading import (
    USUAL_DATA,
    auxiliary,
    load_recipe,
    row_of,
    usual_sampler,
)

FILLED_IN = {"name", "about", "pretrained", "target", "paper", "ours", "clip.downstream", "clip.tasks"} | {
    "clip.samplers", "clip.label_classes", "model.checkpoint", "model.init_from", *FIXED_BY_THE_BACKBONE
}  # fmt: skip
OUTSIDE = ("run", "data")
COUNTS = {f"data.{name}" for name in ("where", "layers", "allow_overlap", "eval_split")} | {
    "run.best", "run.precision"
}  # fmt: skip
"""Keys of these sections that decide what is learned, or which weights are the best."""


def changes_of(
    config: TrainConfig,
    without: Mapping[str, Collection[str]] | None = None,
    layers: Mapping[str, Collection[str]] | None = None,
) -> list[str]:
    """Keys in which the configuration of a run differs from the shipped recipe of its name; none for other names.

    What changes nothing of what is learned is left out, or is in every result's passport. A run that lacked sources or
    tasks that its recipe means says so, and one that began with random weights, where its recipe means published ones.

    Args:
        config: of a run: with the tasks of each of its sources.
        without: tasks by source that no training sample carried.
        layers: names of those that were attached, by source.
    """
    if not row_of(config.name):
        return []
    shipped = load_recipe(config.name)
    network = make_config(
        backbone=config.model.name, variant=config.model.variant, **config.model.options
    )
    shipped = shipped.model_copy(update={"clip": sized_for(shipped.clip, network)})
    own, recipe = (c.model_dump(mode="json") for c in (config, shipped))
    own["losses"]["weights"] = {
        name: weight
        for name, weight in own["losses"]["weights"].items()
        if name in recipe["losses"]["weights"] or weight != LossConfig().weight_of(name)
    }
    changed = [path for path in known_paths() if _differs(path, own, recipe)]
    changed += _other_samplers(config, shipped) + _lacking_layers(shipped, layers or {})
    changed += _other_tasks(config, shipped, without or {})
    is_random = shipped.pretrained and not (config.model.checkpoint or config.model.init_from)
    return changed + ["model.checkpoint (none: random weights)"] * bool(is_random)


def _other_samplers(config: TrainConfig, shipped: TrainConfig) -> list[str]:
    """Where clips were cut otherwise; a run notes what its sources declare."""
    other = [
        f"{name}: {config.clip.samplers[name]}"
        for name in config.clip.tasks
        if name in config.clip.samplers
        and config.clip.samplers[name] != shipped.clip.sampler(name, usual_sampler(name))
    ]
    return [f"clip.samplers ({', '.join(other)})"] if other else []


def _lacking_layers(shipped: TrainConfig, layers: Mapping[str, Collection[str]]) -> list[str]:
    """Layers that a recipe means where they lie, and that a run did without."""
    lacking = []
    for name in shipped.data.layers.keys() & layers.keys():
        meant = [each.removesuffix(WHERE_IT_LIES) for each in shipped.data.layers[name]]
        if gone := [each for each in meant if each not in layers[name]]:
            lacking.append(f"{name}: without {', '.join(gone)}")
    return [f"data.layers ({'; '.join(lacking)})"] if lacking else []


def _other_tasks(
    config: TrainConfig, shipped: TrainConfig, without: Mapping[str, Collection[str]]
) -> list[str]:
    """Where a run trained other sources, or other tasks on them, than its recipe means."""
    trained = {
        name: {*tasks} - {*without.get(name, ())} for name, tasks in config.clip.tasks.items()
    }
    used = [name for name, tasks in trained.items() if tasks]
    expected = (*auxiliary(), shipped.clip.downstream)
    meant = {name: _meant(shipped, name) for name in (*expected, *used)}
    lacking = [name for name in expected if meant[name] and name not in used]
    other = [
        f"{name}: {', '.join(sorted(trained[name]))}"
        for name in used
        if trained[name] != meant[name]
    ]
    learned = set().union(*trained.values())
    missing = {*(shipped.model.tasks or ())} & {*(config.model.tasks or ())} - learned
    is_alone = not shipped.mixture.portion
    told = {
        "sources (without {})": ", ".join(lacking),
        "clip.tasks ({})": "; ".join(other),
        "tasks (without {})": "" if is_alone else ", ".join(sorted(missing)),
    }
    return [text.format(names) for text, names in told.items() if names]


def _meant(shipped: TrainConfig, source: str) -> set[str]:
    """The tasks that a recipe means to be trained on a source."""
    lists = shipped.clip.tasks
    if source == shipped.clip.downstream:  # what lies over SSv2 has its list
        lists = {source: lists.get(USUAL_DATA, ())} | lists
    named = certain(lists.get(source, auxiliary().get(source, ())))
    found = {task for task in named if task in (shipped.model.tasks or ())}
    if source == shipped.clip.downstream:
        return found.union(labels_among(named)) if source else set()
    return found if shipped.mixture.portion else set()


def _differs(path: str, own: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    section, _, key = path.partition(".")
    is_outside = section in OUTSIDE and path not in COUNTS
    if path in FILLED_IN or is_outside or not key:
        return False
    return bool(own[section][key] != recipe[section][key])
