"""Which videos of Kinetics-400 there are: those that lists or class folders name, and whose files are there.

How many there should be is not known exactly, so nothing is compared with a number: what is listed and absent, and
what is there and in no list, is counted and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvit_converters.base import Item, Listing
from pvit_converters.kinetics400 import classes
from pvit_converters.kinetics400.info import INFO
from pvit_converters.kinetics400.layout import SPLITS, Tree, Video, find_tree, leftovers
from pvit_converters.kinetics400.lists import Row, find_list, read_list, rows_of_folders
from pvit_converters.kinetics400.options import Kinetics400Options
from pvit_converters.raw.keys import keys_of
from pvit_data.errors import SourceError
from pvit_data.words import counted

ABSENT = "video not present"
_CHOICES = {"trainval": ("train", "val"), "all": SPLITS}
_RECORD_BYTES = 2048


@dataclass
class _Found:
    """What was found so far: the clips by the id of their file's name, and counts for the notes."""

    clips: dict[str, tuple[Row, Video, str]] = field(default_factory=dict)
    listed: Counter[str] = field(default_factory=Counter)
    here: Counter[str] = field(default_factory=Counter)
    strays: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    absent: set[str] = field(default_factory=set)
    elsewhere: int = 0


def list_videos(root: Path, options: Kinetics400Options) -> Listing:
    """The videos of the wanted splits that are there.

    Raises:
        SourceError: if there are no videos, or nothing says what they show.
    """
    tree = find_tree(root)
    order = classes.names() if options.classes is None else classes.read_order(options.classes)
    lists = _lists(root, tree, options, order)
    wanted = _CHOICES.get(options.split, (options.split,))
    if not any(split in lists for split in wanted):
        raise SourceError(_no_lists(root, wanted))
    found = _Found()
    for split, rows in lists.items():
        for row in rows:
            _add(found, tree, row, split)
    _count_strays(found, tree, lists)
    hint = leftovers(root)
    absent = {split: found.listed[split] - found.here[split] for split in wanted}
    items = _items(found, wanted)
    if not items:
        repeated = sum(found.again[split] for split in wanted)
        told = f"; {counted(repeated, 'row')} name videos of other splits" if repeated else ""
        raise SourceError(
            f"{root}: none of the {sum(absent.values()):,} listed videos is here{told}{hint}"
        )
    total = sum(absent.values())
    notes = [note for split in wanted for note in _told(found, tree, split, split in lists)]
    notes += _notes(found, tree, items)
    if len(order) < len(classes.names()):
        notes.append(
            f"{options.classes}: names {len(order)} of the {len(classes.names())} classes; if one is missing by "
            "mistake, all numbers behind it mean other classes"
        )
    if hint and total:
        notes.append(f"{counted(total, 'listed video')} not present{hint}")
    return Listing(items, {ABSENT: total} if total else {}, notes)


def _lists(
    root: Path, tree: Tree, options: Kinetics400Options, order: Sequence[str]
) -> dict[str, list[Row]]:
    """The rows of each split that has a list or class folders."""
    found = {}
    for split in SPLITS:
        path = getattr(options, f"{split}_list") or find_list(root, split)
        videos = tree.videos.get(split, {})
        folders = {video: v.folder for video, v in videos.items() if v.folder}
        if path is not None:
            found[split] = read_list(path, split, order)
        elif 2 * len(folders) > len(videos):
            found[split] = list(rows_of_folders(folders))
    return found


def _add(found: _Found, tree: Tree, row: Row, split: str) -> None:
    """Adds the clip of a row, if its file is there and no other row has it."""
    video = tree.find(row.video, split, row.has_path, row.times)
    before = found.clips.get(row.video)
    if before is not None and (video is None or before[1].file == video.file):
        if before[2] == split and before[0].action != row.action:
            raise SourceError(
                f"{row.where}: {row.video} has another class than in {before[0].where}",
                reason="bad-list",
            )
        found.again[split] += 1
        return
    if video is None:
        is_new = row.video not in found.absent
        found.absent.add(row.video)
        (found.listed if is_new else found.again)[split] += 1
        return
    found.listed[split] += 1
    found.here[split] += 1
    folder = classes.class_of(video.folder) if video.folder else None
    found.elsewhere += folder is not None and row.action is not None and folder != row.action
    name = row.video if before is None else f"{split}/{row.video}"
    found.clips[name] = row, video, split


