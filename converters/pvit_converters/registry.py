"""Finding converters by name, through the entry-point group `pvit.converters`, which is open to third parties.

Listing the names imports nothing; `load` imports the one converter that is asked for.
"""

from __future__ import annotations

from typing import Any

from pvit_converters.base import Converter
from pvit_data.errors import UsageError
from pvit_data.plugins import Registry

_SOURCES = Registry("pvit.converters", "source")


def names() -> list[str]:
    """Names of all installed sources, sorted."""
    return _SOURCES.names()


def load(name: str) -> type[Converter[Any]]:
    """The converter class of a source.

    Raises:
        UsageError: if no source has that name, or its converter cannot be imported or is not a `Converter`.
    """
    converter = _SOURCES.load(name)
    if not (isinstance(converter, type) and issubclass(converter, Converter)):
        raise UsageError(f"source '{name}': {converter!r} is not a pvit_converters.Converter class")
    return converter
