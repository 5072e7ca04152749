"""Answers of web servers that nobody vouches for: their size, encoding, pace, and where they send their readers.

A server may answer a question for ten bytes with gigabytes, with a few bytes that unpack to gigabytes, one byte a
minute, or with the address of a machine that only the reader can reach. Each of these ends with a `Refused`.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import re
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import aiohttp

TIMEOUT = 30.0  # seconds without a byte
HEAD_TIMEOUT = 60.0  # seconds until an answer begins
LEAST_RATE, PACE_TIME = 1000, 60.0  # bytes a second, on average over so many seconds
MAX_ANSWER_BYTES = 1 << 30  # where no range is asked
INWARD = "the server sends its readers to an address of your own network, where nobody follows it"
PLAIN = {"Accept-Encoding": "identity"}


class Refused(OSError):
    """An answer that is not read; another try would meet it again."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EPERM, text)


class Pace:
    """Ends an answer that drips: fewer than `LEAST_RATE` bytes a second over `PACE_TIME`.

    Args:
        clock: tells seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._bytes = 0

    def count(self, num_bytes: int) -> None:
        """Notes bytes that came.

        Raises:
            Refused: if they come too slowly.
        """
        self._bytes += num_bytes
        passed = self._clock() - self._start
        if passed >= PACE_TIME:
            if self._bytes < LEAST_RATE * passed:
                raise Refused(f"the server sends fewer than {LEAST_RATE} bytes a second")
            self._start, self._bytes = self._clock(), 0


class Bounded:
    """The body of an answer, of which no more than was asked is kept.

    Args:
        limit: bytes that were asked.
        headers: of the answer.

    Raises:
        Refused: if the body is compressed, which nobody asked for.
    """

    def __init__(self, limit: int, headers: Mapping[str, str]) -> None:
        encoding = headers.get("Content-Encoding", "identity")
        if encoding.lower() not in ("", "identity"):
            raise Refused(
                f"the server answers in the encoding {encoding[:20]!r}, which was not asked for"
            )
        self._limit = limit
        self._pace = Pace()
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Appends what came.

        Raises:
            Refused: if it is more than was asked, or comes too slowly.
        """
        self.size += len(piece)
        if self.size > self._limit:
            raise Refused(
                f"the server sends more than the {self._limit} bytes that were asked for: if it ignores byte ranges, "
                "copy the dataset to a local folder"
            )
        self._pace.count(len(piece))
        self._pieces.append(piece)

    def whole(self) -> bytes:
        """All of it."""
        return b"".join(self._pieces)


def is_inside(host: str, *, wholly: bool = False) -> bool:
    """Whether a name leads to a machine of one's own network, or to this one.

    Args:
        host: a name or an address.
        wholly: all of its addresses do. Whoever owns a name outside may give it one inside as well: that makes nobody
            one of us who could send readers further in.

    >>> is_inside("127.0.0.1"), is_inside("10.1.2.3"), is_inside("169.254.169.254"), is_inside("1.1.1.1")
    (True, True, True, False)
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # connecting to it will say so
        return False
    local = [_is_local(str(place[0])) for *_, place in found]
    return all(local) if wholly else any(local)


def _is_local(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return not (mapped or found).is_global


def require_outside(address: str) -> None:
    """Refuses an address of one's own network: for a server outside of it that sends its readers there.

    Raises:
        Refused: if it is one.
    """
    if _is_local(address):
        raise Refused(INWARD)


def http_options(url: str) -> dict[str, Any]:
    """Arguments of fsspec's file system for a web server."""
    import aiohttp

    limits = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=TIMEOUT)
    inside = is_inside(urlsplit(url).hostname or "", wholly=True)
    return {
        "client_kwargs": {"timeout": limits, "headers": PLAIN, "auto_decompress": False},
        "get_client": _client if inside else _public_client,
    }


async def _client(**options: Any) -> aiohttp.ClientSession:
    return _session(None, options)


async def _public_client(**options: Any) -> aiohttp.ClientSession:
    """A client that connects to no address of one's own network, whatever server says so."""
    return _session(_public_socket, options)


def _public_socket(found: Any) -> socket.socket:
    family, kind, protocol, _, place = found
    require_outside(str(place[0]))
    return socket.socket(family, kind, protocol)


def _session(make_socket: Any, options: dict[str, Any]) -> aiohttp.ClientSession:
    import aiohttp

    class Answer(aiohttp.ClientResponse):
        """An answer of which no more is read than was asked for."""

        async def read(self) -> bytes:
            if self._body is None:
                try:
                    body = Bounded(_asked(self.request_info.headers), self.headers)
                    async for piece in self.content.iter_any():
                        body.add(piece)
                except BaseException:
                    self.close()
                    raise
                self._body = body.whole()
            return await super().read()

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(socket_factory=make_socket),
        response_class=Answer,
        middlewares=(_in_time,),
        **options,
    )


async def _in_time(
    request: aiohttp.ClientRequest,
    handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
) -> aiohttp.ClientResponse:
    async with asyncio.timeout(HEAD_TIMEOUT):
        return await handler(request)


def _asked(headers: Mapping[str, str]) -> int:
    """Bytes that a request asks for."""
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("Range", ""))
    return int(found[2]) - int(found[1]) + 1 if found else MAX_ANSWER_BYTES
