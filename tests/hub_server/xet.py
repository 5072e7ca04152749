"""Uploads by Xet: blocks of packed chunks, then a "shard" that says which of them make a file, of which sha256.

A file is put together from its chunks when it is registered, and stored only if it has the sha256 that was announced;
then the Hub has it like any other. It is never announced for downloads, which are plain.
"""

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from tests.hub_server.state import XET_TOKEN, sha256

if TYPE_CHECKING:
    from tests.hub_server.requests import Request

RECORD, HEADER, CHUNK = 48, 48, 8  # bytes of a row of a shard, of what is before them, and of what is before a chunk
PARTS_VERIFIED, NAMES_SHA256 = 1 << 31, 1 << 30
END = b"\xff" * 32


def token(request: "Request") -> None:
    """Where the store of chunks is, and a token of its own for it."""
    hub = request.hub
    url = hub.url.replace("127.0.0.1", "localhost")
    told = {"casUrl": url, "accessToken": XET_TOKEN, "exp": 4_000_000_000}
    headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": XET_TOKEN, "X-Xet-Token-Expiration": "4000000000"}
    request.send_json(200, told, headers)


def answer(request: "Request", body: bytes) -> None:
    """A request to the store of chunks; it knows none of a file's before they come."""
    hub, what = request.hub, "/".join(request.parts[:2])
    if request.token() != XET_TOKEN:
        hub.leaks.append(f"another token for /{'/'.join(request.parts)}")
        request.send(401, b"")
    elif what == "v1/xorbs" and request.command == "POST":
        xorb(request, request.parts[3], body)
    elif what == "v1/shards" and request.command == "POST":
        shard(request, body)
    else:
        request.send(404, b"")


def xorb(request: "Request", name: str, body: bytes) -> None:
    """Takes a block, if its chunks can be unpacked."""
    hub = request.hub
    is_new = name not in hub.xorbs
    try:
        hub.xorbs[name] = list(chunks(body))
    except (OSError, ValueError):
        request.send_json(400, {"error": f"{name} is damaged"})
        return
    hub.fresh.add(name)
    request.send_json(200, {"was_inserted": is_new})


def shard(request: "Request", body: bytes) -> None:
    """Stores the files that a shard tells of, if all of them are what they are said to be."""
    hub, found, used = request.hub, {}, set()
    for oid, parts in files(body):
        data = b"".join(b"".join(hub.xorbs[name][first:end]) for name, first, end in parts)
        if sha256(data) != oid:
            request.send_json(400, {"error": f"the chunks of {oid} make another file"})
            return
        found[oid] = data
        blocks = {name for name, _, _ in parts}
        hub.stored += [oid] if blocks & hub.fresh else []  # else nothing of it came but the news that it is wanted
        used |= blocks
    hub.fresh -= used
    hub.objects |= found
    request.send_json(200, {"result": 1})


def files(body: bytes) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """sha256 of each file, and its parts: a block, its first chunk, the one after its last."""
    rows = iter([body[at : at + RECORD] for at in range(HEADER, len(body), RECORD)])
    for row in rows:
        if row[:32] == END:
            return
        flags, number = struct.unpack("<II", row[32:40])
        parts = []
        for _ in range(number):
            part = next(rows)
            first, end = struct.unpack("<II", part[40:48])
            parts.append((text(part[:32]), first, end))
        for _ in range(number if flags & PARTS_VERIFIED else 0):
            next(rows)
        assert flags & NAMES_SHA256, "a file without its sha256"
        yield text(next(rows)[:32]), parts


def text(value: bytes) -> str:
    """A hash as it is written: four numbers of 64 bits."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", value))


def chunks(body: bytes) -> Iterator[bytes]:
    """The chunks of a block, unpacked; what is behind them begins with another version."""
    at = 0
    while at < len(body) and body[at] == 0:
        packed, size = (int.from_bytes(body[at + k : at + k + 3], "little") for k in (1, 5))
        scheme, data = body[at + 4], body[at + CHUNK : at + CHUNK + packed]
        if scheme:
            data = pa.decompress(data, size, "lz4", asbytes=True)
        yield ungrouped(data) if scheme == 2 else data
        at += CHUNK + packed


def ungrouped(data: bytes) -> bytes:
    """Bytes whose places had the same remainder by 4 stand together; here as they were."""
    found, at = bytearray(len(data)), 0
    for remainder in range(4):
        size = len(found[remainder::4])
        found[remainder::4] = data[at : at + size]
        at += size
    return bytes(found)
