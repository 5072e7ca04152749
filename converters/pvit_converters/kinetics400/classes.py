"""The 400 classes. A class id is the place of its name in the alphabet (ASCII), however few of them a tree holds."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path

from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.scoring.files.class_names import ordered, read_classes
from pvit_data.words import did_you_mean, shown

_OTHER = re.compile(r"[^a-z0-9]")


@cache
def names() -> tuple[str, ...]:
    """All of them, in order."""
    text = resources.files("pvit_converters").joinpath("kinetics400/classes.txt")
    return tuple(text.read_text(encoding="utf-8").splitlines())


@cache
def space() -> LabelSpace:
    """As a label space."""
    return LabelSpace("kinetics400", names())


def class_of(name: str) -> int | None:
    """The id of a class as tables and folders write it (`wrapping_present`), or None.

    >>> class_of("hurling (sport)") == class_of("hurling_sport"), class_of("hurling")
    (True, None)
    """
    return _by_plain_name().get(_plain(name))


def require_class(name: str, where: str) -> int:
    """The id of a class.

    Raises:
        SourceError: if there is no such class.
    """
    found = class_of(name)
    if found is None:
        raise SourceError(
            f"{where}: {shown(name)!r} is none of the 400 classes of Kinetics-400{did_you_mean(name, names())}; "
            "Kinetics-600 and -700 have others, and train on much of the validation videos of Kinetics-400",
            reason="unknown-class",
        )
    return found


def read_order(path: Path) -> tuple[str, ...]:
    """The names of a user's file, in the order in which his lists number them; there may be fewer than 400.

    Raises:
        SourceError: naming the entry that is no class, or one that comes again.
    """
    order = ordered(read_classes(path))
    places: dict[int, int] = {}
    for place, name in enumerate(order, 1):
        where = f"{path}, name {place} of {len(order)}: {shown(name)!r}"
        number = class_of(name)
        if number is None:
            raise SourceError(
                f"{where} is none of the 400 classes of Kinetics-400{did_you_mean(name, names())}; expected "
                "nothing but names, one per line, in the order in which the lists number them: no header",
                reason="unknown-class",
            )
        if number in places:
            raise SourceError(
                f"{where} is the same class as name {places[number]}", reason="unknown-class"
            )
        places[number] = place
    return order


def _plain(name: str) -> str:
    return _OTHER.sub("", name.lower())


@cache
def _by_plain_name() -> dict[str, int]:
    return {_plain(name): number for number, name in enumerate(names())}
