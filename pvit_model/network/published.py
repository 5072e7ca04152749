"""Load published backbone weights: container and naming are detected, shapes adapted, and everything reported.

Files: SlowFast (`{"model_state": ...}`), `{"state_dict": ...}`, plain state dicts (torchvision), `.safetensors`.
Nothing is matched silently: see `LoadReport`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pvit_data.errors import ConfigError, SourceError

PREFIXES = ("module.", "model.", "backbone.")
CONTAINERS = ("model_state", "state_dict", "model")


@dataclass
class LoadReport:
    """What happened to every parameter, by name.

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
    model: nn.Module, source: str | Path | Mapping[str, Any]
) -> LoadReport:
    """Fill a model's backbone, and its action head where the number of classes agrees, with published weights.

    Args:
        model: a `PViT`, or a backbone alone.
        source: a file, or a state dict that is already in memory.

    Returns:
        what was loaded, resized, left fresh, and left over; `print` shows it as a table.

    Raises:
        SourceError: if the file is missing or holds no state dict.
        ConfigError: if none of its names belongs to this backbone.
    """
    where = "the given state dict" if isinstance(source, Mapping) else f"'{source}'"
    state = _strip(_unwrap(source if isinstance(source, Mapping) else _read(Path(source)), where))
    backbone: Any = getattr(model, "backbone", model)
    translated = backbone.translate(state)
    own = dict(backbone.named_parameters())
    targets = dict(own)
    head = getattr(model, "head", None)
    if isinstance(head, nn.Linear):
        targets |= {f"head.{name}": parameter for name, parameter in head.named_parameters()}
    report = LoadReport()
    for name, parameter in targets.items():
        _load_one(name, parameter, translated.get(name), report)
    if not any(name in own for name in report.loaded):
        raise ConfigError(
            f"{where} has no parameter of this backbone: its first names are {_some(sorted(state), 3)}; "
            "choose the backbone that the file belongs to"
        )
    report.unused = sorted(name for name in translated if name not in targets)
    return report


def _load_one(name: str, parameter: nn.Parameter, value: Tensor | None, report: LoadReport) -> None:
    if value is None:
        report.fresh.append(name)
        return
    fitted = value if value.shape == parameter.shape else _resize(name, value, parameter.shape)
    if fitted is None:
        report.fresh.append(f"{name} {tuple(value.shape)} -> {tuple(parameter.shape)}")
        return
    with torch.no_grad():
        parameter.copy_(fitted)
    (report.loaded if fitted is value else report.resized).append(name)


def _resize(name: str, value: Tensor, shape: torch.Size) -> Tensor | None:
    """Position tables interpolated along their length, 2D kernels repeated in time; None where neither applies."""
    if name.startswith("head.") or value.shape[-1] != shape[-1]:
        return None
    value = value.float()
    if "rel_pos_" in name and value.ndim == 2:
        return F.interpolate(value.t()[None], size=shape[0], mode="linear")[0].t()
    if name == "pos_embed_temporal":
        return F.interpolate(value.transpose(1, 2), size=shape[1], mode="linear").transpose(1, 2)
    if name == "pos_embed_spatial":
        old, new = math.isqrt(value.shape[1]), math.isqrt(shape[1])
        if old**2 == value.shape[1] and new**2 == shape[1]:
            image = torch.unflatten(value, 1, (old, old)).permute(0, 3, 1, 2)
            return F.interpolate(image, size=(new, new), mode="bicubic").flatten(2).transpose(1, 2)
    if value.ndim == 4 and len(shape) == 5 and value.shape == shape[:2] + shape[3:]:
        return value[:, :, None].expand(
            shape
        )  # repeated, not divided: as SlowFast inflates image models
    return None


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
