"""The converter of SomethingElse's splits: protocols over converted Something-Something V2, which stays as it is."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pvit_converters.base import Item, Listing, SourceInfo
from pvit_converters.layers import Base, LayerConverter, LayerInfo
from pvit_converters.something_else.info import INFO
from pvit_converters.something_else.keys import BASE, key_of
from pvit_converters.something_else.options import SomethingElseOptions
from pvit_converters.something_else.settings import SETTINGS, find_files
from pvit_converters.something_else.splits import Row, read_classes, read_rows
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace, mirrored_pairs
from pvit_data.sample.sample import Sample
from pvit_data.scoring.passport import list_sha256
from pvit_data.words import counted, short

RECORD_BYTES = 1024
ABSENT = "video not in the base"


class SomethingElseConverter(LayerConverter[SomethingElseOptions]):
    """Makes the protocol `something-else-SETTING`: splits and classes, no pictures."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = SomethingElseOptions
    over = BASE

    def __init__(self, root: Path | str, options: SomethingElseOptions, base: Base) -> None:
        super().__init__(root, options, base)
        self.setting = SETTINGS[options.setting]
        self.files = find_files(self.root, self.setting)

    def layer(self) -> LayerInfo:
        """A protocol, called by its setting."""
        return LayerInfo(
            name=f"{INFO.name}-{self.options.setting}",
            kind="protocol",
            made_by="Materzynska et al., Something-Else (CVPR 2020)",
        )

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, alphabetical."""
        return read_classes(self.files.labels)

    def identity(self) -> dict[str, Any]:
        """The names of the classes: samples are planned with their numbers."""
        return {"classes": list(self.classes)}

    def spaces(self) -> dict[str, LabelSpace]:
        """The setting's classes; those of the base where they are the same in the same order."""
        of_base = self.base.rows.spec.spaces.get("action")
        if of_base is not None and of_base.classes == self.classes:
            return {"action": of_base}
        numbers = {name: number for number, name in enumerate(self.classes)}
        space = LabelSpace(self.setting.space, self.classes, pairs=mirrored_pairs(numbers))
        return {"action": space}

    def list_items(self) -> Listing:
        """The listed videos that the base has."""
        found = read_rows(self.files, self.classes)
        places = self.base.rows.places
        rows = [row for row in found.rows.values() if key_of(row.video) in places]
        absent = dict(found.absent)
        if missing := len(found.rows) - len(rows):
            absent[ABSENT] = missing
        if not rows:
            raise SourceError(
                f"{self.files.train.parent}: none of the {missing} listed videos is in '{self.base.source}' of "
                f"{self.base.url}"
            )
        items = [
            Item(key_of(row.video), row.video, row.split, {"action": row.action}, RECORD_BYTES)
            for row in rows
        ]
        return Listing(items, absent, [*self._lists(found.rows.values(), rows), *self._odd(rows)])

    def load(self, item: Item) -> Sample:
        """The class of one video."""
        return Sample(key=item.key, action=item.ref["action"])

    def _lists(self, listed: Iterable[Row], here: Iterable[Row]) -> list[str]:
        """Which lists these are."""
        told = []
        for split in ("train", "val"):
            mine = [row.video for row in listed if row.split == split]
            count = sum(row.split == split for row in here)
            told.append(
                f"{split}: {count:,} of {len(mine):,} listed videos (sha256 of the list {list_sha256(mine)[:16]})"
            )
        return [*told, f"{len(self.classes)} classes, numbered in alphabetical order"]

    def _odd(self, rows: Iterable[Row]) -> list[str]:
        """What a user would not expect of the samples."""
        places = self.base.rows.places
        count = sum(places[key_of(row.video)][0] == "test" for row in rows)
        where = f"in the test split of '{self.base.source}', which has other labels or none"
        told = [f"{counted(count, 'listed video')} {where}"] if count else []
        of_base, other = self._classes_of_base(), []
        for row in rows:
            there, here = of_base.get(key_of(row.video)), self.classes[row.action]
            if there is not None and there != here:
                other.append((row.video, there, here))
        if other:
            video, there, here = other[0]
            told.append(
                f"{counted(len(other), 'listed video')} of another class than in '{self.base.source}', first {video}: "
                f"{short(here)} here, {short(there)} there; the list counts, but is it of the same release?"
            )
        return told

    def _classes_of_base(self) -> dict[str, str]:
        """Names of the base's classes by key, where it has one."""
        space = self.base.rows.spec.spaces.get("action")
        if space is None:
            return {}
        names = dict(enumerate(space.classes, space.first))
        actions = self.base.dataset.column("action").tolist()
        keys = self.base.dataset.keys().to_pylist()
        return {
            key: names[number] for key, number in zip(keys, actions, strict=True) if number in names
        }
