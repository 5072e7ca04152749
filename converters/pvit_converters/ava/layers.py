"""Layers over AVA: the persons that a detector found, to be scored; and the boxes that are trained on."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from pvit_converters.ava.actions import action_space
from pvit_converters.ava.clock import FIRST, LAST
from pvit_converters.ava.info import INFO
from pvit_converters.ava.keys import hashed, key_of, movie_names
from pvit_converters.ava.layout import detection_file, truth_file
from pvit_converters.ava.options import AvaLayerOptions
from pvit_converters.ava.rows import (
    Second,
    Table,
    boxes_of,
    merged,
    read_detections,
    read_truth,
    to_json,
)
from pvit_converters.base import Item, Listing, SourceInfo
from pvit_converters.layers import LayerConverter, LayerInfo
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample
from pvit_data.words import counted, short

_DETECTOR = "Faster R-CNN of PySlowFast's model zoo (person_box_67091280)"
_ROW_BYTES = 2048


def _info(name: str, title: str, spaces: Mapping[str, str]) -> SourceInfo:
    return replace(
        INFO,
        name=name,
        title=title,
        licence="CC-BY-4.0 (annotations of AVA); boxes of PySlowFast (Apache-2.0)",
        produces=("boxes",),
        sampler="",
        rights={},
        spaces=spaces,
    )


class _Boxes(LayerConverter[AvaLayerOptions]):
    """What both layers share: persons in the key frames of the base's samples."""

    over = "ava"
    Options = AvaLayerOptions
    splits: ClassVar[tuple[str, ...]]
    labelled: ClassVar[bool]

    @abstractmethod
    def persons(self, split: str) -> Table | None:
        """The boxes of a split by movie and second; None where its files are not there."""

    def list_items(self) -> Listing:
        """The base's samples of the movies that the files name."""
        items, absent, notes, found = [], Counter[str](), list[str](), False
        for split in self.splits:
            table = self.persons(split)
            if table is None:
                notes.append(f"{split}: no {self.info.title} in the tree")
                continue
            found = True
            for key, persons in self._keyed(table):
                if key in self._base_splits and self._base_splits[key][0] == split:
                    group = self._base_splits[key][1]
                    items.append(Item(key, group, split, {"persons": to_json(persons)}, _ROW_BYTES))
                elif persons:
                    absent["second not in the base"] += 1
            if table.outside:
                notes.append(
                    f"{split}: {counted(table.outside, 'row')} at seconds without annotation"
                )
        if not found:
            raise SourceError(
                f"{self.root}: no boxes of a person detector in annotations/ or below it. {INFO.obtain}"
            )
        return Listing(
            items,
            dict(absent),
            [*notes, f"persons with a score of {self.options.threshold:g} or more"],
        )

    @cached_property
    def _base_splits(self) -> dict[str, tuple[str, str]]:
        """Split and group of the base's samples by key."""
        return {item.key: (item.split, item.group) for item in self.base.items()}

    def _keyed(self, table: Table) -> Iterator[tuple[str, Second]]:
        names = movie_names(table.movies)
        for movie in table.movies:
            for second in range(FIRST, LAST + 1):
                key = key_of(names[movie], second)
                if key not in self._base_splits:
                    key = key_of(hashed(movie), second)
                yield key, table.at(movie, second)

    def load(self, item: Item) -> Sample:
        """The persons of one second."""
        key_frame = int(self.base.sample(item.key, ()).meta["key_frame"])
        boxes, dropped = boxes_of(
            item.ref["persons"], key_frame, scored=True, labelled=self.labelled
        )
        sample = Sample(key=item.key, boxes=boxes, frames={"boxes": np.array([key_frame])})
        sample.meta = {"warnings": ["boxes-without-area-left-out"] if dropped else []}
        return sample


class AvaDetections(_Boxes):
    """Detected persons of val and test, which every published result is scored on."""

    info: ClassVar[SourceInfo] = _info("ava-detections", "detected persons of AVA", {})
    splits = ("val", "test")
    labelled = False

    def layer(self) -> LayerInfo:
        """Attached on request: these boxes are scored, and are no truth."""
        return LayerInfo(
            attach="on-request",
            made_by=_DETECTOR,
            confidence=f"score of the detector, {self.options.threshold:g} or more",
        )

    def spaces(self) -> dict[str, LabelSpace]:
        """None: these persons have no labels."""
        return {}

    def persons(self, split: str) -> Table | None:
        """The detector's boxes."""
        path = detection_file(self.root, split)
        return None if path is None else read_detections(path, self.options.threshold)


class AvaTrain(_Boxes):
    """What train is trained on: ground truth, and detected persons with the labels of the ground truth they overlap."""

    info: ClassVar[SourceInfo] = _info("ava-train", "training boxes of AVA", INFO.spaces)
    splits = ("train",)
    labelled = True

    def layer(self) -> LayerInfo:
        """On request: the base's own boxes are the truth."""
        return LayerInfo(
            attach="on-request",
            made_by=f"ground truth of AVA and {_DETECTOR}, IoU above 0.9",
            confidence=f"1 for ground truth, else the detector's score, {self.options.threshold:g} or more",
        )

    def spaces(self) -> dict[str, LabelSpace]:
        """The base's."""
        return {"boxes": action_space(self.root)}

    def list_items(self) -> Listing:
        """As of both layers; a base whose seconds were chosen by another score is told."""
        found, mine = super().list_items(), self.options.threshold
        of_base = self.base.rows.spec.options.get("threshold", mine)
        if of_base != mine:
            bare = sum(not item.ref["persons"] for item in found.items)
            found.notes.append(
                f"the base's seconds of train are those with persons of {short(of_base)} or more (its --threshold), of "
                f"which {bare:,} have none of {mine:g} or more: give both conversions one number"
            )
        return found

    def persons(self, split: str) -> Table | None:
        """Ground truth and detections, merged by the text of their corners."""
        path, boxes = truth_file(self.root, split), detection_file(self.root, split)
        if path is None or boxes is None:
            return None
        truth, detected = read_truth(path), read_detections(boxes, self.options.threshold)
        table = Table({}, truth.outside + detected.outside)
        for movie in sorted({*truth.movies, *detected.movies}):
            seconds = {*truth.movies.get(movie, {}), *detected.movies.get(movie, {})}
            table.movies[movie] = {
                s: merged(truth.at(movie, s), detected.at(movie, s)) for s in sorted(seconds)
            }
        return table
