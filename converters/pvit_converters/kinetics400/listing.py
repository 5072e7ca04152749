"""Which videos of Kinetics-400 there are: those that lists or class folders name, and whose files are there.

How many there should be is not known exactly, so nothing is compared with a number: what is listed and absent, and
what is there and in no list, is counted and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvit_converters.base import Item, Listing
from pvit_converters.held_out import held_out_first, told
from pvit_converters.kinetics400 import classes
from pvit_converters.kinetics400.info import INFO
from pvit_converters.kinetics400.layout import SPLITS, Tree, Video, find_tree, leftovers
from pvit_converters.kinetics400.lists import Row, find_list, read_list, rows_of_folders
from pvit_converters.kinetics400.options import Kinetics400Options
from pvit_converters.raw.keys import keys_of
from pvit_data.errors import SourceError
from pvit_data.words import counted

ABSENT = "video not present"
OTHER_SECONDS = "only other seconds of the video present"
_CHOICES = {"trainval": ("train", "val"), "all": SPLITS}
_RECORD_BYTES = 2048


@dataclass(frozen=True, slots=True)
class _Clip:
    """A row that counts.

    Args:
        row: of a list, or what a class folder says.
        split: of that list.
        video: its file; None: it is not there.
        missing: why it is not.
    """

    row: Row
    split: str
    video: Video | None
    missing: str

    def is_again(self, other: _Clip) -> bool:
        """Whether another row is of the same clip, or has its file."""
        is_same = self.video is not None and self.video == other.video
        return is_same or self.row.repeats(other.row, within=self.split == other.split)


@dataclass
class _Found:
    """What was found so far.

    Args:
        clips: by the id of their video.
        again: rows that were left out, by split.
        strays: videos that no list names, by the split in whose folder they lie.
        spare: files of listed videos that no clip needs.
    """

    clips: dict[str, list[_Clip]] = field(default_factory=dict)
    again: Counter[str] = field(default_factory=Counter)
    strays: Counter[str] = field(default_factory=Counter)
    spare: int = 0

    def of(self, wanted: Collection[str]) -> list[_Clip]:
        """The clips of some splits."""
        return [clip for clips in self.clips.values() for clip in clips if clip.split in wanted]


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
    for split in held_out_first(lists, SPLITS):
        for row in lists[split]:
            _add(found, tree, row, split)
    _count_further(found, tree, lists)
    hint = leftovers(root)
    clips = found.of(wanted)
    items = _items(found, wanted)
    absent = Counter(clip.missing for clip in clips if clip.missing)
    if not items:
        raise SourceError(_none_here(root, absent, sum(found.again[s] for s in wanted)) + hint)
    notes = [note for split in wanted for note in _told(found, tree, split, split in lists)]
    notes += _notes(found, [clip for clip in clips if clip.video])
    if len(order) < len(classes.names()):
        notes.append(
            f"{options.classes}: names {len(order)} of the {len(classes.names())} classes; if one is missing by "
            "mistake, all numbers behind it mean other classes"
        )
    if hint and absent[ABSENT]:
        notes.append(f"{counted(absent[ABSENT], 'listed video')} not present{hint}")
    return Listing(items, dict(absent), notes)


def _lists(
    root: Path, tree: Tree, options: Kinetics400Options, order: Sequence[str]
) -> dict[str, list[Row]]:
    """The rows of each split that has a list or class folders."""
    found = {}
    for split in SPLITS:
        path = getattr(options, f"{split}_list") or find_list(root, split)
        if path is not None:
            found[split] = read_list(path, split, order)
            continue
        videos = tree.of(split)
        folders = {video: [f for f in files if f.folder] for video, files in videos.items()}
        folders = {video: files for video, files in folders.items() if files}
        if 2 * len(folders) > len(videos):
            found[split] = list(rows_of_folders(folders))
    return found


def _add(found: _Found, tree: Tree, row: Row, split: str) -> None:
    """Adds the clip of a row, unless another row has it: of this list, or of one that is tested on."""
    clip = _clip_of(tree, row, split)
    known = found.clips.setdefault(row.video, [])
    before = next((other for other in known if clip.is_again(other)), None)
    if before is None:
        known.append(clip)
        return
    if before.split == split and before.row.action != row.action:
        raise SourceError(
            f"{row.where}: {row.video} has another class than in {before.row.where}",
            reason="bad-list",
        )
    found.again[split] += 1


def _clip_of(tree: Tree, row: Row, split: str) -> _Clip:
    """A row with its file: what is empty comes last, what replaces another file first, then its split's folder."""
    there = [
        file
        for file in tree.videos.get(row.video, ())
        if file.replaced
        or (row.has_path or file.split in (split, "") if row.file is None else file == row.file)
    ]
    meant = [file for file in there if row.is_clip(file)]
    if not meant:
        return _Clip(row, split, None, OTHER_SECONDS if there else ABSENT)
    return _Clip(row, split, min(meant, key=lambda file: _rank(file, split)), "")


