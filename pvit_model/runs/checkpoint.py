"""Checkpoints: a folder per step, complete or absent, verified before use.

    checkpoints/step-00001200/
        config.json, model.safetensors   the network, loadable by `PViT.from_pretrained` on its own
        optimizer.safetensors            `<parameter>//<slot>`
        ema.safetensors                  only with averaged weights
        state.json                       step, metrics, schedule and sampler facts
        manifest.json                    sha256 and size of each file, written last

Everything is written to a temporary folder, synced and renamed. A folder whose bytes differ from its manifest is never
loaded; the previous one is taken, with a warning. No file executes anything when read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pvit_data.errors import FormatError
from pvit_data.storage.files import sync, write_file
from pvit_data.storage.values import read_json
from pvit_model.network.tensor_file import load_tensors, save_tensors
from pvit_model.ranks import like, whole

VERSION = 1
SEPARATOR = "//"
FOLDER = re.compile(r"step-(\d{8})(?:\.old)?\Z")
LEFT_BEHIND = re.compile(r"\.step-\d{8}\.\d+\.tmp|step-\d{8}\.old")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Writes JSON with sorted keys, so equal values give equal bytes."""
    write_file(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=True) + "\n")


def names_of(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, nn.Parameter]]:
    """(name, parameter) pairs in the optimiser's own order."""
    for group in optimizer.param_groups:
        yield from zip(group["names"], group["params"], strict=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as tensors named `<parameter>//<slot>`; with shards, every rank must ask."""
    found = {}
    for name, parameter in names_of(optimizer):
        for slot, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                found[f"{name}{SEPARATOR}{slot}"] = (
                    whole(torch.as_tensor(value).detach()).cpu().contiguous()
                )
    return found


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts saved state back.

    Raises:
        FormatError: if the saved state belongs to other parameters.
    """
    parameters = dict(names_of(optimizer))
    strangers = {k for k in tensors if k.rpartition(SEPARATOR)[0] not in parameters}
    if strangers:
        raise FormatError(
            f"checkpoint: optimiser state of unknown parameter '{min(strangers).split(SEPARATOR)[0]}'; "
            "resume with the configuration it had"
        )
    optimizer.state.clear()
    for key, value in tensors.items():
        name, _, slot = key.rpartition(SEPARATOR)
        parameter = parameters[name]
        on_device = value.ndim > 0 and value.shape == parameter.shape
        optimizer.state[parameter][slot] = like(value, parameter) if on_device else value.clone()


def save_checkpoint(
    folder: Path,
    step: int,
    save_model: Callable[[Path], object],
    optimizer: torch.optim.Optimizer | Mapping[str, Tensor],
    state: Mapping[str, Any],
    ema: Mapping[str, Tensor] | None = None,
) -> Path:
    """Writes the checkpoint of `step` (steps done) below `folder`, completely or not at all.

    Args:
        folder: the run's `checkpoints` folder.
        step: optimiser steps done so far.
        save_model: writes the network's files into a folder.
        optimizer: whose state to keep, or the state itself (`optimizer_tensors`).
        state: JSON values to keep.
        ema: averaged weights, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{step:08d}"
    temporary, shadow = folder / f".{final.name}.{os.getpid()}.tmp", folder / f"{final.name}.old"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        save_model(temporary)
        slots = optimizer if isinstance(optimizer, Mapping) else optimizer_tensors(optimizer)
        save_tensors(temporary / "optimizer.safetensors", slots)
        if ema is not None:
            averaged = {k: v.cpu().contiguous() for k, v in ema.items()}
            save_tensors(temporary / "ema.safetensors", averaged)
        write_json(temporary / "state.json", {**state, "step": step, "version": VERSION})
        _seal(temporary)
        if final.exists():  # saved again: the old one stays loadable until the new one is there
            shutil.rmtree(shadow, ignore_errors=True)
            final.rename(shadow)
        temporary.rename(final)
        sync(folder)
        shutil.rmtree(shadow, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def _seal(folder: Path) -> None:
    files = sorted(p for p in folder.iterdir() if p.is_file())
    for path in files:
        sync(path)
    entries = {p.name: {"sha256": _sha256(p), "bytes": p.stat().st_size} for p in files}
    write_json(folder / "manifest.json", {"version": VERSION, "files": entries})


def damage(folder: Path) -> str:
    """What is wrong with a checkpoint folder, or "" if its bytes are those that were written."""
    try:
        manifest = read_json(folder / "manifest.json")
        entries = manifest["files"]
        if manifest["version"] != VERSION:
            return f"manifest.json has version {manifest['version']}, this toolkit reads {VERSION}"
        for name, entry in entries.items():
            path = folder / name
            if Path(name).name != name or not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != entry["bytes"] or _sha256(path) != entry["sha256"]:
                return f"{name} differs from its checksum"
    except (OSError, FormatError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"manifest.json is unreadable ({type(error).__name__})"
    missing = {"model.safetensors", "optimizer.safetensors", "state.json"} - set(entries)
    return f"{min(missing)} is not listed in manifest.json" if missing else ""


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of all checkpoints below `folder`, oldest first, whether damaged or not."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), p) for p in folder.iterdir() if (m := FOLDER.match(p.name)) and p.is_dir()]
    return sorted(found)


def newest(folder: Path) -> Path | None:
    """The newest undamaged checkpoint, or None where there is none at all.

    Raises:
        FormatError: if there are checkpoints but every one is damaged.
    """
    found = checkpoints(folder)
    for _, path in reversed(found):
        wrong = damage(path)
        if not wrong:
            return path
        warnings.warn(
            f"checkpoint {path} is damaged ({wrong}); trying the one before", stacklevel=2
        )
    if found:
        raise FormatError(
            f"checkpoints in {folder}: all {len(found)} are damaged; start again without --resume"
        )
    return None


def read_state(folder: Path) -> dict[str, Any]:
    """`state.json` of a checkpoint.

    Raises:
        FormatError: if it is none.
    """
    state: dict[str, Any] = read_json(folder / "state.json")
    if not isinstance(state, dict):
        raise FormatError(f"{folder / 'state.json'}: is no state of a run")
    return state


def restore(
    folder: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: dict[str, Tensor] | None,
) -> dict[str, Any]:
    """Loads a verified checkpoint into a model, its optimiser and its averaged weights; returns its state.

    Raises:
        FormatError: if it belongs to another network or optimiser.
    """
    try:
        model.load_state_dict(load_tensors(folder / "model.safetensors"))
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise FormatError(
            f"checkpoint {folder}: its weights belong to another network ({first})"
        ) from None
    restore_optimizer(optimizer, load_tensors(folder / "optimizer.safetensors"))
    if ema is not None and (folder / "ema.safetensors").is_file():
        averaged = load_tensors(folder / "ema.safetensors")
        own = {name: value.shape for name, value in ema.items()}
        if own != {name: value.shape for name, value in averaged.items()}:
            raise FormatError(
                f"checkpoint {folder}: its averaged weights belong to another network"
            )
        for name, value in averaged.items():
            ema[name].copy_(value)
    return read_state(folder)


def prune(folder: Path, keep_last: int, best: int | None) -> None:
    """Deletes all checkpoints but the newest `keep_last` and the one of step `best`; also what crashes left."""
    for path in folder.iterdir():
        if LEFT_BEHIND.fullmatch(path.name) and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
    for step, path in checkpoints(folder)[:-keep_last]:
        if step != best and not path.is_symlink():
            shutil.rmtree(path)
