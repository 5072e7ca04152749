"""Keys of samples from the paths of their files, never from their labels: a corrected label keeps its key."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import TypeVar

from pvit_data.format.names import split_named
from pvit_data.storage.files import utf8

MAX_KEY = 80
_HASH = 8
_OTHER = re.compile(r"[^a-z0-9_-]+")
Place = TypeVar("Place", bound=Hashable)


def make_keys(source: str, places: Mapping[Place, tuple[str, str]]) -> dict[Place, str]:
    """A key for each clip.

    Args:
        source: its name.
        places: of each clip the path of its file, with `/`, and what its cut is called ("": the whole file).

    Returns:
        `source-path`, and behind it the cut. Where it would be too long, or others have it too, its end is the hash of
        the path.
    """
    plain = {place: f"{source}-{slug(file)}{cut}" for place, (file, cut) in places.items()}
    taken = Counter(plain.values())
    return {
        place: key if len(key) <= MAX_KEY and taken[key] == 1 else _hashed(key, *places[place])
        for place, key in plain.items()
    }


def slug(file: str) -> str:
    """A path in the characters of keys, without a folder of its split and without its ending.

    >>> slug("train/Open Jar/Café 1.mp4")
    'open-jar-cafe-1'
    """
    first, slash, rest = file.partition("/")
    path = os.path.splitext(rest if slash and split_named(first) else file)[0]
    letters = unicodedata.normalize("NFKD", path).encode("ascii", "ignore").decode().lower()
    return _OTHER.sub("-", letters).strip("-")


def _hashed(key: str, file: str, cut: str) -> str:
    path = unicodedata.normalize("NFC", file)
    digest = hashlib.sha256(utf8(f"{path} {cut}" if cut else path)).hexdigest()
    return f"{key[: MAX_KEY - 1 - _HASH].rstrip('-')}-{digest[:_HASH]}"


def cut_name(start: float | None, end: float | None, unit: str) -> str:
    """What a cut adds to a key: milliseconds, or frames.

    >>> cut_name(1.5, 3.0, "seconds"), cut_name(None, 30, "frames"), cut_name(None, None, "seconds")
    ('-s1500-e3000', '-f0-f30', '')
    """
    if start is None and end is None:
        return ""
    first, last = ("s", "e") if unit == "seconds" else ("f", "f")
    factor = 1000 if unit == "seconds" else 1
    begin = f"-{first}{round((start or 0) * factor)}"
    return begin if end is None else f"{begin}-{last}{round(end * factor)}"
