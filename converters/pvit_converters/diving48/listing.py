"""Which dives there are: the rows of the label files whose videos are in the tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pvit_converters.base import Item, Listing
from pvit_converters.diving48 import labels
from pvit_converters.diving48.info import INFO
from pvit_converters.diving48.labels import Row
from pvit_converters.diving48.layout import Clip, leftovers
from pvit_converters.diving48.options import Diving48Options
from pvit_converters.held_out import held_out_first, told
from pvit_converters.raw.keys import keys_of
from pvit_data.errors import SourceError
from pvit_data.words import counted

ABSENT = "video not present"
BROKEN = "annotated range of two frames or fewer"
MIN_FRAMES = 3
"""Of a dive; shorter ones are broken, and left out by others too."""
_RECORD_BYTES = 2048


def list_dives(root: Path, clips: Mapping[str, Clip], options: Diving48Options) -> Listing:
    """The listed dives whose videos are there.

    Raises:
        SourceError: if label files or all videos are missing.
    """
    paths = labels.find_labels(root, options.labels)
    rows = {split: labels.read_rows(path) for split, path in paths.items()}
    notes = _editions(paths, rows, options)
    chosen, again = _once(rows, paths)
    keys = keys_of(INFO.name, sorted({row.name for _, row in chosen}))
    names = labels.classes(root)
    items, absent = [], Counter[str]()
    for split, row in chosen:
        if options.split not in ("all", split):
            continue
        if row.end - row.first < MIN_FRAMES:
            absent[BROKEN] += 1
        elif row.name not in clips:
            absent[ABSENT] += 1
        else:
            items.append(_item(row, split, keys[row.name], clips, names))
    hint = leftovers(root)
    if not items:
        raise SourceError(f"{root}: none of the {absent.total():,} listed dives is here{hint}")
    notes += _notes(root, items, clips, {row.name for _, row in chosen}, again)
    if hint and absent[ABSENT]:
        notes.append(f"{counted(absent[ABSENT], 'listed video')} not present{hint}")
    return Listing(items, dict(absent), notes)


def _once(
    rows: Mapping[str, list[Row]], paths: Mapping[str, Path]
) -> tuple[list[tuple[str, Row]], int]:
    """Each dive once, with its split; what is tested on is not trained on. And how many rows were left out."""
    found: dict[str, tuple[str, Row]] = {}
    again = 0
    for split in held_out_first(rows, labels.SPLITS):
        for row in rows[split]:
            before = found.setdefault(row.name, (split, row))
            again += before[1] is not row
            if before[0] == split and before[1].action != row.action:
                raise SourceError(
                    f"{paths[split]}: {row.name} is listed twice, with the labels {before[1].action} and {row.action}",
                    reason="bad-json",
                )
    return list(found.values()), again


def _item(
    row: Row, split: str, key: str, clips: Mapping[str, Clip], names: tuple[str, ...]
) -> Item:
    clip = clips[row.name]
    ref: dict[str, Any] = {"file": clip.file, "vid_name": row.name, "action": row.action}
    ref |= {"label": names[row.action], "start_frame": row.first, "end_frame": row.end}
    group = f"{row.name.rpartition('_')[0]}-{split}"  # dives of one competition are in both splits
    return Item(key, group, split, ref, clip.size + _RECORD_BYTES)


def _editions(
    paths: Mapping[str, Path], rows: Mapping[str, list[Row]], options: Diving48Options
) -> list[str]:
    if options.labels == "v1":
        return [
            "labels of the first edition (V1): many are wrong, and results on them compare with no others; published "
            "networks reach about 40 percent on them"
        ]
    missing = [split for split in labels.SPLITS if split not in paths]
    return [
        f"no Diving48_V2_{split}.json: no dive of {split} is converted" for split in missing
    ] + [
        f"{paths[split].name} has {len(rows[split]):,} rows, as many as the labels of the first edition (V1) have: is "
        "it one of them under another name? Models then reach about half of what is published"
        for split in rows
        if len(rows[split]) == labels.V1_ROWS[split]
    ]


def _notes(
    root: Path, items: list[Item], clips: Mapping[str, Clip], listed: set[str], again: int
) -> list[str]:
    counts = Counter(item.split for item in items)
    here = ", ".join(f"{n:,} {split}" for split, n in sorted(counts.items(), reverse=True))
    notes = [f"{here}: results on test count the videos here; there is no validation split"]
    notes.append(
        "the licence of the videos is unknown, wherever a copy comes from: do not publish them"
    )
    if late := sum(item.ref["start_frame"] > 0 for item in items):
        notes.append(
            f"{counted(late, 'dive')} from a later frame of the video on than its first one"
        )
    notes += told(again, "dive")
    if strays := len(clips.keys() - listed):
        notes.append(f"{counted(strays, 'video')} that no label file names left out")
    if frames := sum(clips[item.ref["vid_name"]].is_frames for item in items):
        notes.append(
            f"{counted(frames, 'dive')} from extracted frames, where there is no video; packed frames are known to be "
            "incomplete"
        )
    if labels.classes(root) != labels.published():
        notes.append(
            "Diving48_vocab.json has other classes, or another order, than was published: it counts"
        )
    return notes
