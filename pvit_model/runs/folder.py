"""The run's folder: what is written there, when, and what a resumed run must find.

RUN/
    config.yaml        the resolved configuration
    plan.txt           the plan as it was printed
    data.json          what it learned from: see `learned`
    environment.json   code version, libraries, machine
    metrics.jsonl, tensorboard/
    checkpoints/step-*/
    model/             the best checkpoint's network: what `pvit predict` uses
    report.html
    debug/             batches that gave non-finite losses
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from pvit_data.errors import FormatError, StorageError, UsageError
from pvit_data.loading.batch import Batch
from pvit_data.storage.files import require_unlinked, write_file
from pvit_data.storage.storage import Storage
from pvit_data.storage.values import read_json
from pvit_data.words import first_problem
from pvit_model.network.pvit import PViT
from pvit_model.network.tensor_file import save_tensors
from pvit_model.recipes.config import LossConfig, TrainConfig
from pvit_model.recipes.plan import Plan
from pvit_model.runs.checkpoint import checkpoints, write_json
from pvit_model.runs.environment import environment
from pvit_model.runs.learned import data_record, read_learned

FOLDERS = ("checkpoints", "model", "tensorboard", "debug")
"""What a run writes into, below its own folder, which alone may be a link."""
FREE_TO_CHANGE = ("about", "name", "pretrained", "target", "paper", "ours", "data", "run")
"""Sections that a resumed run may change: they don't enter what is learned (but see `_identity_run`)."""
LENGTH = ("optim.steps", "optim.epochs")
"""What a run may change besides, as long as it ends no sooner than where it is."""
WRITTEN = (
    "config.yaml",
    "plan.txt",
    "data.json",
    "environment.json",
    "metrics.jsonl",
    "report.html",
    "report.json",
    "tracker-id.txt",
)
"""Files of a run."""


@dataclass(frozen=True)
class Change:
    """A source whose data are others than when the run began.

    Args:
        source: its name.
        old, new: hashes; "" where there was, or is, none.
    """

    source: str
    old: str
    new: str


def prepare(out: Path, resume: bool, is_main: bool, overwrite: bool = False) -> None:
    """Makes the run's folder.

    Args:
        overwrite: remove first what is left there of a run that ended before its first checkpoint.

    Raises:
        UsageError: if it holds another run and `resume` is off, nothing to resume, or a linked folder.
    """
    for name in FOLDERS:
        require_unlinked(out, out / name / "file")
    has_run = (out / "config.yaml").is_file()
    if overwrite and not resume and (has_run or not is_main):  # others find it cleared, or half so
        _require_failed_start(out)
        if is_main:
            _clear(out)
        return
    if has_run and not resume:
        way = (
            ""
            if _has_checkpoint(out)
            else ", replace what never got to a checkpoint with --overwrite"
        )
        raise UsageError(
            f"'{out}' already holds a run; continue it with --resume{way}, or choose another --out"
        )
    if resume and out.exists() and not has_run and any(out.iterdir()):
        raise UsageError(
            f"'{out}' is not a run's folder, there is nothing to resume; choose another --out"
        )
    if not has_run and out.exists() and any(out.iterdir()):
        raise UsageError(f"'{out}' is not empty and holds no run; choose another --out")
    if is_main:
        out.mkdir(parents=True, exist_ok=True)


def _has_checkpoint(out: Path) -> bool:
    return bool(checkpoints(out / "checkpoints"))


def _require_failed_start(out: Path) -> None:
    if _has_checkpoint(out):
        raise UsageError(
            f"--overwrite: the run in '{out}' has checkpoints; continue it with --resume, choose another --out, or "
            "delete the folder yourself"
        )


def _clear(out: Path) -> None:
    """Removes a run's own files and folders; what else is there stays."""
    for name in WRITTEN:
        (out / name).unlink(missing_ok=True)
    for name in (*FOLDERS, "constants"):
        if (out / name).is_dir():
            shutil.rmtree(out / name)


def reopen(out: Path) -> None:
    """Takes away the mark of a finished run: there is more to do."""
    for name in ("report.html", "report.json"):
        (out / name).unlink(missing_ok=True)


def describe(out: Path, plan: Plan, lines: list[str], goes_on: bool = False) -> None:
    """Writes what the run is made of.

    Args:
        goes_on: from a checkpoint, which was learned from what is recorded.
    """
    learned = read_learned(out, plan.config) if goes_on else None
    write_file(out / "config.yaml", plan.config.to_yaml())
    write_file(out / "plan.txt", "\n".join(lines) + "\n")
    write_json(out / "data.json", data_record(plan, learned))
    write_json(out / "environment.json", environment())


