"""Listing archives that other tools wrote: USTAR, GNU and pax headers, folders, any names; nothing is extracted.

Names only label what is read by byte range, and never become paths. Links, devices and sparse files are counted and
left out. Sizes are compared with what is there before anything is allocated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pvit_data.errors import FormatError
from pvit_data.format.tar import BLOCK, Contents, padded
from pvit_data.sample.limits import MAX_MEMBER_BYTES
from pvit_data.storage.ahead import Stream

MAX_NAME_BYTES = 1 << 16  # of a pax or GNU header that holds a name
MAX_FILE_BYTES = 1 << 60  # no file system has larger ones, and no system can seek much further
_PAX = re.compile(rb"(\d{1,7}) ([^=\n]{1,100})=")


@dataclass(frozen=True)
class Entry:
    """A regular file of an archive: its name, where its contents begin, and the contents, to be loaded or passed."""

    name: str
    offset: int
    contents: Contents


def scan(stream: Stream, left_out: Counter[str]) -> Iterator[Entry]:
    """Regular files of an archive that is read from front to back.

    Args:
        stream: the archive.
        left_out: counts what is no regular file, or too large, by kind.

    Raises:
        FormatError: where the archive is damaged, cut off or compressed.
    """
    position = 0
    extended: dict[str, str] = {}
    while any(block := stream.read(BLOCK)):
        header = _Header(block, position)
        position += BLOCK
        size = int(extended.get("size", header.size))
        if header.kind in ("x", "L"):
            if size > MAX_NAME_BYTES:
                raise FormatError(f"a header at byte {position} claims a name of {size} bytes")
            body = Contents(stream, header.name, size).load()
            extended |= (
                _pax(body)
                if header.kind == "x"
                else {"path": body.rstrip(b"\x00").decode("utf-8", "replace")}
            )
            position += padded(size)
            continue
        kept = _kind(header.kind, size)
        name = extended.get("path", header.name)
        if "GNU.sparse.major" in extended or "GNU.sparse.map" in extended:
            kept = "sparse file"
        extended = {}
        contents = Contents(stream, name, size)
        if kept == "file":
            yield Entry(name, position, contents)
        else:
            left_out[kept] += kept != "folder"
        contents.skip()
        position += padded(size)
    if not block:
        left_out["missing end of an archive"] += 1


class _Header:
    """The fields of a header block that matter here."""

    def __init__(self, block: bytes, position: int) -> None:
        if len(block) != BLOCK:
            raise FormatError(f"archive ends inside a header at byte {position}")
        checksum = block[148:156].strip(b" \x00")
        if not re.fullmatch(rb"[0-7]{1,8}", checksum) or int(checksum, 8) != sum(
            block[:148]
        ) + 256 + sum(block[156:]):
            raise FormatError(
                f"no archive header at byte {position}: compressed, damaged or cut off"
            )
        self.kind = chr(block[156])
        self.size = _number(block[124:136])
        name = block[:100].partition(b"\x00")[0]
        if block[257:263] == b"ustar\x00" and (prefix := block[345:500].partition(b"\x00")[0]):
            name = prefix + b"/" + name
        self.name = name.decode("utf-8", "replace")


def _number(field: bytes) -> int:
    """Octal, or base 256 with the first bit set (GNU)."""
    if field[0] & 0x80:
        size = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if size > MAX_FILE_BYTES:  # negative ones among them
            raise FormatError(f"an archive header claims a file of {size} bytes")
        return size
    text = field.strip(b" \x00")
    if not re.fullmatch(rb"[0-7]*", text):
        raise FormatError("a size in an archive header is not a number")
    return int(text or b"0", 8)


def _kind(flag: str, size: int) -> str:
    if flag in "0\x007":
        return "file" if size <= MAX_MEMBER_BYTES else "too large"
    names = {
        "1": "hard link",
        "2": "symbolic link",
        "3": "device",
        "4": "device",
        "5": "folder",
        "6": "pipe",
    }
    return names.get(flag, "sparse file" if flag == "S" else "folder" if flag == "g" else "other")


def _pax(body: bytes) -> dict[str, str]:
    """`LENGTH KEY=VALUE` lines; only names, sizes and marks of sparse files matter."""
    found: dict[str, str] = {}
    position = 0
    while match := _PAX.match(body, position):
        end = position + int(match[1])
        if end <= match.end() or end > len(body):
            raise FormatError("a pax header is damaged")
        key, value = (
            match[2].decode("latin-1"),
            body[match.end() : end - 1].decode("utf-8", "replace"),
        )
        if (
            key == "path"
            or key.startswith("GNU.sparse.")
            or (key == "size" and re.fullmatch(r"[0-9]{1,18}", value))
        ):
            found[key] = value
        position = end
    return found