def _rank(file: Video, split: str) -> tuple[bool, ...]:
    is_away = file.split != split
    return not file.size, not file.replaced, is_away, is_away and bool(file.split), not file.times


def _count_further(found: _Found, tree: Tree, lists: Mapping[str, list[Row]]) -> None:
    """What lies in the folder of a split, or in none, and is not converted."""
    ids = {split: {row.video for row in rows} for split, rows in lists.items()}
    ids[""] = set[str]().union(*ids.values())
    for split, listed in ids.items():
        for video, files in tree.of(split).items():
            clips = [clip.video for clip in found.clips.get(video, ()) if clip.video]
            spare = [file for file in files if file not in clips]
            if video not in listed:
                found.strays[split] += bool(spare)
            elif not any(clip.replaced for clip in clips):
                found.spare += len(spare)


def _items(found: _Found, wanted: Collection[str]) -> list[Item]:
    named: dict[str, tuple[_Clip, Video]] = {}
    for clip in found.of(SPLITS):
        if clip.video is not None:
            stem = clip.video.file.rpartition("/")[2].rpartition(".")[0]
            named[f"{clip.split}/{stem}" if stem in named else stem] = clip, clip.video
    keys = keys_of(INFO.name, named)
    items = []
    for name, (clip, video) in named.items():
        row = clip.row
        if clip.split not in wanted:
            continue
        ref: dict[str, Any] = {"file": video.file, "youtube_id": row.video}
        if row.action is not None:
            ref |= {"action": row.action, "label": classes.names()[row.action]}
        start, end = row.times or video.times or (-1, -1)
        ref |= {"time_start": start, "time_end": end, "is_cc": row.is_cc}
        ref["replaced"] = video.replaced
        items.append(Item(keys[name], row.video, clip.split, ref, video.size + _RECORD_BYTES))
    return items


def _none_here(root: Path, absent: Counter[str], again: int) -> str:
    texts = [f"{root}: none of the {absent.total():,} listed videos is here"]
    if others := absent[OTHER_SECONDS]:
        texts.append(f"of {others:,} there are files whose names tell other seconds than the list ")
    return "; ".join([*texts, *told(again, "video")])


def _told(found: _Found, tree: Tree, split: str, has_list: bool) -> list[str]:
    if not has_list:
        number = len(tree.of(split))
        note = f"{split}: nothing says what its {counted(number, 'video')} show: left out"
        return [note] if number else []
    clips, strays = found.of([split]), found.strays[split]
    here = sum(clip.video is not None for clip in clips)
    note = f"{split}: {here:,} of {len(clips):,} listed videos are here"
    if strays:
        note += f"; {counted(strays, 'further video')} there that no list or class folder names: left out"
    notes = ["; ".join([note, *told(found.again[split], "video")])]
    if split == "val":
        notes.append(
            f"results on val count {here:,} videos: say so beside them, since copies differ"
        )
    return notes


def _notes(found: _Found, clips: Sequence[_Clip]) -> list[str]:
    """About the clips that are converted, and about files that are not."""
    notes = []
    if replaced := sum(clip.video is not None and clip.video.replaced for clip in clips):
        notes.append(f"{counted(replaced, 'video')} taken from the replacements of corrupted ones")
    if strays := found.strays[""]:
        notes.append(f"{counted(strays, 'video')} that no list names left out")
    if found.spare:
        notes.append(
            f"{counted(found.spare, 'further file')} of listed videos left out: copies, or other seconds than listed"
        )
    if elsewhere := sum(map(_is_elsewhere, clips)):
        notes.append(
            f"{counted(elsewhere, 'video')} in a folder of another class than the list says: the list counts"
        )
    return notes


def _is_elsewhere(clip: _Clip) -> bool:
    folder = clip.video.folder if clip.video else ""
    number = classes.class_of(folder) if folder else None
    return None not in (number, clip.row.action) and number != clip.row.action


def _no_lists(root: Path, wanted: Sequence[str]) -> str:
    first = wanted[0]
    return (
        f"{root}: nothing says what the videos of {' and '.join(wanted)} show: no annotations/{first}.csv or other "
        f"list (--{first}-list FILE names one), and no class folders such as {first}/abseiling{leftovers(root)}. "
        f"{INFO.obtain}"
    )
