"""Load published backbone weights: container and naming are detected, shapes adapted, and everything reported.

Files: SlowFast (`{"model_state": ...}`), `{"state_dict": ...}`, plain state dicts (torchvision), `.safetensors`.
Nothing is matched silently: see `LoadReport`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from pvit_data.errors import ConfigError, SourceError
from pvit_model.backbones.base import Backbone

PREFIXES = ("module.", "model.", "backbone.")
CONTAINERS = ("model_state", "state_dict", "model")


@dataclass
class LoadReport:
    """What happened to every parameter and buffer (the statistics of batch norms, say), by name.

    Args:
        loaded: taken as they are.
        resized: interpolated or inflated to another shape.
        fresh: of the model, not in the file (or of a size that cannot be adapted): left as initialised.
        unused: of the file (its own names), not in the model.
    """

    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Counts, and the names of what was not taken as it is, in one line."""
        parts = {"resized": self.resized, "fresh": self.fresh, "unused": self.unused}
        said = [
            f"{len(names)} {what}" + (f" ({_some(names, 3)})" if names else "")
            for what, names in parts.items()
        ]
        return ", ".join([f"{len(self.loaded)} loaded", *said])

    def __str__(self) -> str:
        rows = [
            ("loaded", self.loaded),
            ("resized", self.resized),
            ("fresh", self.fresh),
            ("unused", self.unused),
        ]
        return "\n".join(
            f"{name:8} {len(names):4}  {_some(names) if name != 'loaded' else ''}"
            for name, names in rows
        )


def _some(names: list[str], most: int = 6) -> str:
    rest = f" ... and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def load_backbone_checkpoint(
    model: nn.Module, source: str | Path | Mapping[str, Any], *, allow_partial: bool = False
) -> LoadReport:
    """Fill a model's backbone, and its action head where the number of classes agrees, with published weights.

    Args:
        model: a `PViT`, or a backbone alone.
        source: a file, or a state dict that is already in memory.
        allow_partial: also where less than half of the backbone's parameters is filled.

    Returns:
        what was loaded, resized, left fresh, and left over; `print` shows it as a table.

    Raises:
        SourceError: if the file is missing or holds no state dict.
        ConfigError: if its names are not those of this backbone, or too few are; the model is left as it was.
    """
    where = "the given state dict" if isinstance(source, Mapping) else f"'{source}'"
    state = _strip(_unwrap(source if isinstance(source, Mapping) else _read(Path(source)), where))
    backbone = cast(Backbone, getattr(model, "backbone", model))
    translated = backbone.translate(state)
    if translated is None:
        raise ConfigError(
            f"{where}: {type(backbone).__name__} knows no published weights; "
            "start from a run's with model.init_from"
        )
    own = dict(backbone.named_parameters())
    inside = own | {name: t for name, t in backbone.state_dict().items() if name not in own}
    head = getattr(model, "head", None)
    named = head.named_parameters() if isinstance(head, nn.Linear) else ()
    every = inside | {f"head.{name}": parameter for name, parameter in named}
    fitted = {
        name: _fitted(
            translated.get(name), tensor.shape, backbone if name in inside else None, name
        )
        for name, tensor in every.items()
    }
    filled = [name for name in own if fitted[name] is not None]
    if not filled:
        raise ConfigError(
            f"{where} has no parameter of this backbone: its first names are {_some(sorted(state), 3)}; "
            "choose the backbone that the file belongs to"
        )
    if not allow_partial:
        check_share(where, own, filled)
    report = LoadReport(unused=sorted(name for name in translated if name not in every))
    for name, tensor in every.items():
        _load_one(name, tensor, translated.get(name), fitted[name], report)
    return report


def check_share(where: str, own: Mapping[str, Tensor], filled: Collection[str]) -> None:
    """Refuses weights that fill less than half of the parameters.

    Args:
        where: they come from.
        own: the parameters, by name.
        filled: names of those that are filled.

    Raises:
        ConfigError: with the counts.
    """
    total = sum(value.numel() for value in own.values())
    part = sum(own[name].numel() for name in filled)
    if 2 * part < total:
        raise ConfigError(
            f"{where} fills {part:,} of {total:,} parameters ({len(filled)} of {len(own)} tensors), less than half; "
            "is it another network's? To load it all the same, set model.allow_partial=true (allow_partial=True)"
        )


def _fitted(
    value: Tensor | None, shape: torch.Size, backbone: Backbone | None, name: str
) -> Tensor | None:
    """A published value in the model's shape; None where there is none. Only a backbone's own can be resized."""
    if value is None or value.shape == shape:
        return value
    return None if backbone is None else backbone.resize(name, value, shape)


def _load_one(
    name: str,
    own: Tensor,
    given: Tensor | None,
    fitted: Tensor | None,
    report: LoadReport,
) -> None:
    if given is None:
        report.fresh.append(name)
    elif fitted is None:
        report.fresh.append(f"{name} {tuple(given.shape)} -> {tuple(own.shape)}")
    else:
        with torch.no_grad():
            own.copy_(fitted)
        (report.loaded if fitted is given else report.resized).append(name)


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
        first = str(error).splitlines()[0][:200]
        raise SourceError(
            f"checkpoint '{path}' cannot be read as tensors ({first}); download it again"
        ) from error
    if not isinstance(found, Mapping):
        raise SourceError(
            f"checkpoint '{path}' holds a {type(found).__name__}, expected a state dict"
        )
    return found


def _unwrap(content: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    for key in CONTAINERS:
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    state = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise SourceError(
            f"{where} holds no tensors; expected a state dict, or one under {', '.join(CONTAINERS)}"
        )
    return state


def _strip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes of wrappers, in any order and number."""
    out = {}
    for name, value in state.items():
        while name.startswith(PREFIXES):
            name = name.split(".", 1)[1]
        out[name] = value
    return out
