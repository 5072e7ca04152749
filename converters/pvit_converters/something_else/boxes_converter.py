"""The converter of SomethingElse's boxes: an annotation layer over converted Something-Something V2."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pvit_converters.base import Item, Listing, SourceInfo, Unwanted
from pvit_converters.layers import Base, LayerConverter, LayerInfo
from pvit_converters.raw.frame_folders import GAPS
from pvit_converters.raw.reencoding import REENCODED
from pvit_converters.something_else.box_files import Place, find_boxes, missing_part, read_records
from pvit_converters.something_else.boxes import HEIGHT, SPACE, Film, see
from pvit_converters.something_else.info import BOXES
from pvit_converters.something_else.keys import BASE, key_of, video_of
from pvit_converters.something_else.options import BoxesOptions
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample
from pvit_data.words import counted

ABSENT = "video not in the base"
_BYTES_PER_RAW = 0.2
"""Of a row, per byte of its JSON."""


class BoxesConverter(LayerConverter[BoxesOptions]):
    """Makes the annotation layer `something-else-boxes`: hands and objects, frame by frame."""

    info: ClassVar[SourceInfo] = BOXES
    version: ClassVar[str] = "1"
    Options = BoxesOptions
    over = BASE

    def __init__(self, root: Path | str, options: BoxesOptions, base: Base) -> None:
        super().__init__(root, options, base)
        if not self.root.is_dir():
            raise SourceError(f"{self.root}: no such folder; give the one with the box files")

    def layer(self) -> LayerInfo:
        """Published as the truth, so they are attached wherever they lie."""
        return LayerInfo(
            made_by="Materzynska et al., Something-Else (CVPR 2020)",
            confidence="published as the truth, without scores",
        )

    def spaces(self) -> dict[str, LabelSpace]:
        """Objects and hands; what an object is called stands in the meta, by its track."""
        return {"boxes": SPACE}

    def list_items(self) -> Listing:
        """The videos with boxes that the base has."""
        found = find_boxes(self.root)
        places = self.base.rows.places
        items = [
            Item(key_of(video), video, "", place._asdict(), _size(place))
            for video, place in found.places.items()
            if key_of(video) in places
        ]
        if not items:
            raise SourceError(
                f"{self.root}: none of the {len(found.places)} videos with boxes is in '{self.base.source}' of "
                f"{self.base.url}"
            )
        missing = len(found.places) - len(items)
        notes = [f"boxes of {len(found.places):,} videos in {found.files:,} files"]
        if part := missing_part(self.root):
            notes.append(f"{part}: its videos get no boxes")
        if found.repeated:
            notes.append(f"{found.repeated} videos come again; their first boxes count")
        if bare := len(places) - len(items):
            notes.append(f"{bare:,} samples of the base have no boxes")
        if resized := int((self.base.dataset.column("height") != HEIGHT).sum()):
            notes.append(
                f"{counted(resized, 'sample')} of the base not {HEIGHT} pixels high, as released videos are: boxes are "
                "scaled to the height that is there"
            )
        return Listing(items, {ABSENT: missing} if missing else {}, notes)

    def load(self, item: Item) -> Sample:
        """The boxes of one video."""
        records = read_records(self.root, Place(**item.ref))
        if records == []:
            raise Unwanted("no record of any frame")
        film = self._film(item)
        seen = see(records, film)
        if not seen.searched:
            raise Unwanted("no record of a frame that the base has")
        sample = Sample(key=item.key, boxes=seen.table())
        if len(seen.searched) < film.frames:
            sample.frames = {"boxes": np.array(seen.searched)}
        sample.meta = _told(records[0]) | {
            "records": len(records),
            "warnings": sorted(seen.warnings),
        }
        return sample

    def _film(self, item: Item) -> Film:
        """What the base says of a video: its frames as they are stored, its size as it was released."""
        sample = self.base.sample(item.key, ())
        height, width = _size_before(sample)
        if sample.fps <= 0 or min(height, width) < 1:
            raise SourceError(
                f"{item.key}: the base tells no frame rate or size ({sample.fps:g} fps, {height} x {width}), "
                "to which boxes could belong",
                reason="no-frame-rate",
            )
        if GAPS in sample.meta.get("warnings", ()):
            raise SourceError(
                f"{item.key}: its base was converted from a folder in which frames are missing: nobody knows to which "
                "frame a box belongs; convert the base from the videos",
                reason=GAPS,
            )
        video = video_of(item.key.removeprefix(f"{BASE}-"))
        return Film(video, sample.num_frames, sample.fps, HEIGHT, width * HEIGHT / height)


def _size_before(sample: Sample) -> tuple[int, int]:
    """Height and width of a video before it was encoded anew here, without what that rounded."""
    told = sample.meta.get(REENCODED)
    was = told.get("from") if isinstance(told, dict) else None
    size = [was.get("height"), was.get("width")] if isinstance(was, dict) else []
    known = [side for side in size if isinstance(side, int)]
    return (known[0], known[1]) if len(known) == 2 else (sample.height, sample.width)


def _size(place: Place) -> int:
    return 3072 + int(_BYTES_PER_RAW * (place.end - place.start))


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """What the records of a video have in common, as it stands there."""
    names = ("gt_placeholders", "split", "task_index")
    return {name: record[name] for name in names if name in record}
