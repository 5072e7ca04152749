"""Backbones by name: the built-in ones and those of other packages, through the entry point `pvit.backbones`."""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from pvit_data.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

GROUP = "pvit.backbones"


def backbone_names() -> list[str]:
    """Names that `build_backbone` knows, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def build_backbone(name: str, **options: Any) -> nn.Module:
    """A fresh backbone (see `pvit_model.backbones.base.Backbone`).

    Args:
        options: keyword options of the backbone's own function, such as `clip=(16, 224, 224)`.

    Raises:
        UsageError: if the name is unknown or an option does not exist.
    """
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        close = difflib.get_close_matches(name, found, 1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise UsageError(f"unknown backbone '{name}': {hint}available: {', '.join(sorted(found))}")
    try:
        module: nn.Module = found[name].load()(**options)
    except TypeError as error:
        raise UsageError(f"backbone '{name}' does not take these options ({error})") from error
    return module
