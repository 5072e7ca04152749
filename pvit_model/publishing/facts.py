"""What a run recorded of itself: which weights shall be published, on what and how they were trained.

A folder that was exported says nothing of that: then nothing is known, and nothing is made up.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pvit_data.errors import FormatError, PvitError, UsageError
from pvit_data.storage.values import read_json
from pvit_data.words import first_problem
from pvit_model.network.save import CONFIG
from pvit_model.recipes.config import TrainConfig
from pvit_model.recipes.loading import load_recipe
from pvit_model.runs.checkpoint import checkpoints, newest, read_state
from pvit_model.using.loading import find_model, run_of

Revision = Literal["best", "last"]
MOST_STARTS = 8
"""Runs that each began with the weights of the next."""


@dataclass(frozen=True)
class Weights:
    """A network's files.

    Args:
        folder: with config.json, inference.json and model.safetensors.
        step: optimiser steps done; None: not known.
        run: the run's folder; None: of no run.
    """

    folder: Path
    step: int | None = None
    run: Path | None = None


def find_weights(where: str, revision: Revision) -> Weights:
    """The weights that are meant.

    Args:
        where: a run's folder, or what `find_model` takes.
        revision: of a run, those of its best checkpoint or of its last one.

    Raises:
        UsageError: if there are none.
        FormatError: if every checkpoint is damaged.
    """
    run = run_of(where)
    if run is None or not (Path(where).expanduser() / "checkpoints").is_dir():
        folder = find_model(where)
        if revision == "last":
            raise UsageError(f"--revision last: '{where}' is no run's folder, it has one model")
        return Weights(folder, _step_of(folder, run), run)
    last = newest(run / "checkpoints")
    if last is None:
        raise UsageError(f"run '{where}' has no checkpoint yet; train longer, or check its log")
    state = read_state(last)
    at = int(state["step"])
    if revision == "last":
        return Weights(last, at, run)
    best = _best_step(state) or at
    if (run / "model" / CONFIG).is_file():
        return Weights(run / "model", best, run)
    folder = next((path for step, path in checkpoints(run / "checkpoints") if step == best), last)
    return Weights(folder, best if folder != last else at, run)


def _best_step(state: dict[str, Any]) -> int:
    progress = state.get("progress")
    return int(progress.get("best_step") or 0) if isinstance(progress, dict) else 0


def _step_of(folder: Path, run: Path | None) -> int | None:
    """The step of a run's checkpoint or exported model that was named itself."""
    if run is None:
        return None
    if (folder / "state.json").is_file():
        return int(read_state(folder)["step"])
    last = newest(run / "checkpoints")
    if last is None or folder.absolute() != (run / "model").absolute():
        return None
    state = read_state(last)
    return _best_step(state) or int(state["step"])


class Rights(BaseModel):
    """Under which licence something is that weights were made from.

    Args:
        name: of a source, a layer, or a file of weights.
        title: its full name.
        licence: as it says itself; "": it says none.
        redistributable: whether it may be passed on.
        derived: whether its licence lets be passed on what was made from it: `"yes"`, `"no"` or `"unknown"`.
        derived_clause: what the licence says of that.
        is_weights: it is weights, which training began with.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    title: str = ""
    licence: str = ""
    redistributable: bool = False
    derived: Literal["yes", "no", "unknown"] = "unknown"
    derived_clause: str = ""
    is_weights: bool = False


class Trained(BaseModel):
    """A source as `data.json` records it.

    Args:
        url: where it was read, without secrets.
        train: clips of it; None: not recorded.
        without: tasks of the recipe that none of them carries.
        rights: its own, those of its layers, and of a protocol's base; empty: not recorded.
    """

    url: str = ""
    train: int | None = None
    without: list[str] = []
    rights: list[Rights] = []


class _Data(BaseModel):
    sources: dict[str, Trained] = Field(default={})


class _Environment(BaseModel):
    code: dict[str, str] = {}


@dataclass(frozen=True)
class RunFacts:
    """What is known of how weights were made.

    Args:
        config: the run's configuration; None: not known.
        sources: by name.
        starts: weights that it began with.
        code: version and commit of the toolkit.
    """

    config: TrainConfig | None = None
    sources: dict[str, Trained] = field(default_factory=dict)
    starts: tuple[Rights, ...] = ()
    code: dict[str, str] = field(default_factory=dict)

    @property
    def rights(self) -> list[Rights]:
        """All that the weights were made from, each once; a source that recorded nothing has no licence."""
        found: dict[str, Rights] = {}
        for name, source in self.sources.items():
            for each in source.rights or [Rights(name=name)]:
                found.setdefault(each.name, each)
        return [*found.values(), *self.starts]


def read_facts(run: Path, depth: int = 0) -> RunFacts:
    """What a run's folder says.

    Raises:
        FormatError, ConfigError: if a file of it cannot be read.
    """
    config = load_recipe(str(run / "config.yaml")) if (run / "config.yaml").is_file() else None
    sources = {}
    if (run / "data.json").is_file():
        values = read_json(run / "data.json")
        known = values if isinstance(values, dict) and "sources" in values else {"sources": {}}
        sources = _checked(known, run / "data.json").sources
    code = {}
    if (run / "environment.json").is_file():
        code = _code(read_json(run / "environment.json"), run / "environment.json")
    if not sources and config is not None:  # of earlier versions
        sources = {name: Trained() for name in config.clip.tasks}
    return RunFacts(config, sources, tuple(_starts(config, depth)), code)


def _checked(values: Any, path: Path) -> _Data:
    try:
        return _Data.model_validate(values)
    except ValidationError as error:
        raise FormatError(f"{path}: {first_problem(error)}") from None


def _code(values: Any, path: Path) -> dict[str, str]:
    try:
        return _Environment.model_validate(values).code
    except ValidationError as error:
        raise FormatError(f"{path}: {first_problem(error)}") from None


def _starts(config: TrainConfig | None, depth: int) -> list[Rights]:
    """What training began with: published weights, those of another run with all that they were made from."""
    if config is None:
        return []
    found = []
    if file := config.model.checkpoint:
        licence, title = _published(config, Path(file).name)
        free: Literal["yes", "unknown"] = "yes" if licence else "unknown"
        found.append(
            Rights(
                name=Path(file).name, title=title, licence=licence, derived=free, is_weights=True
            )
        )
    if other := config.model.init_from:
        found += _of_other(other, depth)
    return found


def _of_other(where: str, depth: int) -> list[Rights]:
    """What the weights of another run were made from; where it is there no more, they have no licence."""
    run = run_of(where)
    if run is not None and depth < MOST_STARTS:
        with suppress(PvitError, OSError):
            return [
                each.model_copy(update={"is_weights": True})
                for each in read_facts(run, depth + 1).rights
            ]
    return [Rights(name=Path(where).name, is_weights=True)]


def _published(config: TrainConfig, name: str) -> tuple[str, str]:
    """Licence and origin of a file of published weights; "" where it is not known."""
    import torch

    from pvit_model.backbones import build_backbone

    with torch.device("meta"):
        backbone = build_backbone(config.model.name)
    known = {file.file: file for file in backbone.published}
    return (known[name].licence, known[name].trained_on) if name in known else ("", "")
