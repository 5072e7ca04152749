"""Files of published weights: the container and the wrappers' prefixes are found, nothing in them is ever executed.

SlowFast (`{"model_state": ...}`), `{"state_dict": ...}`, `{"model_state_dict": ...}`, `{"module": ...}`, one in the
other (`{"model": {"state_dict": ...}}`), plain state dicts (torchvision), `.safetensors`.
"""

from __future__ import annotations

import mmap
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pvit_data.errors import FormatError, SourceError
from pvit_model.network.tensor_file import load_tensors

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
        path: of the file; None: they were in memory.
    """

    where: str
    tensors: Mapping[str, Tensor]
    classes: tuple[str, ...] = ()
    path: Path | None = None


def open_state(source: str | Path | Mapping[str, Any]) -> StateFile:
    """The weights of a file, or of a state dict in memory.

    Raises:
        SourceError: if there are none, or one of them is a single number.
    """
    path = None if isinstance(source, Mapping) else Path(source)
    where = "the given state dict" if path is None else f"'{source}'"
    content: Mapping[str, Any] = source if isinstance(source, Mapping) else _read(Path(source))
    tensors = _tensors(content, where)
    names = {_plain(name): name for name in tensors}
    for name, value in tensors.items():
        kept = names[_plain(name)]
        if kept != name and not torch.equal(tensors[kept], value):
            raise SourceError(
                f"{where} holds two weights '{_plain(name)}': '{name}' and '{kept}'; save those alone that are meant"
            )
    state = {plain: tensors[name] for plain, name in names.items()}
    for name, value in state.items():
        if value.ndim == 0 and name.endswith((".weight", ".bias")):
            raise SourceError(f"{where}: tensor '{name}' is a single number, expected weights")
    return StateFile(where, state, _classes(content), path)


def _read(path: Path) -> Mapping[str, Any]:
    if path.is_dir():
        raise SourceError(f"checkpoint '{path}' is a folder; name the file of weights in it")
    if not path.is_file():
        raise SourceError(
            f"checkpoint '{path}' does not exist; give the path of a downloaded file",
            reason="missing-file",
        )
    if is_safetensors(path):
        try:
            return load_tensors(path)
        except FormatError as error:
            raise SourceError(f"checkpoint cannot be read as tensors: {error}") from None
    _require_weights(path)
    check_size(path)
    require_whole(path)
    try:
        with path.open("rb") as file:  # of a path, PyTorch goes by the name's end
            found: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if strangers := _strangers(path, error):
            raise SourceError(_resave(path, strangers)) from None
        # Not PyTorch's own words: they advise to read such a file with `weights_only=False`, which runs its code.
        raise SourceError(
            f"checkpoint '{path}' ({path.stat().st_size:,} bytes) is no file of PyTorch's weights, or a damaged one: "
            "download it again"
        ) from error
    if not isinstance(found, Mapping):
        raise SourceError(
            f"checkpoint '{path}' holds a {type(found).__name__}, expected a state dict"
        )
    return found


def is_safetensors(path: Path) -> bool:
    """By its first bytes, the length of a JSON object and its brace; by its name where they are not of torch.save."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return True
    return path.suffix == ".safetensors" and not (head.startswith(b"PK\x03\x04") or SAVED in head)


def _require_weights(path: Path) -> None:
    """Refuses pages of the web and pickles of something else, by their first bytes; nothing is unpickled."""
    with path.open("rb") as file:
        head = file.read(1024)
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise SourceError(
            f"checkpoint '{path}' is a page of the web (HTML), not weights: its address gave a page, such as a "
            "login or an error; download the file itself"
        )
    if head.startswith(b"\x80") and SAVED not in head[:16]:
        raise SourceError(
            f"checkpoint '{path}' is a plain pickle, not a file of torch.save; reading it would run code from it, "
            "which is not done here. If you trust it and it holds arrays by name, save them as tensors: python -c "
            f"\"import pickle, torch; d = pickle.load(open('{path}', 'rb'), encoding='latin1'); d = next((d[k] for k "
            f"in {CONTAINERS} if hasattr(d.get(k), 'items')), d); torch.save({{k: torch.as_tensor(v) for k, v in "
            "d.items() if hasattr(v, 'shape')}, 'plain.pth')\""
        )


SAVED = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""The number that files of torch.save begin with, in the form before 2020 (torch/serialization.py, MAGIC_NUMBER)."""


def check_size(path: Path) -> None:
    """Refuses a file of `torch.save` that would take more memory than it has bytes.

    Its members are stored as they are, so a packed one, or more bytes than the file has, is none of PyTorch's. Of the
    few objects that its pickle may make without running code, an empty byte array of any size is one.

    Raises:
        SourceError: if it claims more.
    """
    size, claims = path.stat().st_size, 0
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            claims = sum(member.file_size for member in members)
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
            pickles = [m for m in members if m.filename.endswith(".pkl")] if claims <= size else []
            grows = any(GROWING in archive.read(member) for member in pickles)
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError, RuntimeError):
        packed, grows = (
            False,
            _holds(path, GROWING),
        )  # the form before 2020, or no checkpoint at all
    if packed or grows or claims > size:
        raise SourceError(
            f"checkpoint '{path}' has {size:,} bytes and would take many more to read; it is not as PyTorch saves "
            "weights: download it again, from a place that you trust"
        )


def require_whole(path: Path) -> None:
    """Compares the members of a file of `torch.save` with their CRC-32, which loading does not.

    A file in the form before 2020, or one that was saved without them, has none.

    Raises:
        SourceError: naming the first member that differs.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as stream:
                    while member.CRC and stream.read(CHUNK):
                        pass
    except (zipfile.BadZipFile, EOFError) as error:
        raise SourceError(f"checkpoint '{path}' is damaged ({error}): download it again") from None


CHUNK = 1 << 20  # bytes
GROWING = b"bytearray"


def _holds(path: Path, word: bytes) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(word) >= 0


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
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    for name, value in state.items():
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            kind = "without values (on meta)" if value.is_meta else "sparse or quantised"
            raise SourceError(f"{where}: tensor {name!r} is {kind}; expected plain weights")
        held = value.untyped_storage().nbytes()
        if value.numel() * value.element_size() > held:
            raise SourceError(
                f"{where}: tensor {name!r} claims shape {tuple(value.shape)}, of which only {held:,} bytes are there"
            )
    if not state:
        keys = [str(k) for k, v in content.items() if isinstance(v, Mapping) and _holds_tensors(v)]
        inside = (
            f"; those under {', '.join(map(repr, keys[:4]))} may be meant: save them alone"
            if keys
            else ""
        )
        raise SourceError(
            f"{where} holds no tensors; expected a state dict, or one under {', '.join(CONTAINERS)}{inside}"
        )
    return state


def _holds_tensors(content: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in content.values())


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
