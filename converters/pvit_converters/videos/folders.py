"""Folders by class, and above them perhaps by split: what their names say of the files in them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pvit_converters.raw.listing import walk_files
from pvit_converters.videos.files import ENDINGS, OTHERS, ending
from pvit_converters.videos.options import VideosOptions
from pvit_converters.videos.rows import Row
from pvit_data.errors import SourceError, UsageError
from pvit_data.format.names import split_named
from pvit_data.words import counted, shown

Parts = tuple[str, ...]


def rows_in_folders(root: Path, options: VideosOptions) -> tuple[list[Row], list[str]]:
    """All videos and pictures below ROOT, and notes on what their folders were taken for.

    Raises:
        SourceError: if there is none.
        UsageError: if the folders could mean two things.
    """
    found, others, strays = [], Counter[str](), []
    for place, entry in walk_files(root):
        if (kind := ending(entry.name)) in ENDINGS:
            found.append(tuple(place.split("/")))
        elif kind in OTHERS:
            others[kind] += 1
        elif not entry.name.startswith("."):
            strays.append(place)
    notes = [f"{n:,} x .{kind} is left out: it is not read" for kind, n in sorted(others.items())]
    if strays:
        notes.append(
            f"{counted(len(strays), 'file')} of other kinds left out, such as {shown(min(strays))}"
        )
    if not found:
        left = f"; {notes[0]}, convert it to MP4 first" if notes else ""
        raise SourceError(
            f"{root}: no video or picture below it (.{', .'.join(sorted(ENDINGS))}){left}"
        )
    splits = _split_folders(root, found, options.layout)
    rows = [_row(parts, splits, options.label_folder) for parts in found]
    _require_depth(root, found, splits, options)
    if not any(row.labels for row in rows) and options.label_folder != "none":
        raise UsageError(
            f"{root}: {found[0][-1]} and all others lie in no folder that would be their class: --table FILE says what "
            "they show, --label-folder none takes them without labels"
        )
    return rows, [*notes, _told(rows, splits)]


def _split_folders(root: Path, found: list[Parts], layout: str) -> dict[str, str]:
    """The split of each folder in ROOT that is one."""
    tops = {parts[0] for parts in found if len(parts) > 1}
    splits = {top: split for top in sorted(tops) if (split := split_named(top))}
    if layout == "classes" or not splits:
        return {}
    own = [parts for parts in found if len(parts) == 2 and parts[0] in splits]
    if layout == "auto" and (len(splits) < len(tops) or own):
        name = own[0][0] if own else next(iter(splits))
        beside = sorted(tops - set(splits))
        why = f"beside it lies {beside[0]}" if beside else f"{own[0][1]} lies directly in it"
        raise UsageError(
            f"{root}: {name} could be a class (--layout classes) or a split (--layout splits): {shown(why)}"
        )
    return splits


def _row(parts: Parts, splits: dict[str, str], which: str) -> Row:
    split = splits.get(parts[0], "") if len(parts) > 1 else ""
    above = _above(parts, splits)
    label = "" if which == "none" or not above else above[-1 if which == "last" else 0]
    path = "/".join(parts)
    return Row(path, path, (label,) if label else (), split)


def _above(parts: Parts, splits: dict[str, str]) -> Parts:
    """The folders of a file below that of its split."""
    return parts[1 if parts[0] in splits and len(parts) > 1 else 0 : -1]


def _require_depth(
    root: Path, found: list[Parts], splits: dict[str, str], options: VideosOptions
) -> None:
    deep = next((parts for parts in found if len(_above(parts, splits)) > 1), None)
    if deep is None or options.label_folder != "auto":
        return
    above = _above(deep, splits)
    raise UsageError(
        f"{root}: the class of {shown('/'.join(deep))} could be {shown(above[0])} (--label-folder first) or "
        f"{shown(above[-1])} (--label-folder last)"
    )


def _told(rows: list[Row], splits: dict[str, str]) -> str:
    classes = len({row.labels for row in rows if row.labels})
    told = f"{counted(classes, 'folder')} in ROOT taken for classes"
    if splits:
        told = f"{', '.join(splits)} taken for splits, {counted(classes, 'folder')} in them for classes"
    bare = sum(not row.labels for row in rows)
    return f"{told}; {counted(bare, 'file')} in none has no label" if bare and classes else told
