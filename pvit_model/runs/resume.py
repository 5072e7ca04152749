"""What a run goes on from: its newest checkpoint, if its data and configuration are those that it began with.

Its length may be another than it began with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvit_data.errors import UsageError
from pvit_model.network.inference import Inference
from pvit_model.recipes.config import TrainConfig
from pvit_model.recipes.loading import load_recipe, with_settings
from pvit_model.recipes.plan import Plan
from pvit_model.recipes.schedule import lr_at, peak_lr
from pvit_model.runs import checkpoint, folder

CONFIG = "config.yaml"
DEFAULT = "pvit"
"""The recipe where none is named."""


@dataclass(frozen=True)
class Start:
    """Where a run starts.

    Args:
        plan: in the class ids of the run that goes on.
        checkpoint: to go on from; None: from the beginning.
        changes: sources whose data are others than when the run began.
        remarks: sentences about what cannot be told of them, and about another length of the run.
        has_new_length: the run is to become longer or shorter.
    """

    plan: Plan
    checkpoint: Path | None
    changes: list[folder.Change]
    remarks: list[str]
    has_new_length: bool = False


def start_of(plan: Plan, out: Path, resume: bool, allow_changed_data: bool = False) -> Start:
    """Looks for what is to be resumed; nothing is written.

    Args:
        plan: what would be trained from the beginning.
        out: the run's folder.
        resume: go on from its newest checkpoint, where there is one.
        allow_changed_data: whatever the data are now.

    Raises:
        UsageError: if a source was changed and that is not allowed, the network lacks one of its classes, or a
            setting that a run keeps is another.
        FormatError: if every checkpoint is damaged.
    """
    found = checkpoint.newest(out / "checkpoints") if resume else None
    if found is None:
        return Start(plan, None, [], [])
    changes, remarks = folder.changed_data(out, plan)
    if not allow_changed_data:
        folder.check_data(changes)
    plan = plan.in_spaces_of(Inference.load(found))
    state = checkpoint.read_state(found)
    has_new_length = folder.check_same(plan, state, bool(changes))
    if has_new_length:
        remarks = [*remarks, new_length(plan, state)]
    return Start(plan, found, changes, remarks, has_new_length)


def new_length(plan: Plan, state: Mapping[str, Any]) -> str:
    """From where to where a run's length changes, and how its learning rate jumps there."""
    optim, old, new = plan.config.optim, int(state.get("num_steps") or 0), plan.num_steps
    step, peak = (
        int(state["progress"].get("step") or 0),
        peak_lr(optim, plan.config.mixture.batch_size),
    )
    which = f"the {'finished ' if step >= old else ''}run of {old} steps"
    if step == new:
        return f"{which} ends where it is, at step {step}"
    before, after = lr_at(max(step - 1, 0), old, peak, optim), lr_at(step, new, peak, optim)
    does = "grows" if new > old else "shrinks"
    return (
        f"{which} {does} to {new}: the next step has the learning rate {after:.3g} of the schedule over {new} steps, "
        f"the last one had {before:.3g}"
    )


def resolved(
    recipe: str | TrainConfig | None,
    shards: Sequence[str],
    out: Path,
    settings: Sequence[str],
    resume: bool,
) -> tuple[TrainConfig, list[str]]:
    """What is trained on which shards; of a run that goes on, what is not said is what it began with.

    Args:
        recipe: name or file of a recipe, or a configuration; None: the run's, or the paper's.
        shards: folders or URLs; none: the run's.
        out: the run's folder.
        settings: changes to the recipe, each `"a.b=c"`.
        resume: whether a run in `out` is to go on.

    Raises:
        UsageError, ConfigError: if that is not enough to know.
    """
    goes_on = resume and (out / CONFIG).is_file()
    if isinstance(recipe, TrainConfig):
        config = with_settings(recipe, settings)
    elif recipe is None and goes_on:
        config = load_recipe(str(out / CONFIG), settings)
    else:
        config = load_recipe(recipe or DEFAULT, settings)
    if shards or goes_on:
        return config, list(shards) or shards_of(out, config)
    missing = f"'{out}' holds no run to go on with, so " if resume else ""
    raise UsageError(f"{missing}say which data to train on: --shards FOLDER, one --shards each")


def shards_of(out: Path, config: TrainConfig) -> list[str]:
    """Folders and URLs that a run was trained on, as its data.json has them: without secrets.

    Args:
        out: the run's folder.
        config: the run's, whose layers need no folder of their own.

    Raises:
        UsageError: if there is no data.json.
        FormatError: if it is not readable.
    """
    path = out / "data.json"
    if not path.is_file():
        raise UsageError(
            f"--resume: '{out}' has no data.json that says what it was trained on; give --shards"
        )
    values = folder.read_data(path)
    if "sources" not in values:
        return list(values)
    named = {layer for layers in config.data.layers.values() for layer in layers}
    found: list[str] = []
    for entry in values["sources"].values():
        layers = [layer for layer in entry.get("layers", ()) if layer not in named]
        found += [
            entry.get("url"),
            entry.get("base"),
            *(text.rpartition("#")[0] for text in layers),
        ]
    return list(dict.fromkeys(url for url in found if isinstance(url, str) and url))
