"""What a recipe opens elsewhere without having been told to on the command line: said before it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from pvit_data.words import plain_url, shown

Say = Callable[[str], object]
"""Told a sentence."""


def say_opened(addresses: Iterable[str], given: Iterable[str], say: Say) -> None:
    """Says once per host which addresses a recipe is about to open.

    Args:
        addresses: folders, URLs, or Hub ids of models, as the recipe has them.
        given: what the user typed; what stands in it is no surprise.
        say: told a sentence per host.

    Example:
        >>> say_opened(["https://a.org/x", "https://a.org/y", "local"], [], print)
        the recipe opens https://a.org/x, which the command line does not name
    """
    typed = tuple(given)
    hosts: set[str] = set()
    for address in addresses:
        host = _host(address)
        if host and host not in hosts and not any(address in text for text in typed):
            hosts.add(host)
            place = shown(plain_url(address))
            say(f"the recipe opens {place}, which the command line does not name")


def _host(address: str) -> str:
    """Where an address leads; "" for what lies on this machine."""
    scheme, found, rest = address.partition("://")
    if found:
        return "" if scheme == "file" else f"{scheme}://{_network_place(address, rest)}"
    is_local = address.startswith((".", "/", "~")) or Path(address).exists()
    return "" if is_local or address.count("/") != 1 else f"hf://{address}"


def _network_place(address: str, rest: str) -> str:
    try:
        return urlsplit(address).netloc.rpartition("@")[2]
    except ValueError:
        return rest.partition("/")[0].rpartition("@")[2]
