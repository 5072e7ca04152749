"""Keys of AVA's samples: the movie in the letters of keys, and the second."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

_HASH = 8


def movie_names(movies: Iterable[str]) -> dict[str, str]:
    """By movie what it is called in keys; ids that differ by capitals or signs alone get a hash.

    >>> movie_names(["-5KQ66BBWC4", "1j20qq1JyX4"])
    {'-5KQ66BBWC4': '-5kq66bbwc4', '1j20qq1JyX4': '1j20qq1jyx4'}
    """
    plain = {movie: re.sub(r"[^a-z0-9_-]", "-", movie.lower())[:40] for movie in movies}
    taken = Counter(plain.values())
    return {movie: name if taken[name] == 1 else hashed(movie) for movie, name in plain.items()}


def hashed(movie: str) -> str:
    """What a movie is called where another one has the same letters."""
    plain = next(iter(movie_names([movie]).values()))
    return f"{plain}-{hashlib.sha256(movie.encode('utf-8', 'surrogatepass')).hexdigest()[:_HASH]}"


def key_of(name: str, second: int) -> str:
    """The key of a sample.

    >>> key_of("1j20qq1jyx4", 902)
    'ava-1j20qq1jyx4-0902'
    """
    return f"ava-{name}-{second:04d}"
