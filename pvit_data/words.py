"""How the toolkit says things to people: sizes, counts, the nearest known name, what a configuration got wrong."""

from __future__ import annotations

import dataclasses
import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


def size_text(size: float) -> str:
    """Bytes, in decimal units.

    >>> size_text(900), size_text(1_390_000_000)
    ('900 B', '1.4 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def memory_text(size: float) -> str:
    """Bytes of memory, in the binary units that memory is sold in.

    >>> memory_text(110 * 2**20), memory_text(1.5 * 2**30)
    ('110 MiB', '1.5 GiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def short_count(number: int) -> str:
    """A count in at most four characters, nothing for 0.

    >>> short_count(999), short_count(1500), short_count(12_345)
    ('999', '1.5k', '12k')
    """
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if number >= 10 * size:
            return f"{number // size}{unit}"
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number) if number else ""


def counted(number: int, one: str, many: str = "") -> str:
    """A number and its noun.

    >>> counted(1, "box", "boxes"), counted(1200, "sample")
    ('1 box', '1,200 samples')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def plain_url(text: str) -> str:
    """A text with the secrets of its URLs cut out: users, passwords, and what stands behind `?` or `#`.

    >>> plain_url("https://me:secret@host/data?Signature=abc: no answer")
    'https://host/data: no answer'
    """
    return _URL.sub(_plain, text)


# One slash: an address that was taken for a path. Quotes end an address, but not a password. A word is looked at once,
# from its beginning: a long one would else cost the square of its length.
_URL = re.compile(
    r"(?<![A-Za-z0-9+.-])([A-Za-z0-9+.-]++://|[A-Za-z0-9+.-]{2,}+:/(?!/))((?:[^\s/?#]*@)?[^\s'\"<>]*)"
)

_USERS = re.compile(r"://[^/]*@")  # of further addresses in the same word


def _plain(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    bare = rest.rstrip(":;,.)")
    # A password may hold what would end the host: then what precedes the last @ is no host with a port.
    host = re.split(r"[/?#]", bare, maxsplit=1)[0]
    if "@" in host and (":" in host or not scheme.startswith("abfs")):  # CONTAINER@ACCOUNT there
        place = bare[host.rindex("@") + 1 :]
    elif re.fullmatch(r"[^:]*(:\d*)?|\[[^]]*\](:\d*)?", host):
        place = bare
    else:
        place = bare.rpartition("@")[2]
    place = re.split(r"[?#]", place, maxsplit=1)[0]
    return scheme + _USERS.sub("://", place) + rest[len(bare) :]


def shown(text: str) -> str:
    r"""A text that comes from data, for a terminal: control and invisible characters are written out.

    >>> shown("red\x1b[31m\u202e")
    'red\\x1b[31m\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or _is_space(c) else ascii(c)[1:-1] for c in text)


def _is_space(character: str) -> bool:
    return unicodedata.category(character) == "Zs"  # such as the wide one of Chinese and Japanese


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name most like a mistyped one, or None where none is alike.

    >>> nearest("dept", ["depth", "normal"])
    'depth'
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`"; did you mean 'depth'?"` to end a sentence with, or nothing where no known name is alike."""
    found = nearest(name, known, cutoff)
    return f"; did you mean '{found}'?" if found else ""


def first_problem(error: ValidationError) -> str:
    """The first thing that a pydantic model refuses, in words: `"'optim.lr' = -1: input should be greater than 0"`.

    An unknown key is named with the nearest known one of the same model where that is known from the message's context.
    """
    return shown(_first_problem(error))


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    more = f" ({error.error_count()} problems)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{place}'{more}"
    said = problem["msg"].removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    has_value = not isinstance(problem["input"], dict | list | tuple)
    given = f" = {short(problem['input'])}" if has_value else ""
    return f"'{place}'{given}: {said}{more}" if place else f"{said}{more}"


def short(value: object, limit: int = 120) -> str:
    """`repr` of a value, cut where it is long."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def found(value: object) -> str:
    """What a wrong value is, without its contents: its type, and its shape, length or (where short) its text.

    >>> found(b"..."), found("x.mp4"), found(1.5), found([1, 2])
    ('3 bytes', "str 'x.mp4'", 'float 1.5', 'list of length 2')
    """
    kind = type(value).__name__
    if getattr(value, "shape", ()):
        shape = tuple(getattr(value, "shape", ()))
        return f"{getattr(value, 'dtype', kind)}{shape}" if kind == "ndarray" else f"{kind}{shape}"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, str | int | float):
        return f"{kind} {short(value, 60)}"
    if isinstance(value, list | tuple | dict | set):
        return f"{kind} of length {len(value)}"
    return kind


def brief(self: Any) -> str:
    """A `__repr__` for data classes and named tuples that hold arrays or files: types and shapes, never contents.

    Fields at their defaults are left out, and those that say so (`repr=False`).
    """
    fields = dataclasses.fields(self) if _is_data(self) else ()
    defaults = {f.name: f.default for f in fields if f.repr}
    names = tuple(defaults) or self._fields
    told = []
    for name in names:
        value = getattr(self, name)
        if value is None or (isinstance(value, str | int | float) and value == defaults.get(name)):
            continue
        if not (isinstance(value, dict) and not value):
            told.append(f"{name}={_brief(value)}")
    return f"{type(self).__name__}({', '.join(told)})"


def _is_data(value: object) -> bool:
    return dataclasses.is_dataclass(value)


def _brief(value: object) -> str:
    if isinstance(value, str | int | float):
        return short(value, 60)
    if isinstance(value, dict) and len(value) <= 12:
        return "{" + ", ".join(f"{short(k, 60)}: {_brief(v)}" for k, v in value.items()) + "}"
    return repr(value) if _is_data(value) else found(value)
