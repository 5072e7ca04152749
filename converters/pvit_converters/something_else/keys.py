"""How SomethingElse's video ids and the samples of converted Something-Something V2 find each other."""

from __future__ import annotations

BASE = "ssv2"
"""Source that all layers of SomethingElse are made over."""

MAX_DIGITS = 9


def is_video(name: object) -> bool:
    """Whether something, a text or a whole number, is a video id."""
    text = str(name) if isinstance(name, str | int) and not isinstance(name, bool) else ""
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS


def video_of(name: object) -> str:
    """A video id without leading zeros.

    >>> video_of("004562"), video_of(17)
    ('4562', '17')
    """
    return str(int(str(name)))


def key_of(video: str) -> str:
    """Key of the sample that holds a video.

    >>> key_of("42")
    'ssv2-000042'
    """
    return f"{BASE}-{int(video):06d}"
