"""What a run recorded of itself: which weights shall be published, on what and how they were trained.

A folder that was exported says nothing of that: then nothing is known, and nothing is made up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from pvit_data.errors import FormatError, UsageError
from pvit_data.storage.values import read_json
from pvit_data.words import first_problem
from pvit_model.network.save import CONFIG
from pvit_model.recipes.config import TrainConfig
from pvit_model.runs.checkpoint import checkpoints, newest, read_state
from pvit_model.runs.learned import Learned, config_of, read_learned, run_of
from pvit_model.using.loading import find_model

Revision = Literal["best", "last"]


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
    if last is None:
        return None
    state = read_state(last)
    return _best_step(state) or int(state["step"])


class _Environment(BaseModel):
    code: dict[str, str] = {}


@dataclass(frozen=True)
class RunFacts:
    """What is known of how weights were made.

    Args:
        config: the run's configuration; None: not known.
        learned: from what.
        code: version and commit of the toolkit.
    """

    config: TrainConfig | None = None
    learned: Learned = field(default_factory=Learned)
    code: dict[str, str] = field(default_factory=dict)


def read_facts(run: Path) -> RunFacts:
    """What a run's folder says.

    Raises:
        FormatError, ConfigError: if a file of it cannot be read.
    """
    config = config_of(run)
    code = {}
    if (run / "environment.json").is_file():
        code = _code(read_json(run / "environment.json"), run / "environment.json")
    return RunFacts(config, read_learned(run, config), code)


def _code(values: Any, path: Path) -> dict[str, str]:
    try:
        return _Environment.model_validate(values).code
    except ValidationError as error:
        raise FormatError(f"{path}: {first_problem(error)}") from None
