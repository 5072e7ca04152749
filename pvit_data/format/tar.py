"""USTAR archives (POSIX.1-1988): deterministic writing, strict parsing of headers.

Times, owners and modes are constant, so equal members give equal bytes. Only regular files with flat names are read:
links, devices, sparse files, `..` and absolute names are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_MEMBER_BYTES
from pvit_data.storage.ahead import Stream

BLOCK = 512
END = bytes(2 * BLOCK)
NAME = re.compile(r"(?P<key>[a-z0-9_-]{1,80})\.(?P<extension>[a-z0-9_]+(?:\.[a-z0-9_]+)*)\Z")
_MODE = b"0000644\x00"
_KINDS = {
    "1": "a hard link", "2": "a symbolic link", "3": "a device", "4": "a device", "5": "a folder", "6": "a pipe",
    "S": "a sparse file", "x": "a pax header", "g": "a pax header", "L": "a GNU long name", "K": "a GNU long link",
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One header: the file's name and the size of its contents."""

    name: str
    size: int


def padded(size: int) -> int:
    """Bytes that contents take in the archive, without their header."""
    return -(-size // BLOCK) * BLOCK


def write_header(name: str, size: int) -> bytes:
    """The 512 bytes before the contents of a regular file.

    Raises:
        FormatError: if name or size do not fit into a USTAR header.
    """
    encoded = name.encode()
    if len(encoded) > 100 or not NAME.match(name) or not 0 <= size < 8**11:
        raise FormatError(f"member {name!r} of {size} bytes does not fit into a USTAR header")
    fields = [
        encoded.ljust(100, b"\x00"),
        _MODE,
        b"0000000\x00" * 2,  # owner, group
        b"%011o\x00" % size,
        b"00000000000\x00",  # time
        b" " * 8,  # checksum, filled in below
        b"0" + bytes(100),  # regular file, no link
        b"ustar\x0000" + bytes(64),
        b"0000000\x00" * 2,  # device numbers
        bytes(155 + 12),
    ]
    header = bytearray(b"".join(fields))
    header[148:156] = b"%06o\x00 " % sum(header)
    return bytes(header)


def write_member(name: str, data: bytes) -> bytes:
    """Header, contents and padding."""
    return b"".join([write_header(name, len(data)), data, bytes(padded(len(data)) - len(data))])


def read_header(block: bytes) -> Member | None:
    """Parses a header block; None for the zero block that ends an archive.

    Raises:
        FormatError: if it is no header, its checksum is wrong, or it is anything but a regular file with a flat name.
    """
    if len(block) != BLOCK:
        raise FormatError(f"archive ends inside a header: {len(block)} of {BLOCK} bytes")
    if not any(block):
        return None
    total = _octal(block[148:156], "checksum")
    if total != sum(block[:148]) + 8 * 32 + sum(block[156:]):
        raise FormatError("wrong checksum in a member header")
    name = block[:100].rstrip(b"\x00").decode("latin-1")
    flag = chr(block[156])
    if flag in _KINDS:
        raise FormatError(f"member {name[:100]!r} is {_KINDS[flag]}: only regular files are read")
    if (
        block[257:263] != b"ustar\x00"
        or flag not in "0\x00"
        or any(block[345:500])
        or not NAME.match(name)
    ):
        raise FormatError(
            f"member {name[:100]!r} is not a regular file with a flat name KEY.EXTENSION"
        )
    size = _octal(block[124:136], "size")
    if size > MAX_MEMBER_BYTES:
        raise FormatError(f"member {name!r} claims {size} bytes, at most {MAX_MEMBER_BYTES}")
    return Member(name, size)


class Contents:
    """The contents of a member in an archive that is read from front to back: loaded before the next one, or skipped.

    Args:
        stream: the archive.
        name: of the member.
        size: bytes of it.
    """

    def __init__(self, stream: Stream, name: str, size: int) -> None:
        self.size = size
        self._stream = stream
        self._name = name
        self._passed = False

    def load(self) -> bytes:
        """The contents, once.

        Raises:
            FormatError: if the archive is cut off there.
        """
        self._passed = True
        data = self._stream.read(self.size)
        if len(data) != self.size or not self._stream.skip(padded(self.size) - self.size):
            raise self._cut()
        return data

    def skip(self) -> None:
        """Goes on to the next member, if that is not done yet.

        Raises:
            FormatError: if the archive is cut off there.
        """
        if not self._passed and not self._stream.skip(padded(self.size)):
            raise self._cut()
        self._passed = True

    def _cut(self) -> FormatError:
        return FormatError(f"archive ends inside member {self._name[:100]!r}")


def read_members(stream: Stream) -> Iterator[tuple[str, Contents]]:
    """Names and contents of all members of an archive that is read from front to back.

    Raises:
        FormatError: at the first thing that is not a regular file with a flat name, or where the archive is cut off.
    """
    while (member := read_header(stream.read(BLOCK))) is not None:
        contents = Contents(stream, member.name, member.size)
        yield member.name, contents
        contents.skip()
    if stream.read(BLOCK) != bytes(BLOCK):
        raise FormatError("archive does not end with two zero blocks")


def split_name(name: str) -> tuple[str, str]:
    """Key and extension of a member's name: split at the first dot.

    Raises:
        FormatError: if it is not KEY.EXTENSION.
    """
    match = NAME.match(name)
    if match is None:
        raise FormatError(f"member name {name[:100]!r} is not KEY.EXTENSION")
    return match["key"], match["extension"]


def _octal(field: bytes, what: str) -> int:
    text = field.rstrip(b" \x00").lstrip(b" ")
    if not re.fullmatch(rb"[0-7]+", text):
        raise FormatError(f"{what} in a member header is not an octal number")
    return int(text, 8)
