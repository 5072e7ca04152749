"""The list of Something-Something V2 that others evaluate on: without the videos that SomethingElse has no boxes of.

These are the ids of SViT's `empty_bbox_train.json` and `empty_bbox_val.json`, or all that have no box in any box file.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from pvit_converters.base import Item, Listing, SourceInfo
from pvit_converters.layers import LayerConverter, LayerInfo
from pvit_converters.raw.files import read_json
from pvit_converters.something_else.box_files import find_boxes, missing_part, read_records
from pvit_converters.something_else.info import BOXES, NO_EMPTY_BOXES
from pvit_converters.something_else.keys import BASE, is_video, key_of, video_of
from pvit_converters.something_else.options import NoEmptyBoxesOptions
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample
from pvit_data.scoring.passport import list_sha256

LISTS = ("empty_bbox_train.json", "empty_bbox_val.json")
EMPTY = "has no boxes"
MOST_LEFT_OUT = 0.2
RECORD_BYTES = 1024


class NoEmptyBoxesConverter(LayerConverter[NoEmptyBoxesOptions]):
    """Makes the protocol `ssv2-no-empty-boxes`: the base's splits and classes, some videos left out."""

    info: ClassVar[SourceInfo] = NO_EMPTY_BOXES
    version: ClassVar[str] = "1"
    Options = NoEmptyBoxesOptions
    over = BASE

    def layer(self) -> LayerInfo:
        """A protocol that says nothing of classes: they are the base's."""
        return LayerInfo(kind="protocol", made_by="the list that SViT and ORViT use")

    def spaces(self) -> dict[str, LabelSpace]:
        """None: classes are the base's."""
        return {}

    def list_items(self) -> Listing:
        """The samples of the base's train and val that have boxes."""
        is_empty = self._empty_keys()
        items, absent = [], Counter[str]()
        for key, (split, _) in self.base.rows.places.items():
            if split == "test":
                continue
            if key in is_empty:
                absent[split] += 1
            else:
                items.append(Item(key, "", split, {}, RECORD_BYTES))
        if not items:
            raise SourceError(f"{self.root}: no video of the base has boxes there")
        left_out = {EMPTY: absent.total()} if absent else {}
        return Listing(items, left_out, _lists(items, absent))

    def load(self, item: Item) -> Sample:
        """One row."""
        return Sample(key=item.key)

    def _empty_keys(self) -> set[str]:
        """Keys of the base that are left out."""
        paths = [path for name in LISTS if (path := self.root / name).is_file()]
        if len(paths) == 1:
            other = next(name for name in LISTS if name != paths[0].name)
            raise SourceError(f"{self.root}: {paths[0].name} is there, {other} is not; give both")
        if paths:
            return {key_of(video) for path in paths for video in _read_list(path)}
        if missing := missing_part(self.root):
            raise SourceError(
                f"{missing}: its videos would count as videos without boxes. {BOXES.obtain}"
            )
        boxes = find_boxes(self.root).places
        places = {key_of(video): place for video, place in boxes.items()}
        return {
            key
            for key in self.base.rows.places
            if key not in places or not _has_box(read_records(self.root, places[key]))
        }


def _has_box(records: Any) -> bool:
    """Whether there is a box in any record: a video may have none at all, or such as nothing was found in."""
    records = records if isinstance(records, list) else []
    return any(isinstance(record, dict) and record.get("labels") for record in records)


def _read_list(path: Path) -> list[str]:
    ids = read_json(path)
    if not isinstance(ids, list) or not all(map(is_video, ids)):
        raise SourceError(f'{path}: expected a list of video ids, ["1", ...]', reason="bad-json")
    return [video_of(one) for one in ids]


def _lists(items: list[Item], absent: Counter[str]) -> list[str]:
    """Which lists these are; results on another one do not compare."""
    told = []
    left_out, all_of_them = absent.total(), len(items) + absent.total()
    if not left_out:
        told.append(
            "no video of the base is left out: are these the lists, or box files, of its videos?"
        )
    if left_out > MOST_LEFT_OUT * all_of_them:
        told.append(
            f"{left_out:,} of {all_of_them:,} videos are left out, 13,641 of 193,690 in the release: are these all "
            "of its box files?"
        )
    for split in ("train", "val"):
        mine = [
            item.key.removeprefix(f"{BASE}-").lstrip("0") for item in items if item.split == split
        ]
        told.append(f"{split}: {len(mine):,} videos (sha256 of the list {list_sha256(mine)[:16]})")
    kept = sum(item.split == "val" for item in items)
    count = f"{kept:,} of {kept + absent['val']:,} validation videos count here, 22,660 of 24,777 in the release"
    return [*told, f"say so beside results: {count}"]