def _count_strays(found: _Found, tree: Tree, lists: dict[str, list[Row]]) -> None:
    """What lies in the folder of a split, or in none, and in no list."""
    ids = {split: {row.video for row in rows} for split, rows in lists.items()}
    for split, listed in ids.items():
        found.strays[split] = len(tree.videos.get(split, {}).keys() - listed)
    found.strays[""] = len(tree.videos.get("", {}).keys() - set[str]().union(*ids.values()))


def _items(found: _Found, wanted: Sequence[str]) -> list[Item]:
    keys = keys_of(
        INFO.name, (_clip_id(name, video) for name, (_, video, _) in found.clips.items())
    )
    items = []
    for name, (row, video, split) in found.clips.items():
        if split not in wanted:
            continue
        ref: dict[str, Any] = {"file": video.file, "youtube_id": row.video}
        if row.action is not None:
            ref |= {"action": row.action, "label": classes.names()[row.action]}
        start, end = row.times or video.times or (-1, -1)
        ref |= {"time_start": start, "time_end": end, "is_cc": row.is_cc}
        ref["replaced"] = video.replaced
        ref["warnings"] = _warnings(row, video)
        key = keys[_clip_id(name, video)]
        items.append(Item(key, row.video, split, ref, video.size + _RECORD_BYTES))
    return items


def _clip_id(name: str, video: Video) -> str:
    """Id and times, as the file is called; with its split where two splits have files of one video."""
    prefix = name.rpartition("/")[0]
    stem = video.file.rpartition("/")[2].rpartition(".")[0]
    return f"{prefix}/{stem}" if prefix else stem


def _warnings(row: Row, video: Video) -> list[str]:
    differs = row.times is not None and video.times is not None and row.times != video.times
    return ["times-differ-from-list"] if differs else []


def _told(found: _Found, tree: Tree, split: str, has_list: bool) -> list[str]:
    if not has_list:
        number = len(tree.videos.get(split, {}))
        told = f"{split}: nothing says what its {counted(number, 'video')} show: left out"
        return [told] if number else []
    here, listed, strays = found.here[split], found.listed[split], found.strays[split]
    note = f"{split}: {here:,} of {listed:,} listed videos are here"
    if strays:
        note += f"; {counted(strays, 'further video')} there that no list or class folder names: left out"
    if again := found.again[split]:
        note += f"; {counted(again, 'row')} repeat a video that is listed already"
    notes = [note]
    if split == "val":
        notes.append(
            f"results on val count {here:,} videos: say so beside them, since copies differ"
        )
    return notes


def _notes(found: _Found, tree: Tree, items: Sequence[Item]) -> list[str]:
    notes = []
    if replaced := sum(item.ref["replaced"] for item in items):
        notes.append(f"{counted(replaced, 'video')} taken from the replacements of corrupted ones")
    if strays := found.strays[""]:
        notes.append(f"{counted(strays, 'video')} that no list names left out")
    if tree.twice:
        notes.append(
            f"{counted(tree.twice, 'further file')} of videos that are there twice is not used"
        )
    if found.elsewhere:
        notes.append(
            f"{counted(found.elsewhere, 'video')} in a folder of another class than the list says: the list counts"
        )
    return notes


def _no_lists(root: Path, wanted: Sequence[str]) -> str:
    first = wanted[0]
    return (
        f"{root}: nothing says what the videos of {' and '.join(wanted)} show: no annotations/{first}.csv or other "
        f"list (--{first}-list FILE names one), and no class folders such as {first}/abseiling{leftovers(root)}. "
        f"{INFO.obtain}"
    )