def changed_data(out: Path, plan: Plan) -> tuple[list[Change], list[str]]:
    """Which sources are not those that a run began with, and sentences about what cannot be told.

    Runs of earlier versions recorded the sha256 of each folder's manifest, which says less: these are compared.
    """
    if not (out / "data.json").is_file():
        return [], ["this run has no data.json: whether its data are the same cannot be told"]
    old = read_data(out / "data.json")
    if "sources" not in old:
        return _changed_manifests(old, plan)
    hashes = plan.data_hashes()
    before = {name: entry["sha256"] for name, entry in old["sources"].items()}
    changes = [
        Change(name, before.get(name, ""), hashes.get(name, ""))
        for name in sorted({*before, *hashes})
        if before.get(name) != hashes.get(name)
    ]
    return changes, []


def read_data(path: Path) -> dict[str, Any]:
    """`data.json` of this version or an earlier one.

    Raises:
        FormatError: if it is neither.
    """
    values = read_json(path)
    hashes = values.get("sources", values) if isinstance(values, dict) else None
    entries = list(hashes.values()) if isinstance(hashes, dict) else [None]
    if hashes is not values:
        entries = [entry.get("sha256") if isinstance(entry, dict) else None for entry in entries]
    if not isinstance(values, dict) or not all(isinstance(entry, str) for entry in entries):
        raise FormatError(
            f"{path}: does not say which data the run began with; put the file back, or start a new run"
        )
    return values


def without_of(run: Path) -> dict[str, list[str]]:
    """Tasks by source that no training sample of a run carried, as far as its data.json tells."""
    return {name: list(entry.get("without", ())) for name, entry in _entries(run).items()}


def layers_of(run: Path) -> dict[str, list[str]]:
    """Names of the layers by source that a run was trained with, as far as its data.json tells."""
    found = {name: entry.get("layers", ()) for name, entry in _entries(run).items()}
    return {
        name: [text.rpartition("#")[2] for text in layers]
        for name, layers in found.items()
        if all("#" in text for text in layers)  # of URLs earlier versions noted no names
    }


def _entries(run: Path) -> dict[str, Any]:
    with contextlib.suppress(FormatError, FileNotFoundError):
        found: dict[str, Any] = read_data(run / "data.json").get("sources", {})
        return found
    return {}


def _changed_manifests(old: Mapping[str, str], plan: Plan) -> tuple[list[Change], list[str]]:
    changes, unknown = [], []
    for source in plan.sources:
        if source.url not in old:
            unknown.append(
                f"source '{source.name}' was elsewhere when this run began: whether it is the same cannot be told"
            )
            continue
        found = hashlib.sha256(Storage(source.url).read("manifest.json")).hexdigest()
        if found != old[source.url]:
            changes.append(Change(source.name, old[source.url], found))
    return changes, unknown


def check_data(changes: Sequence[Change]) -> None:
    """Refuses data that changed.

    Raises:
        UsageError: naming the first source.
    """
    for change in changes:
        what = "is new" if not change.old else "is gone" if not change.new else "was changed"
        raise UsageError(
            f"--resume: source '{change.source}' {what} since the run began (sha256 {change.old[:12] or 'none'}, now "
            f"{change.new[:12] or 'none'}); give the data it had, start a new run, or go on with --allow-changed-data"
        )


def identity(plan: Plan) -> dict[str, Any]:
    """What must not change between a run and its resumption, as JSON values."""
    values = {
        k: v for k, v in plan.config.model_dump(mode="json").items() if k not in FREE_TO_CHANGE
    }
    values["seed"] = plan.config.run.seed
    values["rows"] = {s.name: len(s.train) for s in plan.sources}
    found: dict[str, Any] = json.loads(json.dumps(values))
    return found


def check_same(plan: Plan, state: Mapping[str, Any], changed_data: bool = False) -> bool:
    """Compares a checkpoint's identity with the plan's; whether the run is to have another length.

    Args:
        changed_data: the samples may be others, so their numbers are not compared.

    Raises:
        UsageError: naming the first difference, or the step that the run is at if it is to end before.
    """
    _require_state(state)
    old, new = (_comparable(values, plan) for values in (state["identity"], identity(plan)))
    if changed_data:
        old["rows"] = new["rows"]
    found = {path: (was, now) for path, was, now in differences(old, new)}
    length = {path: found.pop(path) for path in LENGTH if path in found}
    for path, (was, now) in found.items():
        raise UsageError(
            f"--resume: {path} was {was!r} and is now {now!r}; undo that change, or start a new run"
        )
    _check_length(length, plan, int(state["progress"].get("step") or 0))
    return bool(length) and plan.num_steps != state.get("num_steps")


