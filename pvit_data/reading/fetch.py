"""Members by byte range: those that lie side by side behind a URL come together, and each is compared with its CRC."""

from __future__ import annotations

from collections.abc import Mapping

import deflate

from pvit_data.storage.storage import Storage

MAX_GAP = 8 << 20  # unwanted bytes between two members that are still fetched with them from a URL
MAX_RUN = 1 << 26  # bytes of several members that are fetched at once, and then held twice
Place = tuple[int, int, int]
"""Offset, size and CRC of a member."""


def _runs(storage: Storage, places: Mapping[str, Place]) -> list[dict[str, Place]]:
    """Members that are fetched together, in file order.

    From a URL those with at most `MAX_GAP` bytes between them, `MAX_RUN` in all; from a folder each one alone.
    """
    gap = MAX_GAP if storage.root is None else -1
    found: list[dict[str, Place]] = []
    start = end = 0
    for member, place in sorted(places.items(), key=lambda item: item[1][0]):
        if not found or place[0] - end > gap or place[0] + place[1] - start > MAX_RUN:
            found.append({})
            start = place[0]
        found[-1][member] = place
        end = place[0] + place[1]
    return found


def moves(storage: Storage, places: Mapping[str, Place]) -> int:
    """Bytes that fetching members moves from a URL; 0 from a folder."""
    if storage.root is not None:
        return 0
    return sum(end - start for start, end in map(_span, _runs(storage, places)))


def fetch_members(
    storage: Storage, shard: str, places: Mapping[str, Place], version: str = ""
) -> tuple[dict[str, bytes], str]:
    """The contents of members, and the first one that is damaged, "" if none is.

    What came damaged from a URL, or out of its cache, is fetched once more.

    Args:
        storage: the dataset.
        shard: path of the shard.
        places: of the members, which lie inside.
        version: sha256 of the shard, if it is known.

    Raises:
        StorageError: if the shard cannot be read.
    """
    out: dict[str, bytes] = {}
    for run in _runs(storage, places):
        found, damaged = _fetch_run(storage, shard, run, version)
        if damaged and storage.root is None:
            found, damaged = _fetch_run(storage, shard, run, version, again=True)
        out |= found
        if damaged:
            return out, damaged
    return out, ""


def _span(run: Mapping[str, Place]) -> tuple[int, int]:
    start = min(offset for offset, _, _ in run.values())
    return start, max(offset + size for offset, size, _ in run.values())


def _fetch_run(
    storage: Storage, shard: str, run: Mapping[str, Place], version: str, again: bool = False
) -> tuple[dict[str, bytes], str]:
    start, end = _span(run)
    block = storage.read_range(shard, start, end - start, again=again, version=version)
    out: dict[str, bytes] = {}
    for member, (offset, size, crc) in run.items():
        out[member] = block[offset - start : offset - start + size]
        if len(out[member]) != size or deflate.crc32(out[member]) != crc:
            return out, member
    return out, ""
