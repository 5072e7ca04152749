"""Things that are found by name through an entry-point group, open to third parties: sources, tasks, backbones.

The built-in ones register in the same way. Listing the names imports nothing; `load` imports the one that is asked for.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pvit_data.errors import UsageError
from pvit_data.words import nearest


class Registry:
    """One entry-point group.

    Args:
        group: its name, such as `"pvit.converters"`.
        what: what its members are called in messages, such as `"source"`.
    """

    def __init__(self, group: str, what: str) -> None:
        self.group, self.what = group, what

    def names(self) -> list[str]:
        """Names of everything installed, sorted."""
        return sorted(_entries(self.group))

    def __contains__(self, name: str) -> bool:
        return name in _entries(self.group)

    def load(self, name: str) -> Any:
        """What is registered under a name.

        Raises:
            UsageError: if there is no such name, or what it names cannot be imported.
        """
        entries = _entries(self.group)
        if name not in entries:
            close = nearest(name, entries)
            hint = f" Nearest: '{close}'." if close else ""
            raise UsageError(
                f"unknown {self.what} '{name}'.{hint} Known: {', '.join(sorted(entries))}."
            )
        entry = entries[name]
        try:
            return entry.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"{self.what} '{name}': '{entry.value}' cannot be imported: {error}"
            ) from error


def _entries(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}