def _check_length(changes: Mapping[str, tuple[Any, Any]], plan: Plan, step: int) -> None:
    """Refuses a run that would end before where it is, or a length that another setting decides."""
    for path, (was, now) in changes.items():
        change = f"--resume: {path} was {was!r} and is now {now!r}"
        if plan.num_steps < step:
            raise UsageError(
                f"{change}, which gives {plan.num_steps} steps, but the run is at step {step}; give {step} steps or "
                "more, or start a new run"
            )
        if [*changes] == ["optim.epochs"] and (steps := plan.config.optim.steps):
            raise UsageError(
                f"{change}, but this run's length is optim.steps={steps}; set that instead"
            )


class _State(BaseModel):
    """What must be there before a checkpoint's state is used."""

    progress: dict[str, float | None]
    num_steps: int = 0
    identity: dict[str, Any]
    balance: list[float] = []
    scaler: dict[str, Any] = {}


def _require_state(state: Mapping[str, Any]) -> None:
    try:
        _State.model_validate(state)
        TrainConfig.model_validate(
            {k: v for k, v in state["identity"].items() if k in TrainConfig.model_fields}
        )
    except ValidationError as error:
        raise FormatError(
            f"checkpoint: its state.json is not what a run of this toolkit writes: {first_problem(error)}"
        ) from None


def _comparable(identity: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """An identity with settings that are newer than it at their defaults, and the weights of the plan's losses only."""
    sections = {k: v for k, v in identity.items() if k in TrainConfig.model_fields}
    config = TrainConfig.model_validate(sections)
    values = config.model_dump(mode="json", include=set(sections))
    losses: LossConfig = config.losses
    values["losses"]["weights"] = {target: losses.weight_of(target) for target in plan.targets}
    return {**identity, **values}


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, old, new) of every value that differs between two trees."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from differences(
                old.get(key), new.get(key), f"{path}.{key}" if path else str(key)
            )
    elif old != new:
        yield path, old, new


@contextlib.contextmanager
def needing_room(out: Path) -> Iterator[None]:
    """Writing to a run's folder: a full disk is said with what helps, which is not the same command again.

    Raises:
        StorageError: if there is no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageError(
            f"{out}: no space left on the device, or the quota is used up; free some space and run the same command "
            "with --resume (what was saved is kept)"
        ) from error


def save_model(network: PViT, plan: Plan, path: Path) -> None:
    """The network with what is needed to use it."""
    network.save_pretrained(str(path))
    plan.inference().save(path)


@contextlib.contextmanager
def swapped(network: nn.Module, tensors: Mapping[str, Tensor] | None) -> Iterator[None]:
    """The network with other weights for a while; None leaves it as it is."""
    if tensors is None:
        yield
        return
    own = {k: v.detach().clone() for k, v in network.state_dict().items()}
    network.load_state_dict(dict(tensors))
    try:
        yield
    finally:
        network.load_state_dict(own)


def export_best(out: Path, step: int) -> None:
    """Copies the network of a checkpoint to `model/`; its averaged weights where there are any."""
    source, target = out / "checkpoints" / f"step-{step:08d}", out / "model"
    temporary = out / ".model.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    for name in ("config.json", "inference.json", "model.safetensors"):
        shutil.copyfile(source / name, temporary / name)
    if (source / "ema.safetensors").is_file():
        shutil.copyfile(source / "ema.safetensors", temporary / "model.safetensors")
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)


def debug_bundle(
    path: Path, batch: Batch, losses: Mapping[str, float], nonfinite: Sequence[str]
) -> Path:
    """Keeps a batch that gave a non-finite loss: tensors as safetensors, names and losses as JSON."""
    require_unlinked(path.parent.parent, path / "file")
    path.mkdir(parents=True, exist_ok=True)
    tensors = {"video": batch.video}
    for name, t in batch.targets.items():
        tensors |= {f"{name}.rows": t.rows, f"{name}.value": t.value, f"{name}.valid": t.valid}
    cpu = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    save_tensors(path / "batch.safetensors", cpu)
    facts = {
        "step": batch.step,
        "keys": batch.keys,
        "sources": batch.sources,
        "losses": dict(losses),
        "nonfinite": list(nonfinite),
        "finite_input": bool(torch.isfinite(batch.video).all()),
    }
    write_json(path / "info.json", facts)
    return path
