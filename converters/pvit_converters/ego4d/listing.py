"""Which windows of Ego4D there are: the rows whose full video, or else canonical clip, is in the tree."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pvit_converters.base import Item, Listing
from pvit_converters.ego4d.info import INFO
from pvit_converters.ego4d.layout import (
    SPLITS,
    annotation_files,
    find_videos,
    listed_videos,
    no_annotations,
    wanted_name,
)
from pvit_converters.ego4d.options import Ego4dOptions
from pvit_converters.ego4d.rows import Row, read_windows
from pvit_converters.held_out import held_out_first, told
from pvit_converters.raw.listing import is_empty
from pvit_data.errors import SourceError
from pvit_data.words import counted, shown

_LOG = logging.getLogger(__name__)
_AGAINST = "video %s: a state changes in %s (frames %d to %d), none in %s (frames %d to %d)"
_WANTED = {"trainval": SPLITS[:2], "all": SPLITS}
_FRAME_BYTES = 6000
"""Guessed, of a frame of 384 pixels."""
MAX_KEY = 80
_TWICE = "window %s: two rows of %s have other frames, or another change"
_BAD = "row not as released"
_NOT_FETCHED = "video not downloaded (it is in the manifest)"
_NOT_LISTED = "video not in this version's manifest"
_NOT_THERE = "video not present"


def list_windows(root: Path, options: Ego4dOptions) -> Listing:
    """The windows whose pictures are there.

    Raises:
        SourceError: if there are no annotations, or no video of any.
    """
    videos, clips = find_videos(root)
    manifest = listed_videos(root)
    wanted = _WANTED.get(options.split, (options.split,))
    lists, versions = annotation_files(root, wanted)
    if not lists:
        raise no_annotations(root, wanted)
    rows, bad, about_rows = _windows(lists, wanted)
    splits = [split for split in wanted if split in lists]
    missing = [
        f"no {wanted_name(split)}: no windows of {split}" for split in wanted if split not in lists
    ]
    items, absent = [], Counter[str]({_BAD: bad} if bad else {})
    empty = {uid for uid, file in videos.items() if is_empty(root / file)}
    for split, row in rows:
        place = _place(row, videos, clips, empty)
        if place is None:
            absent[_missing(row, manifest)] += 1
        else:
            items.append(_item(split, row, place))
    if not items:
        raise SourceError(
            f"{root}: no video of the {len(rows):,} listed windows is here. {INFO.obtain}"
        )
    notes = [*versions, *missing, *about_rows, *_notes(rows, splits, absent)]
    return Listing(items, dict(absent), notes)


def _windows(
    lists: Mapping[str, Path], wanted: Sequence[str]
) -> tuple[list[tuple[str, Row]], int, list[str]]:
    """The windows of the wanted splits, each once; how many rows are not as released; and what to know of both.

    A window is of the first split that lists it, in the order of `held_out_first`, be that wanted or not.

    Raises:
        SourceError: if no window of the wanted splits is listed, or nothing is left of them.
    """
    found: dict[str, tuple[str, Row]] = {}
    listed, against = 0, 0
    wrong: list[str] = []
    for split in held_out_first(lists, wanted):
        rows, bad = read_windows(lists[split], wanted_name(split))
        if split in wanted:
            listed += len(rows)
            wrong += bad
        for row in rows:
            before, other = found.setdefault(row.unique_id, (split, row))
            if before == split and _said(other) != _said(row):
                against += split in wanted
                _LOG.info(_TWICE, shown(row.unique_id), lists[split].name)
    tested = {row.place for split, row in found.values() if split != "train"}
    kept = [
        (split, row)
        for wanted_split in wanted
        for split, row in found.values()
        if split == wanted_split and not (split == "train" and row.place in tested)
    ]
    _require_some(kept, listed, lists, wanted)
    return kept, len(wrong), _told_of_rows(listed - len(kept), against, wrong)


def _said(row: Row) -> tuple[object, ...]:
    return (*row.place, row.state, row.change)


def _require_some(
    kept: Sequence[object], listed: int, lists: Mapping[str, Path], wanted: Sequence[str]
) -> None:
    if not listed:
        empty = " and ".join(str(path) for split, path in lists.items() if split in wanted)
        raise SourceError(f"{empty}: no window is listed. {INFO.obtain}", reason="bad-json")
    if not kept:
        raise SourceError(
            f"{lists[wanted[0]]}: each of its {counted(listed, 'window')} is in the list of another split as well, and "
            "what is tested on is not trained on: is it a copy of that list?"
        )


def _told_of_rows(again: int, against: int, wrong: Sequence[str]) -> list[str]:
    notes = told(again, "window")
    if against:
        notes.append(
            f"{counted(against, 'row')} of these say otherwise than the first row of the window, which counts (listed "
            "with -v)"
        )
    if wrong:
        notes.append(f"{counted(len(wrong), 'row')} not as released, the first: {wrong[0]}")
    return notes


def key_of(unique_id: str) -> str:
    """The key of a window.

    >>> key_of("80b0c4fd-2_4876-10_4876")
    'ego4d-80b0c4fd-2_4876-10_4876'
    """
    key = "ego4d-" + re.sub(r"[^a-z0-9_-]", "-", unique_id.lower())
    if len(key) <= MAX_KEY:
        return key
    return "ego4d-" + hashlib.sha256(unique_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _place(
    row: Row, videos: Mapping[str, str], clips: Mapping[str, str], empty: Container[str]
) -> tuple[str, int] | None:
    """A file, and the number of the window's first frame in it; no empty full video where there is a clip."""
    clip = None
    if row.clip_uid in clips and row.clip_start is not None:
        clip = clips[row.clip_uid], row.clip_start
    if row.video_uid in videos and not (clip and row.video_uid in empty):
        return videos[row.video_uid], row.start
    return clip


