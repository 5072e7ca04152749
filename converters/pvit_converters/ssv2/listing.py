"""Which videos of Something-Something V2 there are: the rows of the label files whose videos are in the tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pvit_converters.base import Item, Listing
from pvit_converters.held_out import held_out_first, told
from pvit_converters.ssv2.labels import Labels, read_table
from pvit_converters.ssv2.layout import FILES, label_file, leftovers, no_labels, present_videos
from pvit_converters.ssv2.options import SSv2Options
from pvit_data.errors import SourceError, UsageError
from pvit_data.words import counted, short

_SPLITS = {"trainval": ("train", "val"), "all": ("train", "val", "test")}
_ABSENT = "video not present"
_EXCLUDED = "on the list of videos without boxes (--val-list no-empty-boxes)"
_RECORD_BYTES = 2048


def list_videos(
    root: Path, folders: Sequence[Path], options: SSv2Options, labels: Labels
) -> Listing:
    """The listed videos that are there.

    Args:
        root: of the tree.
        folders: of the videos.
        options: of the converter.
        labels: of the tree.

    Raises:
        SourceError: if label files or all videos are missing, or a video is listed twice with other labels.
        UsageError: if an option needs another one.
    """
    present = present_videos(root, folders)
    excluded = _excluded(options)
    items, absent = [], Counter[str]()
    wanted = _splits(root, options.split)
    listed, again = _once(root, labels, wanted)
    for split, row in listed:
        video = str(int(row["id"]))
        if video in excluded:
            absent[_EXCLUDED] += 1
        elif video not in present:
            absent[_ABSENT] += 1
        else:
            items.append(_item(row, video, split, labels, *present[video]))
    hint = leftovers(root, *folders)
    if not items:
        places = " and ".join(map(str, folders))
        none = f"{places}: none of the {absent.total()} listed videos is here{hint}"
        raise SourceError("; ".join([none, *told(again, "video")]))
    notes = [f"{absent[_ABSENT]} listed videos are absent{hint}"] if hint else []
    notes += told(again, "video")
    if frames := sum((root / item.ref["file"]).is_dir() for item in items):
        notes.append(
            f"{counted(frames, 'video')} from extracted frames, where there is no other file"
        )
    missing = _missing_lists(root, options.split)
    return Listing(items, dict(absent), [*notes, *missing, _which_list(items, options)])


def _once(
    root: Path, labels: Labels, wanted: Sequence[str]
) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    """Each listed video of the wanted splits once, with its split; and how many rows were left out."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    again = Counter[str]()
    there = [split for split in FILES if label_file(root, FILES[split])]
    for split in held_out_first(there, wanted):
        for row in labels.rows(split):
            video = str(int(row["id"]))
            before, other = found.setdefault(video, (split, row))
            again[split] += other is not row
            if before == split and row.get("template") != other.get("template"):
                raise SourceError(
                    f"{FILES[split]}.json: video {video} is listed twice, as {short(other.get('template'))} and as "
                    f"{short(row.get('template'))}",
                    reason="bad-json",
                )
    listed = [row for split in wanted for row in found.values() if row[0] == split]
    return listed, sum(again[split] for split in wanted)


def _splits(root: Path, choice: str) -> list[str]:
    wanted = _SPLITS.get(choice, (choice,))
    there = [split for split in wanted if label_file(root, FILES[split])]
    if not there:
        names = " or ".join(f"{FILES[split]}.json" for split in wanted)
        raise SourceError(no_labels(root, names))
    return there


def _excluded(options: SSv2Options) -> set[str]:
    if options.val_list == "official":
        return set()
    folder = empty_boxes_folder(options)
    paths = [folder / f"empty_bbox_{name}.json" for name in ("train", "val")]
    return {str(video).lstrip("0") for path in paths for video in read_table(path)}


def empty_boxes_folder(options: SSv2Options) -> Path:
    """Where the lists of videos without boxes are, or the boxes.

    Raises:
        UsageError: if that is not said, or no folder.
    """
    folder = options.empty_boxes
    if folder is None:
        raise UsageError(
            "--val-list no-empty-boxes needs --empty-boxes FOLDER with empty_bbox_train.json and "
            "empty_bbox_val.json, which are in data/ssv2 of https://github.com/eladb3/SViT, or with the box files of "
            "SomethingElse"
        )
    if not folder.is_dir():
        raise UsageError(f"--empty-boxes {folder}: no such folder")
    return folder


def _item(
    row: dict[str, Any], video: str, split: str, labels: Labels, file: str, size: int
) -> Item:
    ref: dict[str, Any] = {"file": file, "video_id": video}
    if "template" in row:
        ref |= {
            "label": str(row.get("label") or ""),
            "template": str(row["template"]),
            "placeholders": [str(p) for p in row.get("placeholders") or []],
            "action": labels.action(row["template"], split),
        }
    elif "action" in row:
        ref["action"] = row["action"]
    return Item(f"ssv2-{int(video):06d}", video, split, ref, size + _RECORD_BYTES)


def _which_list(items: list[Item], options: SSv2Options) -> str:
    counts = Counter(item.split for item in items)
    here = ", ".join(f"{n:,} {split}" for split, n in counts.items())
    if options.val_list == "official":
        return f"official lists ({here} here): results on all 24,777 validation videos compare with others'"
    return (
        f"lists without the videos that have no boxes ({here} here): "
        "say so beside results, 22,660 of 24,777 count in the release"
    )


def _missing_lists(root: Path, choice: str) -> list[str]:
    """Which of the asked lists are not there."""
    names = [FILES[split] for split in _SPLITS.get(choice, (choice,))]
    return [f"no {name}.json: no such videos" for name in names if not label_file(root, name)]
