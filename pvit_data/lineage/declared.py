"""What an installed converter declares of its source, for manifests that were written before they could say it."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import cast

from pvit_data.sample.rights import Declared

GROUP = "pvit.converters"
"""The group of entry points under which converters are registered."""


def declared_by(converter: str) -> Declared | None:
    """The declaration of a converter's source; None where none of this name is installed, or it cannot be loaded."""
    found = entry_points(group=GROUP, name=converter) if converter else ()
    for entry in found:
        try:
            return cast(Declared, entry.load().info)
        except Exception:  # of whoever wrote it: then nobody says anything
            return None
    return None
