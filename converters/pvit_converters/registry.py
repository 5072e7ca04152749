"""Finding converters by name, through the entry-point group `pvit.converters`, which is open to third parties.

Listing the names imports nothing; `load` imports the one converter that is asked for.
"""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from pvit_converters.base import Converter
from pvit_data.errors import UsageError

GROUP = "pvit.converters"


def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> list[str]:
    """Names of all installed sources, sorted."""
    return sorted(_entries())


def load(name: str) -> type[Converter]:
    """The converter class of a source.

    Raises:
        UsageError: if no source has that name, or its converter cannot be imported or is not a `Converter`.
    """
    entries = _entries()
    if name not in entries:
        match = difflib.get_close_matches(name, entries, n=1)
        hint = f" Nearest: '{match[0]}'." if match else ""
        raise UsageError(
            f"unknown source '{name}'.{hint} Known sources: {', '.join(sorted(entries))}."
        )
    entry = entries[name]
    try:
        converter = entry.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"source '{name}': its converter '{entry.value}' cannot be imported: {error}"
        ) from error
    if not (isinstance(converter, type) and issubclass(converter, Converter)):
        raise UsageError(
            f"source '{name}': '{entry.value}' is not a pvit_converters.base.Converter class"
        )
    return converter
