"""Files of published weights: the container and the wrappers' prefixes are found, nothing in them is ever executed.

SlowFast (`{"model_state": ...}`), `{"state_dict": ...}`, `{"model_state_dict": ...}`, `{"module": ...}`, one in the
other (`{"model": {"state_dict": ...}}`), plain state dicts (torchvision), `.safetensors`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pvit_data.errors import SourceError

PREFIXES = ("module", "model", "backbone")
WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
CONTAINERS = ("model_state", "model_state_dict", "state_dict", "model", "module")
NAMES = ("classes", "class_names")
"""Keys beside the weights under which a file may list its classes in the order of its head."""


@dataclass(frozen=True)
class StateFile:
    """Weights as they were published, under their own names.

    Args:
        where: they come from, for messages.
        tensors: by name, without prefixes of wrappers.
        classes: names of the head's classes in its order; empty where the file does not say.
    """

    where: str
    tensors: Mapping[str, Tensor]
    classes: tuple[str, ...] = ()


def open_state(source: str | Path | Mapping[str, Any]) -> StateFile:
    """The weights of a file, or of a state dict in memory.

    Raises:
        SourceError: if there are none, or one of them is a single number.
    """
    given = isinstance(source, Mapping)
    where = "the given state dict" if given else f"'{source}'"
    content: Mapping[str, Any] = source if isinstance(source, Mapping) else _read(Path(source))
    state = {_plain(name): value for name, value in _tensors(content, where).items()}
    for name, value in state.items():
        if value.ndim == 0 and name.endswith((".weight", ".bias")):
            raise SourceError(f"{where}: tensor '{name}' is a single number, expected weights")
    return StateFile(where, state, _classes(content))


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise SourceError(
            f"checkpoint '{path}' does not exist; give the path of a downloaded file",
            reason="missing-file",
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if strangers := _strangers(path, error):
            raise SourceError(_resave(path, strangers)) from None
        first = str(error).splitlines()[0][:200]
        raise SourceError(
            f"checkpoint '{path}' cannot be read as tensors ({first}); download it again"
        ) from error
    if not isinstance(found, Mapping):
        raise SourceError(
            f"checkpoint '{path}' holds a {type(found).__name__}, expected a state dict"
        )
    return found


def _strangers(path: Path, error: Exception) -> Sequence[str]:
    """Kinds of objects beside the tensors that a file would have to be executed for; none where that is not why."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # an old or damaged file: what the refusal itself names
        return sorted(set(re.findall(r"GLOBAL ([\w.]+)", str(error))))


def _resave(path: Path, strangers: Sequence[str]) -> str:
    return (
        f"checkpoint '{path}' holds other objects beside its tensors ({', '.join(strangers)}), which only running code "
        "from the file could restore; that is not done here. If you trust it, save its tensors alone: python -c "
        f"\"import torch; f = lambda d: f(d.state_dict()) if hasattr(d, 'state_dict') else next((f(d[k]) for k in "
        f"{CONTAINERS} if hasattr(d.get(k), 'items') or hasattr(d.get(k), 'state_dict')), d); "
        f"d = f(torch.load('{path}', weights_only=False)); "
        "torch.save({k: v for k, v in d.items() if torch.is_tensor(v)}, 'plain.pth')\""
    )


def _tensors(content: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """The state dict of a file, in however many containers."""
    while inner := [key for key in CONTAINERS if isinstance(content.get(key), Mapping)]:
        content = content[inner[0]]
    state = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise SourceError(
            f"{where} holds no tensors; expected a state dict, or one under {', '.join(CONTAINERS)}"
        )
    return state


def _classes(content: Mapping[str, Any]) -> tuple[str, ...]:
    listed = next((content[key] for key in NAMES if key in content), ())
    is_names = isinstance(listed, list | tuple) and all(isinstance(name, str) for name in listed)
    return tuple(listed) if is_names else ()


def _plain(name: str) -> str:
    """Without the words that wrappers put before a name, or inside it."""
    words = [word for word in name.split(".") if word not in WRAPPERS]
    while len(words) > 1 and words[0] in PREFIXES:
        words = words[1:]
    return ".".join(words)