def _missing(row: Row, manifest: set[str] | None) -> str:
    if manifest is None:
        return _NOT_THERE
    return _NOT_FETCHED if row.video_uid in manifest else _NOT_LISTED


def _item(split: str, row: Row, place: tuple[str, int]) -> Item:
    ref: dict[str, Any] = {"file": place[0], "first": place[1], "count": row.end - row.start + 1}
    ref |= {"meta": row.meta}
    if split != "test":
        known = not row.is_outside
        ref |= {
            "state": row.state if known else None,
            "change": row.change - row.start if known and row.change is not None else None,
        }
    group = row.clip_uid or f"{row.video_uid} {split}"
    return Item(key_of(row.unique_id), group, split, ref, ref["count"] * _FRAME_BYTES)


def _notes(rows: list[tuple[str, Row]], listed: Iterable[str], absent: Counter[str]) -> list[str]:
    counts = Counter(split for split, _ in rows)
    notes = [f"{split}: {counted(counts[split], 'window')} listed" for split in listed]
    untold = sum(split != "test" and row.state is None for split, row in rows)
    if untold:
        notes.append(
            f"{counted(untold, 'window')} of which no true or false says whether a state changes: without a label"
        )
    if outside := sum(split != "test" and row.is_outside for split, row in rows):
        notes.append(
            f"{counted(outside, 'window')} whose change lies outside: without a label, look at parent_pnr_frame"
        )
    splits: dict[str, set[str]] = defaultdict(set)
    for split, row in rows:
        splits[row.video_uid].add(split)
    if shared := sum(len(found) > 1 for found in splits.values()):
        notes.append(
            f"{counted(shared, 'video')} in several splits: the official splits go by annotated clips"
        )
    if against := _contradictions(row for split, row in rows if split != "test"):
        notes.append(
            f"{counted(against, 'pair')} of overlapping windows of one video contradict each other; kept "
            "(listed with -v)"
        )
    if absent[_NOT_FETCHED]:
        notes.append(
            "a video that another download does not bring may be gone from the server: its log says 403 or 404 then"
        )
    return notes


def _contradictions(rows: Iterable[Row]) -> int:
    """How many windows without a change overlap one with a change; the log names them."""
    videos: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.state is not None:
            videos[row.video_uid].append(row)
    count = 0
    for found in videos.values():
        found.sort(key=lambda row: row.start)
        for place, row in enumerate(found):
            for other in found[place + 1 :]:
                if other.start > row.end:
                    break
                if other.state != row.state:
                    count += 1
                    changed, still = (row, other) if row.state else (other, row)
                    _LOG.info(_AGAINST, row.video_uid, *_told(changed), *_told(still))
    return count


def _told(row: Row) -> tuple[str, int, int]:
    return shown(row.unique_id), row.start, row.end
