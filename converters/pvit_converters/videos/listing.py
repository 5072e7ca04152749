"""Which clips there are: the rows of folders and tables whose files are there, each with its key and its classes."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pvit_converters.base import Item, Listing
from pvit_converters.videos.files import STILLS, Finder, Found, ending
from pvit_converters.videos.folders import rows_in_folders
from pvit_converters.videos.keys import cut_name, make_keys
from pvit_converters.videos.labels import Classes, find_classes
from pvit_converters.videos.options import TABLES, VideosOptions
from pvit_converters.videos.rows import Row, known_columns, read_rows
from pvit_converters.videos.tables import read_table
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.rights import unlicensed
from pvit_data.words import counted, shown

_ABSENT, _ELSEWHERE = "file not present", "path outside of ROOT and the folder of the table"
_RECORD_BYTES = 2048
_CUT_BYTES = 1_000_000
"""Guessed, of a clip that is cut out of a longer video."""


class Place(NamedTuple):
    """Which part of which file.

    Args:
        beside, file: see `Found`.
        start, end: in the unit of the options; None: from its start, to its end.
    """

    beside: str
    file: str
    start: float | None
    end: float | None


@dataclass
class Clip:
    """What all rows of a clip say of it together."""

    where: str
    size: int
    split: str
    group: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Videos:
    """What was found.

    Args:
        listing: the clips.
        classes: that they are of; None where nothing is labelled.
    """

    listing: Listing
    classes: Classes | None


def find_videos(root: Path, options: VideosOptions) -> Videos:
    """All clips that folders or tables name, and whose files are there.

    Raises:
        SourceError: if none is there.
        UsageError: if a table cannot be read or names none, something could be meant in two ways, or an option does not
            fit what is there.
    """
    rows, notes = _all_rows(root, options)
    labels = {label for row, _ in rows for label in row.labels}
    classes = find_classes(labels, options) if labels else None
    clips, absent, told = _clips(rows, Finder(root, options))
    if not clips:
        raise UsageError(_nothing(root, rows, absent))
    notes += told
    if classes is not None:
        notes += _told(clips, classes)
    notes += [*_stills(clips), *unlicensed(options.licence, options.redistributable)]
    listing = Listing(_items(clips, classes, options), dict(absent), notes)
    listing.classes = _classes_of_groups(listing.items)
    return Videos(listing, classes)


def _all_rows(root: Path, options: VideosOptions) -> tuple[list[tuple[Row, str]], list[str]]:
    """The rows, each with the option that names its table, and what to know about them."""
    given = [name for name in TABLES if getattr(options, name) is not None]
    if not given:
        rows, notes = rows_in_folders(root, options)
        return [(row, "") for row in rows], notes
    if "table" in given and len(given) > 1:
        raise UsageError(
            f"--table and --{given[1]}: give one table of all clips, or one of each split"
        )
    found: list[tuple[Row, str]] = []
    notes = []
    for name in given:
        table = read_table(getattr(options, name), options.separator, known_columns(options))
        rows, note = read_rows(table, options, "" if name == "table" else name)
        found += [(row, name) for row in rows]
        notes.append(note)
    return found, notes


def _clips(
    rows: Iterable[tuple[Row, str]], finder: Finder
) -> tuple[dict[Place, Clip], Counter[str], list[str]]:
    """The clips that are there, how many are not and why, and notes on the first of each."""
    clips: dict[Place, Clip] = {}
    absent = Counter[str]()
    first: dict[str, Row] = {}
    for row, table in rows:
        why = _ABSENT
        try:
            found = finder.find(row.path, table, row.where)
        except SourceError:
            found, why = None, _ELSEWHERE
        if found is not None:
            _add(clips, row, found)
            continue
        absent[why] += 1
        first.setdefault(why, row)
    told = [f"{why}: the first is {shown(row.path)} of {row.where}" for why, row in first.items()]
    return clips, absent, told


def _add(clips: dict[Place, Clip], row: Row, found: Found) -> None:
    place = Place(found.beside, found.file, row.start, row.end)
    clip = clips.setdefault(place, Clip(row.where, found.size, row.split, row.group))
    for name in ("split", "group"):
        before, now = getattr(clip, name), getattr(row, name)
        if before != now:
            raise UsageError(
                f"{row.where}: {name} is '{shown(now)}', and '{shown(before)}' in {clip.where}, which is the same clip"
            )
    clip.labels |= dict.fromkeys(row.labels, row.where)


def _items(clips: dict[Place, Clip], classes: Classes | None, options: VideosOptions) -> list[Item]:
    cuts = {place: cut_name(place.start, place.end, options.unit) for place in clips}
    keys = make_keys(options.name, {place: (place.file, cuts[place]) for place in clips})
    several = any(len(clip.labels) > 1 for clip in clips.values())
    items = []
    for place, clip in clips.items():
        ref: dict[str, Any] = {"file": place.file}
        if place.beside:
            ref["beside"] = place.beside
        if cuts[place]:
            ref |= {"start": place.start, "end": place.end}
        if clip.labels and classes is not None:
            ref["labels"] = list(clip.labels)
            ref["ids"] = [classes.id_of(label, where) for label, where in clip.labels.items()]
            ref["several"] = several
        size = min(clip.size, _CUT_BYTES) if cuts[place] else clip.size
        group = clip.group or place.file
        items.append(Item(keys[place], group, clip.split, ref, size + _RECORD_BYTES))
    return items


def _classes_of_groups(items: Iterable[Item]) -> dict[str, set[str]]:
    """Of the groups without a split."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        if not item.split:
            found[item.group].update(item.ref.get("labels", ()))
    return dict(found)


def _told(clips: dict[Place, Clip], classes: Classes) -> list[str]:
    names = counted(len(classes.names), "class", "classes")
    several = sum(len(clip.labels) > 1 for clip in clips.values())
    bare = sum(not clip.labels for clip in clips.values())
    told = [
        f"{names}: {', '.join(map(shown, classes.names[:5]))}{', ...' * (len(classes.names) > 5)}"
    ]
    if several:
        told.append(f"{counted(several, 'clip')} with several labels: all are stored as actions")
    if bare:
        told.append(f"{counted(bare, 'clip')} without a label")
    return told


def _stills(clips: dict[Place, Clip]) -> list[str]:
    """How many pictures are among videos, where they may be a mistake."""
    number = sum(ending(place.file) in STILLS for place in clips)
    if number in (0, len(clips)):
        return []
    return [
        f"{counted(number, 'picture')} among the videos: converted as stills, clips of one frame"
    ]


def _nothing(root: Path, rows: list[tuple[Row, str]], absent: Counter[str]) -> str:
    first = next((row for row, _ in rows), None)
    if first is None:
        return f"{root}: the table names no clip"
    if absent[_ELSEWHERE]:
        return (
            f"{root}: none of the {absent.total():,} listed files is in it; {first.where} names {shown(first.path)}: "
            "give the folder above it as ROOT"
        )
    place = os.path.join(os.path.abspath(root), first.path)
    return (
        f"{root}: none of the {absent.total():,} listed files is there; {first.where} names {shown(first.path)}, "
        f"which is neither {shown(place)} nor beside the table"
    )
